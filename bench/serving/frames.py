"""Whole frames in one request, and what one of them does to the small requests beside it."""

import http.client
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.figures import Figure, NotMeasured, Result, Target
from bench.serving import cases, ours, payloads
from bench.serving.answers import Check
from bench.serving.cases import Case
from bench.serving.load import run
from bench.serving.rest_client import RestConnection, post
from bench.serving.rounds import Found, Lane, Plan, best, by_turns
from bench.serving.sides import Side, infer
from bench.serving.tables import table

SIZES = (1_000, 100_000)
LEAST = {("JSON", 1_000): 1.5, ("binary", 100_000): 5.0, ("Arrow", 100_000): 5.0}
SMALL_CONNECTIONS, SMALL_PAUSE = 4, 0.004  # the small requests leave most of the machine to the frame
MOST_DELAY_MS = 5.0


def frames(case: Case, sides: Sequence[Side], plan: Plan) -> Result:
    """One client, one frame after the other; the others take theirs as JSON, which is what they have in common."""
    result = Result()
    cells: dict[str, dict[str, Found]] = {}
    for rows in SIZES:
        plan.say(f"frames of {rows:,} rows")
        matrix, labels = cases.frame(case, rows)
        forms = _forms(case, matrix)
        mine = next(side for side in sides if side.name == ours.NAME)
        lanes = [_lane(f"{mine.name} {name}", mine, case, *forms[name], labels) for name in forms]
        for side in sides:
            if side is not mine:
                body = side.body(case, matrix.tolist())
                request = payloads.requests(side.path(case), [body])[0]
                lanes.append(_lane(f"{side.name} JSON", side, case, request, side.read, labels))
        found = by_turns(lanes, 1, plan, result.notes)
        cells[f"{rows:,} rows"] = found
        peers = {name: each for name, each in found.items() if not name.startswith(mine.name)}
        for form in forms:
            each = found[f"{mine.name} {form}"]
            name, limit = best(peers, mine.name, lambda peer: peer.rate)
            least = LEAST.get((form, rows))
            target = Target(least, at_least=True, of_ratio=True) if least else None
            said = f"{1000 / each.rate:,.0f} ms a frame; {each.spread('rows/s', rows)}"
            if limit.rate > each.rate:
                result.notes.append(f"a peer is better: {name} takes {rows:,} rows faster than our {form}")
            speed, beside = each.rate * rows, limit.rate * rows
            result.figures.append(
                Figure(f"frame of {rows:,} rows, {form}", speed, "rows/s", beside, name, target, said)
            )
    result.details = "Frames a second · median/99th percentile in ms · µs of CPU per frame:\n\n" + table(cells)
    return result


def beside_frames(case: Case, sides: Sequence[Side], plan: Plan) -> Result:
    """The 99th percentile of small requests, alone and while one client sends one frame after the other."""
    result = Result()
    mine = next(side for side in sides if side.name == ours.NAME)
    server = mine.servers[case.name]
    requests, expected = mine.requests(case), [[label] for label in case.expected]
    check = Check(mine.name, mine.read, expected)
    matrix, labels = cases.frame(case, SIZES[-1])

    def p99() -> float:
        options = {"connections": SMALL_CONNECTIONS, "seconds": 2 * plan.seconds, "pause": SMALL_PAUSE}
        return 1000 * run(RestConnection, server.port, requests, check, **options).quantile(0.99)  # type: ignore[arg-type]

    for form, (frame, read) in _forms(case, matrix).items():
        alone, beside = [], []
        for _ in range(plan.rounds):
            plan.say(f"small requests beside frames of {SIZES[-1]:,} rows as {form}")
            alone.append(p99())
            with _sending(server.port, frame, Check(mine.name, read, [labels])) as sent:
                beside.append(p99())
            if not sent():
                raise NotMeasured("no frame was answered while the small requests were measured")
        delays = [late - early for late, early in zip(beside, alone, strict=True)]
        title = f"delay of small requests at p99, {form} frame of {SIZES[-1]:,} rows in flight"
        also = f"{min(delays):.1f} to {max(delays):.1f} ms; alone {statistics.median(alone):.1f} ms"
        limit = statistics.median(alone)
        target = Target(MOST_DELAY_MS)
        result.figures.append(Figure(title, statistics.median(delays), "ms", limit, "p99 alone", target, also))
    return result


def _forms(case: Case, matrix: np.ndarray[Any, Any]) -> dict[str, tuple[bytes, Any]]:
    """Our forms of a frame: the whole request, and how its answer is read."""
    path = infer(case)
    body, headers = payloads.oip_binary(matrix)
    stream = {"Content-Type": "application/vnd.apache.arrow.stream", "Accept": "application/vnd.apache.arrow.stream"}
    plain = payloads.requests(path, [payloads.oip(case, matrix.tolist())])[0]
    return {
        "JSON": (plain, payloads.read_oip),
        "binary": (post(path, body, headers), payloads.read_oip_binary),
        "Arrow": (post(f"{path}?outputs=predict", payloads.arrow(case, matrix), stream), payloads.read_arrow),
    }


def _lane(name: str, side: Side, case: Case, request: bytes, read: Any, labels: list[Any]) -> Lane:
    server = side.servers[case.name]
    return Lane(name, server, RestConnection, server.port, [request], Check(name, read, [labels]))


@contextmanager
def _sending(port: int, request: bytes, check: Check) -> Iterator[Callable[[], int]]:
    """Send a frame again and again, from another process: its work must not be in the way of the small requests' clock.

    Gives how many answers have come; raises what went wrong at the end of the block.
    """
    fork = multiprocessing.get_context("fork")  # the frame is there without being copied
    over, sent, failed = fork.Event(), fork.Value("i", 0), fork.SimpleQueue()

    def send() -> None:
        try:
            for _ in _answers(port, request, check):
                sent.value += 1
                if over.is_set():
                    break
        except Exception as error:  # noqa: BLE001  # raised below, in the process that waits
            failed.put(f"{type(error).__name__}: {error}")

    process = fork.Process(target=send)
    process.start()
    try:
        yield lambda: int(sent.value)
    finally:
        over.set()
        process.join()
    if process.exitcode or not failed.empty():
        why = failed.get() if not failed.empty() else f"the process ended with {process.exitcode}"
        raise NotMeasured(f"sending frames failed: {why}")


def _answers(port: int, request: bytes, check: Check) -> Iterator[None]:
    """Ask for one frame after the other without an end; every answer is judged."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        while True:
            connection.request("POST", line.split()[1], body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise NotMeasured(f"a frame was answered {answer.status}: {said[:200]!r}")
            check(0, said)
            yield
    finally:
        connection.close()
