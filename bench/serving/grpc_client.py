"""An HTTP/2 connection for unary gRPC calls, one at a time: frames made beforehand, so that the client is not the limit.

grpcio's own Python client takes more time than the servers it would measure. Headers of answers are not decoded: the
message in the answer, which is checked, says whether the call succeeded.
"""

import asyncio
import struct
import time
from typing import cast

from bench.figures import NotMeasured
from bench.serving.load import Drive

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
HEAD = struct.Struct(">BHBBI")  # length in two parts, type, flags, stream
LARGEST = (1 << 31) - 1
FIRST_WINDOW = 65_535


class GrpcConnection(asyncio.Protocol):
    """See ``load.Connection``. A request is what :func:`call` makes, for stream 0."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._transport: asyncio.Transport
        self._settled = asyncio.get_running_loop().create_future()
        self._place: int | None = None
        self._stream = -1
        self._began = 0.0
        self._read = bytearray()
        self._body = bytearray()
        self._window = FIRST_WINDOW  # bytes that the server still takes on this connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = struct.pack(">HI", 4, LARGEST)  # the window of each stream
        wider = struct.pack(">I", LARGEST - FIRST_WINDOW)
        self._transport.write(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW, 0, 0, wider))

    async def opened(self) -> None:
        await self._settled

    def ask(self) -> None:
        place = self._place = self._drive.take()
        if place is None:
            return
        self._stream += 2
        request = bytearray(self._drive.requests[place])
        second = int.from_bytes(request[:3], "big") + 9
        stream = struct.pack(">I", self._stream)
        request[5:9] = request[second + 5 : second + 9] = stream
        self._window -= len(request) - second - 9
        if self._window < 0:
            self._drive.fail(NotMeasured("the server does not widen its window"))
        self._began = time.perf_counter()
        self._transport.write(bytes(request))

    def data_received(self, data: bytes) -> None:
        read = self._read
        read += data
        start = 0
        while len(read) - start >= 9:
            high, low, kind, flags, stream = HEAD.unpack_from(read, start)
            end = start + 9 + (high << 16 | low)
            if end > len(read):
                break
            self._frame(kind, flags, stream, bytes(read[start + 9 : end]))
            start = end
        del read[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._place is not None:
            self._drive.fail(NotMeasured(f"the server hung up in the middle of a call ({exc or 'closed'})"))

    def close(self) -> None:
        self._place = None
        self._transport.abort()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._body += payload
        elif kind == HEADERS and flags & END_STREAM:
            body = bytes(self._body[5:])  # after the mark for compression and the length
            self._body.clear()
            assert self._place is not None
            self._drive.answered(self._place, body, self._began)
            self.ask()
        elif kind == SETTINGS and not flags & ACK:
            self._transport.write(_frame(SETTINGS, ACK, 0, b""))
            if not self._settled.done():
                self._settled.set_result(None)
        elif kind == PING and not flags & ACK:
            self._transport.write(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW and not stream:
            self._window += int.from_bytes(payload, "big")
        elif kind in (RESET, GOAWAY):
            self._drive.fail(NotMeasured(f"the server ended the call: {payload!r}"))


def call(path: str, message: bytes) -> bytes:
    """The frames of one call: headers without compression, and the message."""
    headers = b"\x83\x86"  # POST, http
    headers += _literal(b"\x04", path.encode()) + _literal(b"\x01", b"127.0.0.1")
    headers += _literal(b"\x0f\x10", b"application/grpc") + b"\x00\x02te" + _text(b"trailers")
    body = b"\0" + struct.pack(">I", len(message)) + message
    return _frame(HEADERS, END_HEADERS, 0, headers) + _frame(DATA, END_STREAM, 0, body)


def _literal(name: bytes, value: bytes) -> bytes:
    return name + _text(value)


def _text(value: bytes) -> bytes:
    assert len(value) < 127
    return bytes((len(value),)) + value


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload
