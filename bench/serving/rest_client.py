"""A keep-alive HTTP/1.1 connection that sends bytes made beforehand and reads answers by their Content-Length."""

import asyncio
import time
from typing import cast

from bench.figures import NotMeasured
from bench.serving.load import Drive

LENGTH = b"\r\ncontent-length:"


class RestConnection(asyncio.Protocol):
    """See ``load.Connection``."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._transport: asyncio.Transport
        self._place: int | None = None
        self._began = 0.0
        self._read = bytearray()
        self._needed = 0  # bytes of head and body together, once the head is here
        self._head = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def opened(self) -> None:
        """TCP says enough."""

    def ask(self) -> None:
        place = self._place = self._drive.take()
        if place is not None:
            self._began = time.perf_counter()
            self._transport.write(self._drive.requests[place])

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._needed:
            end = self._read.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head = end + 4
            if not self._measure(bytes(self._read[:end])):
                return
        if len(self._read) >= self._needed:
            body = bytes(self._read[self._head : self._needed])
            del self._read[: self._needed]
            self._needed = 0
            self._answer(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._place is not None:
            self._drive.fail(NotMeasured(f"the server hung up in the middle of an answer ({exc or 'closed'})"))

    def close(self) -> None:
        self._place = None
        self._transport.abort()

    def _measure(self, head: bytes) -> bool:
        """Note how long the answer is; False when it cannot be used."""
        low = head.lower()
        place = low.find(LENGTH)
        if place < 0:
            self._drive.fail(NotMeasured(f"an answer without Content-Length: {head[:200]!r}"))
            return False
        self._needed = self._head + int(low[place + len(LENGTH) :].partition(b"\r")[0])
        if head[9:12] != b"200":
            # What it says is in the body, most of which came with the head.
            said = bytes(self._read[self._head :][:300])
            self._drive.fail(NotMeasured(f"{head.partition(bytes((13,)))[0].decode()}: {said!r}"))
            return False
        return True

    def _answer(self, body: bytes) -> None:
        assert self._place is not None
        self._drive.answered(self._place, body, self._began)
        if self._drive.pause:
            self._place = None
            asyncio.get_running_loop().call_later(self._drive.pause, self.ask)
        else:
            self.ask()


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of one request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
