"""Sides measured by turns, so that what else the machine does meets all of them; medians and spread over the rounds."""

import contextlib
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.figures import NotMeasured, amount
from bench.serving.answers import Check, WrongAnswer
from bench.serving.load import Connect, Load, run
from bench.serving.servers import Server, pin

WARM_SECONDS = 0.3
SERVER_CORES = {0}


@dataclass(frozen=True)
class Plan:
    """How much to measure. ``say`` tells the person who waits what is going on."""

    seconds: float
    rounds: int
    say: Callable[[str], None]


@dataclass(frozen=True)
class Lane:
    """What one side is asked in a round."""

    name: str
    server: Server
    connect: Connect
    port: int
    requests: Sequence[bytes]
    check: Check


@dataclass
class Found:
    """What the rounds of one lane gave: requests a second, seconds, and CPU seconds of the server for each request."""

    rates: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)

    def add(self, load: Load, cpu: float) -> None:
        """Note a round."""
        self.rates.append(load.rate)
        self.medians.append(load.median)
        self.slowest.append(load.quantile(0.99))
        self.cpu.append(cpu / load.answers)
        self.client.append(load.client_cpu / load.seconds)

    @property
    def rate(self) -> float:
        """The middle round's requests a second."""
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        """The middle round's 99th percentile, in milliseconds."""
        return 1000 * statistics.median(self.slowest)

    @property
    def cpu_us(self) -> float:
        """The middle round's microseconds of the server's processes for each request."""
        return 1e6 * statistics.median(self.cpu)

    @property
    def client_share(self) -> float:
        """How much of a core the client was busy, in the middle round."""
        return statistics.median(self.client)

    def spread(self, unit: str = "req/s", times: float = 1.0) -> str:
        """Between which values the rounds lay."""
        return f"{amount(min(self.rates) * times, unit)} to {amount(max(self.rates) * times, unit)}"

    def cell(self) -> str:
        """Everything in a few characters: rate, median and 99th percentile, CPU."""
        middle = 1000 * statistics.median(self.medians)
        return f"{self.rate:,.0f} · {middle:.2f}/{self.p99:.2f} · {self.cpu_us:,.0f}"


@contextlib.contextmanager
def shared_cores(servers: Sequence[Server]) -> Iterator[str]:
    """Servers on one core, this client on the others, where there are several; gives what to say of it."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        yield "one core for servers and client"
        return
    for server in servers:
        pin(server, SERVER_CORES)
    os.sched_setaffinity(0, cores - SERVER_CORES)
    try:
        yield "servers on one core, the client on another"
    finally:
        os.sched_setaffinity(0, cores)
        for server in servers:
            pin(server, cores)


def by_turns(lanes: Sequence[Lane], connections: int, plan: Plan, notes: list[str]) -> dict[str, Found]:
    """Measure every lane in every round, in another order each time. The first lane is ours: it must not fail.

    :param notes: gets why a lane of the others is not in the answer.
    :raises WrongAnswer: the first lane answered something else than scikit-learn.
    """
    found: dict[str, Found] = {}
    for place, lane in enumerate(lanes):
        try:
            run(lane.connect, lane.port, lane.requests, lane.check, connections=connections, seconds=WARM_SECONDS)
            found[lane.name] = Found()
        except (NotMeasured, WrongAnswer) as error:
            if not place:
                raise
            notes.append(f"{lane.name} is left out at {connections} connections: {error}")
    taking_part = [lane for lane in lanes if lane.name in found]
    for number in range(plan.rounds):
        turn = number % len(taking_part)
        for lane in taking_part[turn:] + taking_part[:turn]:
            before = lane.server.cpu()
            load = run(
                lane.connect, lane.port, lane.requests, lane.check, connections=connections, seconds=plan.seconds
            )
            found[lane.name].add(load, lane.server.cpu() - before)
    return found


def best(found: dict[str, Found], mine: str, of: Callable[[Found], float]) -> tuple[str, Found]:
    """The peer with the largest value, and its name."""
    peers = [(name, each) for name, each in found.items() if name != mine]
    if not peers:
        raise NotMeasured("no peer was measured")
    return max(peers, key=lambda item: of(item[1]))
