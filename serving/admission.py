"""The door: how many requests, and how many bytes of them, this server holds at once."""

import asyncio

from serving.errors import Busy, Unavailable
from serving.settings import Settings

BODIES = 4  # bodies of the largest size that may be in memory together


class Door:
    """Counts the inference requests under way, over REST and gRPC alike."""

    def __init__(self, settings: Settings) -> None:
        self.draining = False
        self.active = 0
        self._places = settings.max_concurrency
        self._bytes = 0
        self._most_bytes = BODIES * settings.max_body
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self) -> None:
        """Take a place.

        :raises Unavailable: the server is going away.
        :raises Busy: every place is taken.
        """
        if self.draining:
            raise Unavailable("this server is shutting down; send the request again, another one will take it")
        if self.active >= self._places:
            raise Busy(f"{self.active} requests are under way, as many as this server takes; try again in a second")
        self.active += 1
        self._empty.clear()

    def hold(self, size: int) -> None:
        """Account for ``size`` bytes of a body that is kept in memory.

        :raises Busy: the bodies of all requests together are too large.
        """
        if self._bytes + size > self._most_bytes:
            raise Busy(
                f"requests of {self._bytes} bytes are under way, as many as this server takes; try again in a second"
            )
        self._bytes += size

    def leave(self, held: int = 0) -> None:
        """Give the place and ``held`` bytes back."""
        self.active -= 1
        self._bytes -= held
        if not self.active:
            self._empty.set()

    async def emptied(self, seconds: float) -> bool:
        """Wait until nothing is under way; False when ``seconds`` were not enough."""
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            return False
        return True
