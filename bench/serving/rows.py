"""One row per request: throughput, the slowest hundredth and CPU, over REST and over gRPC, beside the best peer."""

import sys
from collections.abc import Sequence

from bench.figures import Figure, Result, Target
from bench.serving import ours, payloads, servers
from bench.serving.answers import Check
from bench.serving.cases import Case
from bench.serving.grpc_client import GrpcConnection
from bench.serving.rest_client import RestConnection
from bench.serving.rounds import Found, Lane, Plan, best, by_turns
from bench.serving.sides import SCRIPTS, Side, infer
from bench.serving.tables import table

CONNECTIONS = (1, 16, 64)
ECHO = "echo"
REST, NOT_COMPILED, GRPC = {1: 5.0, 16: 10.0, 64: 10.0}, {1: 1.0, 16: 5.0, 64: 5.0}, {1: 4.0, 16: 5.0, 64: 5.0}


def rest(cases: Sequence[Case], sides: Sequence[Side], echo: servers.Server, plan: Plan) -> Result:
    """REST, every case on every side."""
    result = Result()
    cells: dict[str, dict[str, Found]] = {}
    for case in cases:
        lanes = [_rest_lane(case, side) for side in sides]
        bodies = [payloads.oip(case, [row]) for row in case.rows]
        requests = payloads.requests(infer(case), bodies)
        lanes.append(Lane(ECHO, echo, RestConnection, echo.port, requests, Check(ECHO, bytes, bodies)))
        for connections in CONNECTIONS:
            plan.say(f"one row over REST: {case.name}, {connections} connections")
            found = by_turns(lanes, connections, plan, result.notes)
            limit = found.pop(ECHO)
            cells[f"{case.name}, {connections}"] = found | {ECHO: limit}
            least = (REST if case.compiles else NOT_COMPILED)[connections]
            result.figures += _figures(case, f"{connections} connections", found, least, limit)
    _finish(result, cells)
    return result


def grpc(cases: Sequence[Case], sides: Sequence[Side], echo: servers.Server, plan: Plan) -> Result:
    """gRPC, every compiled case on the sides that have it."""
    result = Result()
    cells: dict[str, dict[str, Found]] = {}
    for case in cases:
        lanes = [_grpc_lane(case, side) for side in sides if side.servers[case.name].grpc_port]
        requests = [payloads.grpc_call(case, row) for row in case.rows]
        sent = [payloads.message_of(request) for request in requests]
        lanes.append(Lane(ECHO, echo, GrpcConnection, echo.grpc_port, requests, Check(ECHO, bytes, sent)))
        for connections in CONNECTIONS:
            plan.say(f"one row over gRPC: {case.name}, {connections} connections")
            found = by_turns(lanes, connections, plan, result.notes)
            limit = found.pop(ECHO)
            cells[f"{case.name}, {connections}"] = found | {ECHO: limit}
            where = f"gRPC, {connections} connections"
            result.figures += _figures(case, where, found, GRPC[connections], limit)[:1]
    _finish(result, cells)
    return result


def start_echo(started: list[servers.Server]) -> servers.Server:
    """The limit of both, in one process."""
    port, grpc_port = servers.free_port(), servers.free_port()
    program = SCRIPTS / "echo_server.py"
    server = servers.start("echo", [sys.executable, program, str(port), str(grpc_port)], port=port, grpc_port=grpc_port)
    started.append(server)
    return server.wait_ready("/")


def _rest_lane(case: Case, side: Side) -> Lane:
    server = side.servers[case.name]
    check = Check(side.name, side.read, [[label] for label in case.expected])
    return Lane(side.name, server, RestConnection, server.port, side.requests(case), check)


def _grpc_lane(case: Case, side: Side) -> Lane:
    server = side.servers[case.name]
    check = Check(side.name, payloads.read_grpc, [[label] for label in case.expected])
    requests = [payloads.grpc_call(case, row, typed=side.typed) for row in case.rows]
    return Lane(side.name, server, GrpcConnection, server.grpc_port, requests, check)


def _figures(case: Case, where: str, found: dict[str, Found], least: float, echo: Found) -> list[Figure]:
    """Throughput, the slowest hundredth and CPU."""
    mine = found[ours.NAME]
    fast_name, fast = best(found, ours.NAME, lambda each: each.rate)
    calm_name, calm = best(found, ours.NAME, lambda each: -each.p99)
    lean_name, lean = best(found, ours.NAME, lambda each: -each.cpu_us)
    title = f"{case.title}, {where}"
    also = f"{mine.spread()}; {fast_name} {fast.spread()}; echo {echo.rate:,.0f}"
    return [
        Figure(title, mine.rate, "req/s", fast.rate, fast_name, Target(least, at_least=True, of_ratio=True), also),
        Figure(f"{title}: p99", mine.p99, "ms", calm.p99, calm_name, Target(1.0, of_ratio=True)),
        Figure(
            f"{title}: CPU per request",
            mine.cpu_us,
            "µs",
            lean.cpu_us,
            lean_name,
            Target(0.1, of_ratio=True) if case.compiles else None,
        ),
    ]


def _finish(result: Result, cells: dict[str, dict[str, Found]]) -> None:
    """The table of all sides, and where a peer was better."""
    result.details = "Requests a second · median/99th percentile in ms · µs of CPU per request:\n\n" + table(cells)
    better = []
    for name, found in cells.items():
        mine = found[ours.NAME]
        for peer, each in found.items():
            if peer in (ours.NAME, ECHO):
                continue
            ways = [
                word
                for word, ahead in (
                    ("throughput", each.rate > mine.rate),
                    ("p99", each.p99 < mine.p99),
                    ("CPU", each.cpu_us < mine.cpu_us),
                )
                if ahead
            ]
            if ways:
                better.append(f"{peer} in {' and '.join(ways)} ({name} connections)")
    result.notes.append(f"a peer is better: {'; '.join(better)}" if better else "no peer is better in any cell here")
    busiest = max(found[ours.NAME].client_share for found in cells.values())
    result.notes.append(f"the client was busy for at most {busiest:.0%} of a core in a round of Countersign's")
