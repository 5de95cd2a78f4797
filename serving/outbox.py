"""What leaves the server beside its answers (predictions to log, spans to export): bounded, in a thread, never in a request's way."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from serving.logs import Log
from serving.metrics import Metrics

MOST = 10_000  # items that wait; more are dropped and counted
PAUSE_SECONDS = 1.0

T = TypeVar("T")


class Outbox(Generic[T]):
    """A queue that is emptied once a second by ``deliver``, which may block.

    :param what: names the items in metrics and log.
    :param deliver: takes all that waits; an OSError loses these, is logged once, and the next ones are tried again.
    """

    def __init__(self, what: str, deliver: Callable[[Sequence[T]], None], metrics: Metrics, log: Log) -> None:
        self._what = what
        self._deliver = deliver
        self._log = log
        self._waiting: list[T] = []
        self._delivered, self._dropped, self._lost = (
            metrics.outbox.labels(what, outcome) for outcome in ("delivered", "dropped", "lost")
        )
        self._failing = False

    def put(self, item: T) -> None:
        if len(self._waiting) < MOST:
            self._waiting.append(item)
        else:
            self._dropped.inc()

    async def run(self) -> None:
        """Deliver again and again, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Deliver what waits now."""
        items, self._waiting = self._waiting, []
        if not items:
            return
        try:
            await asyncio.to_thread(self._deliver, items)
        except OSError as error:
            self._lost.inc(len(items))
            if not self._failing:
                self._log.error(f"{self._what} lost", reason=str(error), items=len(items))
            self._failing = True
        else:
            self._delivered.inc(len(items))
            self._failing = False
