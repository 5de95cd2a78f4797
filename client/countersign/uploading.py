"""Sending files: hashed first, skipped when the server has them, resumed by asking again after a cut."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from countersign import transport
from countersign.api import Api
from countersign.collecting import Content
from countersign.errors import Unusable, VerificationError
from countersign.formats import digest as digests
from countersign.progress import HASHING, SENDING, SENT, STORED, OnProgress, Progress


@dataclass(frozen=True, slots=True)
class Item:
    """A file on its way: its path in the version, its content, its digest and size in bytes."""

    path: str
    content: Content
    digest: str
    size: int

    def open(self) -> BinaryIO:
        return self.content.open("rb") if isinstance(self.content, Path) else io.BytesIO(self.content)


def hash_files(files: Mapping[str, Content], on_progress: OnProgress) -> list[Item]:
    """Digest and size of each file, by path in the version.

    :raises Unusable: a file cannot be read.
    """
    items = []
    for path, content in sorted(files.items()):
        try:
            on_progress(Progress(path, HASHING, 0, size_of(content)))
            if isinstance(content, Path):
                digest, size = digests.of_file(content)
            else:
                digest, size = digests.of_bytes(content), len(content)
        except OSError as error:
            raise Unusable(
                f"{content!s} cannot be read: {error.strerror}", hint="Check the path and its permissions."
            ) from None
        items.append(Item(path, content, digest, size))
    return items


def size_of(content: Content) -> int:
    """Bytes of a file, or of content that is in memory.

    :raises OSError: the file is not there.
    """
    return content.stat().st_size if isinstance(content, Path) else len(content)


def send(api: Api, items: list[Item], on_progress: OnProgress) -> int:
    """Make sure that the server holds every item; the number of bytes that had to travel."""
    return sum(_send(api, item, on_progress) for item in items)


def _send(api: Api, item: Item, on_progress: OnProgress) -> int:
    def once(attempt: int) -> int:
        # Asked before every try: bytes whose answer was lost on the way back are not sent twice.
        if api.has_blob(item.digest):
            on_progress(Progress(item.path, STORED if attempt == 1 else SENT, item.size, item.size))
            return 0 if attempt == 1 else item.size
        _put(api, item, on_progress)
        on_progress(Progress(item.path, SENT, item.size, item.size))
        return item.size

    try:
        return api.transport.insist(once)
    except VerificationError as error:
        raise VerificationError(
            f"{item.path} is not what it was when it was hashed: {error.message}",
            hint="Something wrote to it during the push. Push again.",
            code=error.code,
            request_id=error.request_id,
        ) from None


def _put(api: Api, item: Item, on_progress: OnProgress) -> None:
    with body_of(item, on_progress) as body:
        api.put_blob(item.digest, body)


@contextmanager
def body_of(item: Item, on_progress: OnProgress) -> Iterator[transport.FileBody | bytes]:
    """The bytes of an item as they travel."""
    sent = 0

    def advance(count: int) -> None:
        nonlocal sent
        sent += count
        on_progress(Progress(item.path, SENDING, sent, item.size))

    with item.open() as file:
        # A stream of length 0 would be sent chunked, which the API refuses; empty bytes are not.
        yield transport.FileBody(file, item.size, advance) if item.size else b""
