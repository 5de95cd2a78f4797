"""SHA-256 digests as text: `sha256:` and 64 lower-case hex digits, the one spelling used everywhere."""

import hashlib
import re
from pathlib import Path
from typing import Protocol

CHUNK = 1 << 20  # bytes per read: large enough that hashing dominates, small enough to keep memory flat

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class LimitExceeded(ValueError):
    """A stream held more bytes than its limit allows."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


def of_bytes(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def of_file(path: str | Path) -> tuple[str, int]:
    """Digest and size in bytes of the file at ``path``, read in a stream."""
    with Path(path).open("rb") as file:
        hexdigest = hashlib.file_digest(file, "sha256").hexdigest()
        return "sha256:" + hexdigest, file.tell()


def of_stream(source: Readable) -> tuple[str, int]:
    """Digest and size in bytes of what ``source`` holds until it ends."""
    hasher = hashlib.sha256()
    size = 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        hasher.update(chunk)
    return "sha256:" + hasher.hexdigest(), size


def parse(text: str) -> str:
    """The 64 hex digits of a digest.

    :raises ValueError: ``text`` is not exactly `sha256:` and 64 lower-case hex digits.
    """
    match = _DIGEST.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a digest: write sha256: and 64 lower-case hex digits")
    return match.group(1)


def short(text: str) -> str:
    """A digest for the eye, `sha256:9f2c41…e07b`; never for comparing."""
    hexdigits = parse(text)
    return f"sha256:{hexdigits[:6]}…{hexdigits[-4:]}"


def copy_hashing(source: Readable, sink: Writable, limit: int | None = None) -> tuple[str, int]:
    """Copy ``source`` to ``sink`` until it ends, hashing on the way.

    :param limit: largest number of bytes accepted; nothing past it reaches the sink.
    :returns: digest and number of bytes copied.
    :raises LimitExceeded: the source held more than ``limit`` bytes.
    """
    hasher = hashlib.sha256()
    size = 0
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if limit is not None and size > limit:
            raise LimitExceeded(f"more than the {limit} bytes allowed: send a smaller file or raise the limit")
        hasher.update(chunk)
        sink.write(chunk)
    return "sha256:" + hasher.hexdigest(), size
