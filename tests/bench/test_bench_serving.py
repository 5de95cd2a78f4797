"""The load of `make bench-serving`: it counts answers, and a wrong one ends the measurement."""

import subprocess
import sys
import time
import urllib.request

import pytest

from bench.figures import NotMeasured
from bench.serving import payloads, servers
from bench.serving.answers import Check, WrongAnswer
from bench.serving.cases import Case
from bench.serving.grpc_client import GrpcConnection
from bench.serving.load import run
from bench.serving.rest_client import RestConnection
from bench.serving.sides import SCRIPTS

CASE = Case("numbers", "two numbers", "matrix", None, ("a", "b"), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0, 1, 0])
BODIES = [payloads.oip(CASE, [row]) for row in CASE.rows]
REQUESTS = payloads.requests("/echo", BODIES)


@pytest.fixture(scope="module")
def echo():
    """A server that sends back what it was sent: ports of REST and gRPC."""
    ports = servers.free_port(), servers.free_port()
    process = subprocess.Popen([sys.executable, SCRIPTS / "echo_server.py", *map(str, ports)])
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.05)
        yield ports
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("connections", [1, 4])
def test_every_answer_is_counted_and_checked(echo, connections):
    load = run(RestConnection, echo[0], REQUESTS, Check("echo", bytes, BODIES), connections=connections, seconds=0.2)
    assert load.answers == len(load.latencies) > 3
    assert load.rate == pytest.approx(load.answers / load.seconds)
    assert 0 < load.median <= load.quantile(0.99) < 1


def test_grpc_calls_are_counted_and_checked(echo):
    calls = [payloads.grpc_call(CASE, row) for row in CASE.rows]
    expected = [payloads.message_of(call) for call in calls]
    load = run(GrpcConnection, echo[1], calls, Check("echo", bytes, expected), connections=4, seconds=0.3)
    assert load.answers > 3


@pytest.mark.parametrize("connections", [1, 4])
def test_one_wrong_answer_ends_the_measurement(echo, connections):
    wrong = [*BODIES[:2], b"something else"]
    with pytest.raises(WrongAnswer, match="echo: request 2"):
        run(RestConnection, echo[0], REQUESTS, Check("echo", bytes, wrong), connections=connections, seconds=5)


def test_an_answer_that_cannot_be_read_is_a_wrong_one(echo):
    with pytest.raises(WrongAnswer, match="request 0 was answered"):
        run(
            RestConnection,
            echo[0],
            REQUESTS,
            Check("echo", payloads.read_predictions, [[0]] * 3),
            connections=1,
            seconds=5,
        )


def test_nobody_there_is_not_measured():
    with pytest.raises(NotMeasured):
        run(RestConnection, servers.free_port(), REQUESTS, Check("nobody", bytes, BODIES), connections=1, seconds=0.1)


def test_answers_are_read_from_what_each_server_says():
    assert payloads.read_oip(b'{"outputs": [{"name": "predict", "data": [1, 0]}]}') == [1, 0]
    head = b'{"outputs": [{"name": "predict", "shape": [2], "parameters": {"binary_data_size": 16}}]}'
    assert payloads.read_oip_binary(head + b"\1" + b"\0" * 7 + b"}" + b"\0" * 7) == [1, 125]
