"""Memory stays flat while requests of every kind keep coming: thousands here, a million in `make soak`."""

import itertools
import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import serving_image as si

REQUESTS = 1_000_000 if os.environ.get("COUNTERSIGN_SOAK") else 4_000
CALLERS = 8
PIPELINED = 25
GROWN_MB = 12
"""What a process may hold more after all requests than after the first tenth: allocators' leftovers, not a leak."""


@pytest.fixture
def server(trained, tmp_path, serve):
    """A compiled text model, a compiled matrix and one served by its own library, each on a route."""
    members = {
        "payments/voice:1": si.compiled(trained["voice-1"]),
        "risk/matrix:3": si.compiled(trained["matrix"]),
        "risk/customers:1": trained["frame"],
    }
    routes = {"voice": "payments/voice:1", "matrix": "risk/matrix:3", "customers": "risk/customers:1"}
    return serve(si.build(tmp_path / "image", members, {route: {ref: 100} for route, ref in routes.items()}))


def request(path, message):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def kinds(frame_sample):
    """Requests in turn, each with its status: most are right, some name no model, some cannot be read or do not fit."""
    matrix = request("/v2/models/matrix/infer", {"inputs": si.matrix_input([[0.5, 1.0, 1.5, 2.0]])})
    voice = request("/v2/models/voice/infer", {"inputs": si.text_input("my card was stolen", "é" * 300)})
    return [
        *[(matrix, 200), (voice, 200)] * 9,
        (request("/v2/models/customers/infer", {"inputs": si.frame_input(frame_sample)}), 200),
        (request("/v2/models/matrix/infer", {"inputs": si.matrix_input([[0.5] * 4] * 300)}), 200),
        (request("/v2/models/matrix/infer", {"inputs": si.matrix_input([[0.5, 1.0]])}), 400),
        (request("/v2/models/voice/infer", b'{"inputs": [{'), 400),
        (request("/v2/models/nobody/infer", {"inputs": si.text_input("lost")}), 404),
    ]


def memory_mb(pid):
    """Resident memory of a process."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(told.stdout) / 1024


def send(server, wanted, count):
    """Send ``count`` requests on one connection, several at a time; every answer has the status its request deserves."""
    turn = itertools.cycle(wanted)
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as connection:
        answers = connection.makefile("rb")
        for _ in range(0, count, PIPELINED):
            sent = [next(turn) for _ in range(PIPELINED)]
            connection.sendall(b"".join(data for data, _ in sent))
            for _, expected in sent:
                status = int(answers.readline().split()[1])
                length = 0
                while (line := answers.readline()) != b"\r\n":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                body = answers.read(length)
                assert status == expected, body[:500]


@pytest.mark.slow
def test_memory_is_flat_over_many_requests(server, trained):
    wanted = kinds(trained["frame"].sample[:3])
    pids = {"server": server.process.pid, "model process": server.model_pid("risk/customers:1")}

    def run(count):
        with ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(lambda _: send(server, wanted, count // CALLERS), range(CALLERS)))
        return {name: memory_mb(pid) for name, pid in pids.items()}

    before = run(REQUESTS // 10)
    after = run(REQUESTS - REQUESTS // 10)
    grown = {name: round(after[name] - before[name], 1) for name in pids}
    assert all(megabytes < GROWN_MB for megabytes in grown.values()), (grown, before, after)
