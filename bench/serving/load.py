"""The closed loop of the measurement: so many connections, each asks again as soon as it is answered."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import uvloop

from bench.figures import NotMeasured
from bench.serving.answers import Check

CONNECT_SECONDS = 10
ANSWER_SECONDS = 120  # beyond the end of a round, for the last answers


@dataclass(frozen=True)
class Load:
    """What one round measured. Seconds from the first request to the last answer, and of each answer."""

    answers: int
    seconds: float
    latencies: list[float]
    client_cpu: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds

    def quantile(self, share: float) -> float:
        """Seconds within which ``share`` of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def median(self) -> float:
        """Seconds of the answer in the middle."""
        return statistics.median(self.latencies)


class Drive:
    """What the connections of a round share: which request is next, until when to ask, and the clock of each answer."""

    def __init__(self, requests: Sequence[bytes], check: Check, seconds: float, pause: float = 0.0) -> None:
        """:param pause: seconds of each connection between an answer and the next request."""
        self.requests = requests
        self.latencies: list[float] = []
        self.failed: Exception | None = None
        self.pause = pause
        self._check = check
        self._next = 0
        self._open = 0
        self._seconds = seconds
        self._end = 0.0
        self._done = asyncio.get_running_loop().create_future()

    def begin(self, connections: int) -> None:
        """From now on time counts."""
        self._open = connections
        self._end = time.perf_counter() + self._seconds

    def take(self) -> int | None:
        """The place of the next request; ``None``: the round is over for this connection."""
        if time.perf_counter() >= self._end or self.failed:
            self._open -= 1
            if not self._open and not self._done.done():
                self._done.set_result(None)
            return None
        place = self._next
        self._next = (place + 1) % len(self.requests)
        return place

    def answered(self, place: int, body: bytes, began: float) -> None:
        """Note an answer, and judge it."""
        self.latencies.append(time.perf_counter() - began)
        try:
            self._check(place, body)
        except Exception as error:  # noqa: BLE001  # raised by wait(), in the task of the caller
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End the round: what it measured counts for nothing."""
        self.failed = self.failed or error
        if not self._done.done():
            self._done.set_result(None)

    async def wait(self) -> None:
        """Until the last answer.

        :raises Exception: what made the round fail.
        """
        async with asyncio.timeout(self._seconds + ANSWER_SECONDS):
            await self._done
        if self.failed:
            raise self.failed


class Connection(Protocol):
    """One connection of a round."""

    async def opened(self) -> None:
        """Wait until requests may be sent."""

    def ask(self) -> None:
        """Send the next request, if there is one."""

    def close(self) -> None:
        """Hang up."""


Connect = Callable[[Drive], asyncio.Protocol]


def run(
    connect: Callable[[Drive], asyncio.Protocol],
    port: int,
    requests: Sequence[bytes],
    check: Check,
    *,
    connections: int,
    seconds: float,
    pause: float = 0.0,
) -> Load:
    """Measure one round against a server on this machine.

    :param connect: makes a connection, which is also a :class:`Connection`.
    :raises WrongAnswer: an answer was not scikit-learn's.
    :raises NotMeasured: the server refused, hung up or did not answer.
    """
    try:
        return uvloop.run(_run(connect, port, Plan(requests, check, connections, seconds, pause)))
    except (OSError, TimeoutError) as error:
        raise NotMeasured(f"port {port}: {error or type(error).__name__}") from None


@dataclass(frozen=True)
class Plan:
    """One round."""

    requests: Sequence[bytes]
    check: Check
    connections: int
    seconds: float
    pause: float


async def _run(connect: Callable[[Drive], asyncio.Protocol], port: int, plan: Plan) -> Load:
    loop = asyncio.get_running_loop()
    drive = Drive(plan.requests, plan.check, plan.seconds, plan.pause)
    made: list[Connection] = []
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            for _ in range(plan.connections):
                _, protocol = await loop.create_connection(lambda: connect(drive), "127.0.0.1", port)
                made.append(protocol)  # type: ignore[arg-type]  # it is both
                await made[-1].opened()
        drive.begin(len(made))
        began, cpu = time.perf_counter(), time.process_time()
        for connection in made:
            connection.ask()
        await drive.wait()
        seconds = time.perf_counter() - began
        return Load(len(drive.latencies), seconds, drive.latencies, time.process_time() - cpu)
    finally:
        for connection in made:
            connection.close()
