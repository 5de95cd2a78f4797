"""A process beside the server that reads and writes what is large, or hostile: the event loop goes on meanwhile.

It is started with the first such body. A fault or a bomb ends it, its request fails, and the next one starts another.
"""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from formats.signature import Signature
from serving import errors, wire
from serving.errors import ServingError, TooLarge, Unavailable
from serving.logs import Log
from serving.messages import LARGE, InferRequest, InferResponse, bind
from serving.oip_json import Form
from serving.predictor import Batch
from serving.process import PASSED_ON, READ_AHEAD, own, receive
from serving.settings import MIB, Settings
from serving.tensors import FRAME, Body, Buffer, Tensor, pack, unpack
from serving.wire import Wanted

COMMAND = "helper"
# Of the JSON that the event loop reads itself, bytes, and how many of them there are to a value and to a text: handing
# 1,000 rows of 30 numbers over would take as long as reading them. More values, and texts, take longer.
JSON_HERE, TO_A_VALUE, TO_A_TEXT = 640 * 1024, 8, 256
LOOKS, LOOK = 16, 512  # how often, and at how many bytes, a body is looked at for that
# Memory of the process: its libraries, and a body as Python values, which take up to so many times its size.
LIBRARIES, GROWTH = 1024 * MIB, 16


def is_far(wanted: Wanted, body: Body) -> bool:
    """Whether ``body`` is for the helper to read. Binary tensors are not: they are taken as they are."""
    size = wanted.head_length or len(body)
    if size <= LARGE or size > JSON_HERE or wanted.kind != "oip":
        return wanted.kind in wire.FOREIGN or size > LARGE
    seen = b"".join([body[start : start + LOOK] for start in range(0, size, size // LOOKS)])
    return seen.count(b",") * TO_A_VALUE > len(seen) or seen.count(b'"') * TO_A_TEXT > 2 * len(seen)


class FarRequest:
    """A request that is read in the helper, and stays there until it is bound."""

    def __init__(self, helper: "Helper", wanted: Wanted, body: Body) -> None:
        self.id = ""
        self.parameters: dict[str, Any] = {}
        self.number: int | None = None
        self._helper = helper
        self._wanted = wanted
        self._body = body

    async def read(self) -> Form:
        """:raises ServingError: see `wire.parse`."""
        self.number, said = await self._helper.parse(self._wanted, self._body)
        self.id, self.parameters = said["id"], said["parameters"]
        return Form(**said["form"])

    async def bind(self, signature: Signature) -> Batch:
        try:
            return await self._bind(signature)
        except Unavailable:  # another body broke the reader, and this one was lost with it
            await self.read()
            return await self._bind(signature)

    async def _bind(self, signature: Signature) -> Batch:
        told = {"do": "bind", "number": self.number, "signature": signature.to_dict()}
        head, tensors = await self._helper.call(told)
        return Batch(tuple(tensors), tuple(head["outputs"]))


class Helper:
    """The server's side: one call at a time."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._count = 0
        self._ended: list[int] = []  # bodies that nobody asks for any more, to be forgotten

    @contextlib.asynccontextmanager
    async def read(self, wanted: Wanted, body: Body) -> AsyncIterator[tuple[FarRequest, Form]]:
        """:raises ServingError: see `wire.parse`."""
        request = FarRequest(self, wanted, body)
        try:
            yield request, await request.read()
        finally:
            if request.number is not None:
                self._ended.append(request.number)

    async def parse(self, wanted: Wanted, body: Body) -> tuple[int, dict[str, Any]]:
        """The number under which the helper keeps what it read, and what it says of it."""
        self._count += 1
        number = self._count
        head = {"do": "parse", "number": number, "wanted": asdict(wanted)}
        said, _ = await self.call(head, [Tensor("body", "UINT8", (len(body),), body)])
        return number, said

    async def render(self, kind: str, response: InferResponse, form: Form) -> tuple[int | None, list[Buffer]]:
        """See `wire.render`."""
        told = {"route": response.route, "version": response.version, "release_digest": response.release_digest}
        head = {"do": "render", "kind": kind, "form": asdict(form), "id": response.id, **told}
        said, parts = await self.call(head, list(response.outputs))
        return said["head_length"], [part.data for part in parts]

    async def call(
        self, head: dict[str, Any], tensors: list[Tensor] | None = None
    ) -> tuple[dict[str, Any], list[Tensor]]:
        seconds = self._settings.read_seconds
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    reader, writer = self._link or await self._start()
                    ended, self._ended = self._ended, []
                    writer.writelines(pack(head | {"ended": ended}, tensors or ()))
                    await writer.drain()
                    said, answer = await receive(reader)
            except TimeoutError:
                await self.stop()
                raise TooLarge(
                    f"the body or its answer could not be converted within {seconds} s; send fewer rows"
                ) from None
            except asyncio.CancelledError:
                await asyncio.shield(self.stop())  # the next answer on this socket would be another's
                raise
            except (OSError, EOFError, ValueError):
                await self.stop()
                raise TooLarge("the body takes more memory than allowed once it is read, or broke its reader") from None
        if "error" in said:
            raise getattr(errors, said["error"])(said["message"])
        return said, answer

    async def stop(self) -> None:
        if self._link is not None:
            self._link[1].close()
            self._link = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def _start(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours, theirs = socket.socketpair()
        memory = LIBRARIES + GROWTH * self._settings.max_body
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *own(COMMAND, str(theirs.fileno()), str(memory)),
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,  # a reader's panic may quote what a client sent
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                start_new_session=True,
            )
        self._link = await asyncio.open_unix_connection(sock=ours, limit=READ_AHEAD)
        self._log.info("helper started", pid=self._process.pid)
        return self._link


# --- The process


def main(descriptor: int, memory: int) -> int:
    """Answer calls until the server closes the socket."""
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    kept: dict[int, InferRequest] = {}
    with socket.socket(fileno=descriptor) as link, link.makefile("rb") as file:
        while start := file.read(FRAME.size):
            sizes = FRAME.unpack(start)
            head, tensors = unpack(file.read(sizes[0]), file.read(sizes[1]))
            for part in pack(*_answer(kept, head, tensors)):
                link.sendall(part)
    return 0


def _answer(
    kept: dict[int, InferRequest], head: dict[str, Any], given: list[Tensor]
) -> tuple[dict[str, Any], list[Tensor]]:
    for number in head["ended"]:
        kept.pop(number, None)
    try:
        if head["do"] == "parse":
            return _parse(kept, head, given[0]), []
        if head["do"] == "bind":
            return _bind(kept, head)
        return _render(head, given)
    except ServingError as error:
        return {"error": type(error).__name__, "message": str(error)}, []
    except MemoryError:
        return {"error": "TooLarge", "message": "the body takes more memory than allowed once it is read"}, []
    except Exception:  # noqa: BLE001  # a fault of ours is one request's, and what else is kept here is for others
        return {"error": "ServingError", "message": "internal error: the body broke its reader"}, []


def _parse(kept: dict[int, InferRequest], head: dict[str, Any], body: Tensor) -> dict[str, Any]:
    wanted = head["wanted"]
    request, form = wire.parse(Wanted(**wanted | {"outputs": tuple(wanted["outputs"])}), bytes(body.data))
    kept[head["number"]] = request
    # What is nested means nothing to us, and may be nested deeper than can be written.
    told = {name: [] if isinstance(value, list | dict) else value for name, value in request.parameters.items()}
    return {"id": request.id, "parameters": told, "form": asdict(form)}


def _bind(kept: dict[int, InferRequest], head: dict[str, Any]) -> tuple[dict[str, Any], list[Tensor]]:
    request = kept.pop(head["number"], None)
    if request is None:
        raise Unavailable("the body was lost when its reader was restarted; send the request again")
    batch = bind(Signature.from_dict(head["signature"]), request)
    return {"outputs": batch.outputs}, list(batch.inputs)


def _render(head: dict[str, Any], outputs: list[Tensor]) -> tuple[dict[str, Any], list[Tensor]]:
    response = InferResponse(head["route"], head["version"], head["release_digest"], head["id"], outputs)
    head_length, parts = wire.render(head["kind"], response, Form(**head["form"]))
    return {"head_length": head_length}, [Tensor("part", "UINT8", (len(part),), part) for part in parts]
