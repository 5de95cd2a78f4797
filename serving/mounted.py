"""Mounted files that are read again when they change: weights, revocations, certificates, tokens."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

LOOK_SECONDS = 1.0


class MountedFile:
    """One file, and whether it is another one than when it was last read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text: bytes | None = None  # as last read; None while it is not there
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Read the file if it is another one than last time; a file that is gone has changed, too."""
        try:
            stat = self.path.stat()  # of what a link leads to: orchestrators replace a link to replace the file
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return False
            self.text = self.path.read_bytes()
        except OSError:
            seen, self.text = None, None
            if self._seen is None:
                return False
        self._seen = seen
        return True


async def watch(looks: Sequence[Callable[[], None]]) -> None:
    """Look again and again, until cancelled. A fault of one look is told, and stops none of the others."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for look in looks:
            try:
                look()
            except Exception as error:  # noqa: BLE001  # whatever it is, revocations must go on being obeyed
                told = {"message": "looking at a mounted file failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)
