"""Taking bytes in: from the socket to the store in pieces, with no transaction open and nothing held in memory."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Protocol

from flask import request
from werkzeug.exceptions import ClientDisconnected, LengthRequired

from formats import digest as digests
from portal import db
from portal.installation import here
from registry import uploads
from registry.access import Actor
from registry.errors import Invalid, RegistryError, TooLarge

STALLED_SECONDS = 120.0
"""A client that sends nothing for so long is gone; it would hold a thread for ever."""
LINGER_BYTES = 8 << 30
PIECE = 1 << 20


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Incoming:
    """The request's body, of which every byte must come."""

    def __init__(self, stream: _Stream, length: int | None) -> None:
        """``length`` in bytes; ``None`` when the server finds the end itself (chunked)."""
        self._stream = stream
        self._left = length
        self._broken = False

    def read(self, size: int, /) -> bytes:
        """The next bytes.

        :raises ClientDisconnected: the connection ended before the body did.
        """
        wanted = size if self._left is None else min(size, self._left)
        if not wanted:
            return b""
        try:
            data = self._stream.read(wanted)
        except Exception as error:  # every server has its own way to say that the client is gone
            self._broken = True
            raise ClientDisconnected("the body broke off") from error
        if self._left is not None:
            if not data:
                self._broken = True
                raise ClientDisconnected(f"the body ended {self._left} bytes too early")
            self._left -= len(data)
        return data

    def discard(self) -> None:
        """Read what is still coming and forget it.

        Most clients read no answer before they have sent everything: closing on them would turn the refusal they are
        to be told into a broken connection.
        """
        left = LINGER_BYTES
        with contextlib.suppress(ClientDisconnected):
            while not self._broken and left > 0 and (data := self.read(PIECE)):
                left -= len(data)


def receive(actor: Actor, digest: str) -> tuple[int, bool]:
    """Store the request's body under ``digest``, and record that ``actor`` sent it; returns its size and whether it is new.

    Refuses like :func:`store`, what is larger than COUNTERSIGN_MAX_UPLOAD_BYTES.
    """
    limit = here().settings.max_upload_bytes
    size = store(digest, limit=limit, hint="Ask an operator to raise COUNTERSIGN_MAX_UPLOAD_BYTES.")
    with db.separate() as unit:
        return size, uploads.note(unit, actor=actor, digest=digest, size=size)


def store(digest: str, *, limit: int, hint: str) -> int:
    """Store the request's body under ``digest``; returns its size.

    :param limit: most bytes; ``hint`` says what to do about more.
    :raises LengthRequired: no Content-Length, and no other end that the server knows.
    :raises TooLarge: more than ``limit``.
    :raises DigestMismatch: the bytes are others.
    :raises StorageFull: no room; nothing is kept.
    """
    db.release()
    with _patience():
        announced = _length()
        body = Incoming(request.environ["wsgi.input"], announced)
        try:
            if (announced or 0) > limit:
                raise TooLarge(f"{announced} bytes were announced, at most {limit} are taken", hint=hint)
            _, size = here().store.put(body, expected=digest, limit=limit)
        except RegistryError:
            body.discard()
            raise
    return size


def checked(digest: str) -> str:
    """The digest of an address.

    :raises Invalid: it is none.
    """
    try:
        digests.parse(digest)
    except ValueError as error:
        raise Invalid(str(error), hint="Write sha256: and 64 lower-case hex digits.") from None
    return digest


def _length() -> int | None:
    text = request.environ.get("CONTENT_LENGTH") or ""  # WSGI lets servers say "" for none
    if text.isascii() and text.isdecimal():
        return int(text)
    if request.environ.get("wsgi.input_terminated") and request.headers.get("Transfer-Encoding"):
        return None
    raise LengthRequired


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Bound the wait for each piece, where the server lets us reach its socket (gunicorn does)."""
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    if connection is None:
        yield
        return
    before = connection.gettimeout()
    connection.settimeout(STALLED_SECONDS)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # closed meanwhile
            connection.settimeout(before)
