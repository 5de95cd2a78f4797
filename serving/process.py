"""A model in a process of its own, with the libraries of its own lock: the predictor for whatever is not compiled."""

import asyncio
import contextlib
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from formats.manifest import Model
from serving import tensors
from serving.errors import ModelFailed, ModelTooSlow, Refusal, RowsRefused, ServingError, Unavailable
from serving.logs import Log
from serving.metrics import ModelMetrics
from serving.predictor import Batch
from serving.sealed import Sealed
from serving.tensors import Tensor

RUNNER = Path(__file__).with_name("runner.py")
START = Path(__file__).parents[1] / "start.py"
NICE = 10  # how far a process in the background stands behind ours
LEAST = 19  # the lowest priority there is
START_SECONDS = 120
# A process that lived this long starts again at once; one that keeps dying waits longer each time.
STEADY_SECONDS = 30
LONGEST_PAUSE = 10.0
READ_AHEAD = 1 << 20  # bytes of an answer that are buffered before its process is made to wait
# What a model process sees of our environment: no setting and no secret of ours.
PASSED_ON = (
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Program:
    """What a model process runs: absolute paths of its libraries and files, and the file's format."""

    ref: str
    site: Path
    artifact: Path
    file_format: str
    allow: Path
    signature: Path

    def arguments(self, descriptor: int) -> list[str]:
        """The command of a process that answers over the socket ``descriptor``, which it inherits."""
        return [
            *(sys.executable, "-I", "-S", "-B", str(RUNNER), "serve"),
            *("--site", str(self.site), "--model", str(self.artifact), "--format", self.file_format),
            *("--allow", str(self.allow), "--signature", str(self.signature), "--fd", str(descriptor)),
        ]


class Startable(Protocol):
    """A program that says it is ready, then answers frames: a `Program`, or the like for a compiled form."""

    @property
    def ref(self) -> str: ...

    def arguments(self, descriptor: int) -> list[str]: ...


def program(image: Sealed, model: Model) -> Program:
    """What runs ``model``, which is not compiled, with its own library."""
    assert model.artifact is not None
    folder = image.root / model.path
    environment = next(item for item in image.manifest.environments if item.id == model.environment)
    return Program(
        model.ref,
        site=image.root / environment.path,
        artifact=folder / model.artifact,
        file_format=model.format,
        allow=folder / "allow.json",
        signature=folder / "signature.json",
    )


def own(*arguments: str) -> list[str]:
    """The command of a process that runs our own code, as the image's entry point does."""
    return [sys.executable, "-I", "-B", str(START), *arguments]


class ModelProcess:
    """A `Predictor` that hands batches to a process over a socket pair, and starts it again when it dies."""

    concurrent = False  # one answer at a time comes back over the socket

    def __init__(
        self, program: Startable, predict_seconds: float, log: Log, metrics: ModelMetrics, *, background: bool = False
    ) -> None:
        """:param background: the process takes what time the others leave."""
        self._program = program
        self._background = background
        self._predict_seconds = predict_seconds
        self._log = log
        self._metrics = metrics
        self._process: asyncio.subprocess.Process | None = None
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._alive = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._stopped = False

    @property
    def ready(self) -> bool:
        return self._alive.is_set()

    async def start(self) -> None:
        """Start the process, and keep it running from now on.

        :raises Refusal: it does not start; the message says why.
        """
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End the process. It ends by itself, too, when we are gone: its socket closes."""
        self._stopped = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._alive.clear()
        self._hang_up()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def predict(self, batch: Batch) -> list[Tensor]:
        link = await self._live_link()
        try:
            async with asyncio.timeout(self._predict_seconds):
                head, outputs = await _exchange(link, batch)
        except TimeoutError:
            self._kill("it took longer than the limit for one batch")
            raise ModelTooSlow(
                f"{self._program.ref} did not answer {batch.rows} rows within {self._predict_seconds:g} s"
            ) from None
        except asyncio.CancelledError:
            self._kill("a batch was abandoned half-way")  # the next answer on this socket would be another's
            raise
        except (OSError, EOFError, ValueError):
            self._kill("its socket closed or carried no frame")
            raise Unavailable(
                f"the process of {self._program.ref} ended while it answered; send the request again"
            ) from None
        if "error" in head:
            raise _error(self._program.ref, head["error"])
        if any(output.shape[0] != batch.rows for output in outputs):
            raise ModelFailed(f"{self._program.ref} answered another number of rows than it was given")
        return outputs

    async def _live_link(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The socket of a process that is up, waiting for its restart where needed."""
        if self._stopped:
            raise Unavailable(f"{self._program.ref} was taken out of service; send the request again")
        if self._link is not None and self._link[0].at_eof():
            self._alive.clear()  # it has just died; its keeper does not know yet
        try:
            if not self._alive.is_set():
                await asyncio.wait_for(self._alive.wait(), self._predict_seconds)
        except TimeoutError:
            raise Unavailable(f"the process of {self._program.ref} does not start; the server's log says why") from None
        assert self._link is not None
        return self._link

    async def _keep(self) -> None:
        """Start the process again whenever it ends."""
        pause = 0.0
        while True:
            assert self._process is not None
            started = time.monotonic()
            code = await self._process.wait()
            self._alive.clear()
            self._hang_up()
            self._metrics.stopped()
            self._log.error("model process ended", model=self._program.ref, exit_code=code)
            pause = 0.0 if time.monotonic() - started > STEADY_SECONDS else pause
            while not self._alive.is_set():
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause or 0.5)
                try:
                    await self._spawn()
                except Refusal as refusal:
                    self._log.error("model process does not start", model=self._program.ref, reason=str(refusal))

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._program.arguments(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                    start_new_session=True,  # Ctrl-C in a terminal is for the server, which drains first
                )
            except OSError as error:
                ours.close()
                raise Refusal(f"no process for {self._program.ref} can be started: {error}") from None
        if self._background:
            with contextlib.suppress(ProcessLookupError):  # ended already; told below
                nice = os.getpriority(os.PRIO_PROCESS, 0) + NICE
                os.setpriority(os.PRIO_PROCESS, self._process.pid, min(nice, LEAST))
        self._link = await asyncio.open_unix_connection(sock=ours, limit=READ_AHEAD)
        try:
            async with asyncio.timeout(START_SECONDS):
                head, _ = await receive(self._link[0])
        except TimeoutError:
            await self._give_up(f"{self._program.ref} is not loaded after {START_SECONDS} s")
        except (OSError, EOFError, ValueError):
            code = await self._process.wait()
            await self._give_up(f"the process of {self._program.ref} ended with {code} before it was ready")
        if "error" in head:
            told = head["error"]
            await self._give_up(f"{self._program.ref}: {told['code']}: {told['message']}. {told['hint']}")
        self._alive.set()
        self._metrics.started()
        self._log.info("model process ready", model=self._program.ref, pid=self._process.pid)

    async def _give_up(self, reason: str) -> NoReturn:
        assert self._process is not None
        self._hang_up()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        raise Refusal(reason)

    def _kill(self, reason: str) -> None:
        self._alive.clear()
        if self._process is not None and self._process.returncode is None:
            self._log.error("model process killed", model=self._program.ref, reason=reason)
            self._process.kill()

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link[1].close()
            self._link = None


async def _exchange(
    link: tuple[asyncio.StreamReader, asyncio.StreamWriter], batch: Batch
) -> tuple[dict[str, Any], list[Tensor]]:
    reader, writer = link
    writer.writelines(tensors.pack({"outputs": batch.outputs}, batch.inputs))
    await writer.drain()
    return await receive(reader)


async def receive(reader: asyncio.StreamReader) -> tuple[dict[str, Any], list[Tensor]]:
    """The next frame."""
    head, size = tensors.FRAME.unpack(await reader.readexactly(tensors.FRAME.size))
    text = await reader.readexactly(head)
    if size <= READ_AHEAD:
        return tensors.unpack(text, await reader.readexactly(size))
    data = bytearray(size)
    start = 0
    while start < size:  # piece by piece: a copy of all of it at once would stop the event loop
        piece = await reader.read(min(READ_AHEAD, size - start))
        if not piece:
            raise EOFError("the socket closed in the middle of a frame")
        data[start : start + len(piece)] = piece
        start += len(piece)
    return tensors.unpack(text, data)


def _error(ref: str, error: dict[str, Any]) -> ServingError:
    if error["refused"]:
        return RowsRefused(f"{ref} refused the rows: {error['message']}")
    return ModelFailed(f"{ref} failed on the rows: {error['message']}")
