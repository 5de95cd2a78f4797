"""A conversation with a process in a container: input in, output out, within a time and a size.

An engine sends both outputs over one connection in frames: one byte stream number (1 stdout, 2 stderr), three zero bytes,
four bytes length, then the bytes.
"""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

_HEADER = struct.Struct(">BxxxL")
_STDOUT = 1
_STDERR_KEPT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a process ended.

    ``exit_code`` is None when it was cut off; ``timed_out`` and ``overflowed`` say why. ``stdout`` is empty when the caller
    gave a sink; of ``stderr`` the first 64 KiB are kept. ``out_of_memory`` is only known of a whole container.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    overflowed: bool = False
    out_of_memory: bool = False


@dataclass(slots=True)
class Heard:
    """What came over the connection until it closed, the time was up, or stdout passed its limit."""

    stdout: bytes
    stderr: bytes
    timed_out: bool
    overflowed: bool


class _Overflow(Exception):
    """Stdout passed its limit."""


def reads_exactly(count: int, command: list[str]) -> list[str]:
    """Wrap ``command`` so that its input ends after ``count`` bytes.

    A connection to an engine can only be half-closed on some transports (not under TLS): the end is given by number.
    """
    return ["sh", "-c", 'head -c "$0" | "$@"', str(count), *command]


def converse(connection: Any, *, stdin: bytes, timeout: float, limit: int, sink: BinaryIO | None = None) -> Heard:
    """Send ``stdin``, then read frames until the other side closes.

    :param connection: a socket, or the object around one that the SDK returns.
    :param timeout: seconds for the whole conversation.
    :param limit: bytes of stdout accepted; they go to ``sink`` when there is one.
    """
    # The SDK returns a SocketIO over unix sockets, a socket otherwise: timeouts are only on the socket itself.
    link = getattr(connection, "_sock", connection)
    deadline = time.monotonic() + timeout
    link.settimeout(timeout)
    sender = threading.Thread(target=_send, args=(link, stdin), daemon=True)
    if stdin:
        sender.start()  # beside the reading: a process that writes before it has read all would block both
    out, err = sink or BytesIO(), BytesIO()
    heard = Heard(b"", b"", timed_out=False, overflowed=False)
    try:
        _listen(link, deadline, limit, out, err)
    except TimeoutError:
        heard.timed_out = True
    except _Overflow:
        heard.overflowed = True
    finally:
        hang_up(connection)
    heard.stderr = err.getvalue()
    if sink is None and isinstance(out, BytesIO):
        heard.stdout = out.getvalue()
    return heard


def hang_up(connection: Any) -> None:
    """End a conversation for good.

    Not only closed: the SDK keeps a reference, and an engine whose reader has merely gone quiet cannot kill the process.
    """
    link = getattr(connection, "_sock", connection)
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    for held in (connection, link):
        with contextlib.suppress(OSError):
            held.close()


def _send(link: Any, data: bytes) -> None:
    # A process that ended without reading everything closes the connection: its outcome says more than this error.
    with contextlib.suppress(OSError):
        link.sendall(data)


def _listen(link: Any, deadline: float, limit: int, out: BinaryIO, err: BytesIO) -> None:
    written = 0
    while header := _receive(link, _HEADER.size, deadline):
        number, length = _HEADER.unpack(header)
        while length:
            chunk = _receive(link, min(length, 1 << 20), deadline)
            if not chunk:
                return
            length -= len(chunk)
            if number == _STDOUT:
                written += len(chunk)
                if written > limit:
                    raise _Overflow
                out.write(chunk)
            else:
                err.write(chunk[: max(0, _STDERR_KEPT - err.tell())])


def _receive(link: Any, count: int, deadline: float) -> bytes:
    """Read exactly ``count`` bytes, or nothing when the connection ended."""
    parts = bytearray()
    while len(parts) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        chunk = link.recv(count - len(parts))
        if not chunk:
            return b""
        parts += chunk
    return bytes(parts)
