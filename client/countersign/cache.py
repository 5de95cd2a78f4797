"""Downloaded files by digest, so that a second pull needs no network and a cut one goes on where it stopped.

The folder may be removed at any time. Nothing is believed because it lies here: every use hashes it again.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from countersign.formats import digest as digests

UNUSED_DAYS = 30


class Cache:
    """Files below ``folder``, named by digest; created when first written to, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "blobs"

    def path(self, digest: str) -> Path:
        return self._folder / digests.parse(digest)

    @contextlib.contextmanager
    def writing(self, digest: str) -> Iterator[Path]:
        """The partial file of ``digest`` for one process at a time; call `keep` when it is whole."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = self.path(digest).with_suffix(".part")
        # The lock is on a file of its own: the partial file is renamed away while others may wait for it.
        with partial.with_suffix(".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield partial

    def keep(self, digest: str, partial: Path) -> Path:
        """Give the whole and verified ``partial`` its name."""
        return partial.rename(self.path(digest))

    def touch(self, digest: str) -> None:
        """Mark as used now."""
        os.utime(self.path(digest))

    def drop(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove what nobody used for a month."""
        oldest = time.time() - UNUSED_DAYS * 86400
        for file in self._folder.glob("*") if self._folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mtime < oldest:
                    file.unlink()
