"""Content-addressed store: bytes are hashed on the way to disk, put once, and checked again on every read.

``incoming/`` holds uploads under way, ``objects/ab/<hex>`` what is complete. A finished object never changes: it is
linked into place (which fails when it is there already), made read-only, and its folder is synced.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol

from formats import digest as digests
from registry import faults
from registry.errors import DigestMismatch, NotFound, StorageFull, TooLarge, Unavailable

CHUNK = 1 << 20
ABANDONED_SECONDS = 24 * 3600


class Readable(Protocol):
    """Anything with ``read(n)``."""

    def read(self, size: int, /) -> bytes: ...


class LocalStore:
    """The store in a folder of one file system."""

    def __init__(self, root: Path) -> None:
        """Open the folder; one that is made now can be read by its owner only."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming = root / "incoming"
        self._objects = root / "objects"
        for folder in (self._incoming, self._objects):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, source: Readable, *, expected: str | None = None, limit: int | None = None) -> tuple[str, int]:
        """Stream ``source`` in and return (digest, size); nothing is kept unless all of it arrived and fits.

        :param expected: digest it must have.
        :param limit: most bytes accepted.
        :raises DigestMismatch: the bytes have another digest than ``expected``.
        :raises TooLarge: more than ``limit`` bytes came.
        :raises StorageFull: the disk is full; nothing is left behind.
        """
        path = self._incoming / secrets.token_hex(16)
        try:
            digest, size = self._receive(source, path, limit)
            if expected is not None and digest != expected:
                raise DigestMismatch(
                    f"expected {expected}, the {size} bytes that came have {digest}",
                    hint="The file changed or was cut on its way: send it again.",
                )
            self._publish(path, digest)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StorageFull(
                    "the disk of the store is full, nothing was kept", hint="Tell an operator; then send it again."
                ) from error
            raise
        finally:
            path.unlink(missing_ok=True)
        return digest, size

    def _receive(self, source: Readable, path: Path, limit: int | None) -> tuple[str, int]:
        hasher, size = hashlib.sha256(), 0
        hashed: Future[None] | None = None
        with path.open("xb", buffering=0) as sink, ThreadPoolExecutor(1) as beside:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if limit is not None and size > limit:
                    raise TooLarge(
                        f"more than {limit} bytes came", hint="Ask an operator to raise COUNTERSIGN_MAX_UPLOAD_BYTES."
                    )
                if hashed is not None:
                    hashed.result()
                # Hashing takes as long as receiving and writing together, and lets go of the interpreter's lock.
                hashed = beside.submit(hasher.update, chunk)
                view = memoryview(chunk)
                while view:
                    view = view[sink.write(view) :]
            if hashed is not None:
                hashed.result()
            os.fchmod(sink.fileno(), 0o440)
            os.fsync(sink.fileno())
        faults.reach("fsync")
        return f"sha256:{hasher.hexdigest()}", size

    def _publish(self, path: Path, digest: str) -> None:
        target = self.path(digest)
        with contextlib.suppress(FileExistsError):
            target.parent.mkdir()
            _sync_folder(self._objects)
        with contextlib.suppress(FileExistsError):
            target.hardlink_to(path)
        _sync_folder(target.parent)
        faults.reach("published")

    def path(self, digest: str) -> Path:
        """Where the object of this digest is, or would be."""
        name = digests.parse(digest)
        return self._objects / name[:2] / name

    def has(self, digest: str) -> bool:
        """Whether the object is there."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Bytes of an object.

        :raises NotFound: no such object.
        """
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise NotFound(f"{digest} is not in the store") from None

    def open(self, digest: str) -> BinaryIO:
        """Open an object for reading; the reader checks it (see :meth:`chunks`) or seeks in it.

        :raises NotFound: no such object.
        """
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"{digest} is not in the store") from None

    def chunks(self, digest: str) -> Iterator[bytes]:
        """All bytes of an object, checked: a damaged object raises before its last chunk is given out.

        :raises Unavailable: the bytes on disk are no longer those of ``digest``.
        """
        hasher = hashlib.sha256()
        with self.open(digest) as source:
            held = b""
            while chunk := source.read(CHUNK):
                hasher.update(chunk)
                if held:
                    yield held
                held = chunk
            if f"sha256:{hasher.hexdigest()}" != digest:
                raise Unavailable(
                    f"the stored object {digest} is damaged",
                    hint="Tell an operator: restore it from a backup of the store.",
                )
            yield held

    def read(self, digest: str, *, limit: int) -> bytes:
        """A small object, whole and checked.

        :raises TooLarge: it is larger than ``limit`` bytes.
        """
        if (size := self.size(digest)) > limit:
            raise TooLarge(f"{digest} has {size} bytes, more than the {limit} expected here")
        return b"".join(self.chunks(digest))

    def copy_to(self, digest: str, path: Path) -> None:
        """Write a checked copy of an object to ``path``."""
        with path.open("wb") as sink:
            for chunk in self.chunks(digest):
                sink.write(chunk)

    def sweep(self, *, older_than: float = ABANDONED_SECONDS) -> int:
        """Remove uploads abandoned for ``older_than`` seconds; returns how many. Objects are never touched."""
        removed = 0
        for path in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - older_than:
                    path.unlink()
                    removed += 1
        return removed

    def digests(self) -> Iterator[str]:
        """Every object there is, in no order: for comparing with the database."""
        for folder in self._objects.iterdir():
            for path in folder.iterdir():
                yield f"sha256:{path.name}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
