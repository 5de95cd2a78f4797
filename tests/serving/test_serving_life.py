"""A server's life under trouble: full, slow, crashing, going away. Only the requests that must fail do."""

import contextlib
import json
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
import serving_image as si

REF = "risk/matrix:3"
ROW = [0.5, 1.0, 1.5, 2.0]
PLACES = 6


@pytest.fixture(scope="module")
def build(trained):
    """Images with the one matrix model."""

    def make(folder):
        return si.build(folder / "image", {REF: trained["matrix"]}, {"matrix": {REF: 100}})

    return make


@pytest.fixture
def small_image(build, tmp_path):
    return build(tmp_path)


@pytest.fixture(scope="module")
def troubled(build, tmp_path_factory):
    """A server for the troubles that it survives."""
    folder = tmp_path_factory.mktemp("troubled")
    running = si.Running(build(folder), folder / "server.log", max_concurrency=PLACES)
    try:
        yield running.wait_ready()
    finally:
        running.stop()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture
def expected(trained):
    """The model's own answer to the row that every test sends."""
    return trained["matrix"].estimator.predict(np.array([ROW])).tolist()


class Paused:
    """The process of the model, stopped: whatever it is asked waits."""

    def __init__(self, running):
        self.pid = running.model_pid(REF)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        return self

    def __exit__(self, *exception):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


def ask(running):
    return running.infer("matrix", si.matrix_input([ROW]))


def ask_infinity(running):
    """A row that the model refuses: binary, since JSON has no infinity."""
    row = np.array([[1, 2, np.inf, 4]])
    described = {"name": "input", "datatype": "FP64", "shape": [1, 4], "parameters": {"binary_data_size": row.nbytes}}
    head = json.dumps({"inputs": [described]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return requests.post(
        f"{running.rest}/v2/models/matrix/infer", data=head + row.tobytes(), headers=headers, timeout=30
    )


def in_flight(running, count):
    si.wait_for(lambda: running.metric("countersign_active_requests") == count, f"{count} requests under way", 30)


def labels(response):
    return si.outputs_of(response)["predict"]["data"]


def test_a_server_that_is_full_says_so_and_recovers(troubled, pool, expected):
    with Paused(troubled):
        waiting = [pool.submit(ask, troubled) for _ in range(PLACES)]
        in_flight(troubled, PLACES)
        refused = ask(troubled)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert f"{PLACES} requests are under way" in refused.json()["error"]
        assert requests.get(f"{troubled.rest}/v2/health/live", timeout=5).status_code == 200
    assert [labels(future.result()) for future in waiting] == [expected] * PLACES
    assert labels(ask(troubled)) == expected


def test_a_row_that_the_model_refuses_fails_only_its_own_request(troubled, pool, expected):
    with Paused(troubled):
        calls = [pool.submit(ask, troubled)]
        in_flight(troubled, 1)  # the others become one batch behind it
        calls += [pool.submit(ask, troubled) for _ in range(3)]
        bad = pool.submit(ask_infinity, troubled)
        in_flight(troubled, 5)
    assert [labels(call.result()) for call in calls] == [expected] * 4
    assert bad.result().status_code == 400
    assert f"{REF} refused the rows: ValueError: Input X contains infinity" in bad.result().json()["error"]


def test_a_crashed_model_fails_only_its_own_requests_and_comes_back(troubled, pool, expected):
    ended = troubled.metric("countersign_model_process_ended_total", model=REF)
    with Paused(troubled) as model:
        lost = pool.submit(ask, troubled)
        in_flight(troubled, 1)
        kept = [pool.submit(ask, troubled) for _ in range(2)]
        in_flight(troubled, 3)
        model.kill()
    failed = lost.result()
    assert failed.status_code == 503
    assert failed.headers["retry-after"] == "1"
    assert f"the process of {REF} ended while it answered" in failed.json()["error"]
    assert [labels(future.result()) for future in kept] == [expected] * 2
    assert troubled.model_pid(REF) != model.pid
    assert troubled.metric("countersign_model_process_ended_total", model=REF) == ended + 1
    assert troubled.is_ready()


def test_a_model_killed_while_idle_is_started_again(troubled, expected):
    first = troubled.model_pid(REF)
    os.kill(first, signal.SIGKILL)
    si.wait_for(lambda: not troubled.is_ready(), "the loss to be seen", 30)
    assert labels(ask(troubled)) == expected  # waits for the new process
    assert troubled.model_pid(REF) != first


def test_a_model_that_takes_too_long_is_restarted(small_image, serve, expected):
    running = serve(small_image, predict_seconds=3)
    with Paused(running):
        late = ask(running)
        assert late.status_code == 504
        assert "did not answer 1 rows within 3 s" in late.json()["error"]
    si.wait_for(running.is_ready, "the restart")
    assert labels(ask(running)) == expected


def test_sigterm_finishes_what_is_under_way_and_takes_nothing_new(small_image, serve, pool, expected):
    running = serve(small_image)
    with Paused(running), socket.create_connection(("127.0.0.1", running.rest_port), 10) as idle:
        waiting = pool.submit(ask, running)
        in_flight(running, 1)
        running.terminate()
        si.wait_for(lambda: not running.is_ready(), "readiness to end")
        refused = ask(running)
        assert refused.status_code == 503
        assert "shutting down" in refused.json()["error"]
        assert refused.headers["connection"] == "close"
        assert requests.get(f"{running.rest}/v2/health/live", timeout=5).status_code == 200
        assert running.process.poll() is None
        idle.settimeout(10)
        threading.Timer(0.2, os.kill, (running.model_pid(REF), signal.SIGCONT)).start()
        assert labels(waiting.result()) == expected
        assert idle.recv(1) == b""
    assert running.process.wait(30) == 0
    assert running.events("stopped")
    assert not running.events("drain time is over")


def test_what_does_not_finish_in_the_drain_time_is_given_up(small_image, serve, pool):
    running = serve(small_image, drain_seconds=1)
    with Paused(running):
        waiting = pool.submit(ask, running)
        in_flight(running, 1)
        running.terminate()
        assert running.process.wait(30) == 0
    assert running.events("drain time is over")[0]["unanswered"] == 1
    with pytest.raises(requests.ConnectionError):
        waiting.result()


def test_live_at_once_ready_with_the_models_and_no_model_outlives_its_server(small_image, serve):
    running = serve(small_image, ready=False)
    assert requests.get(f"{running.rest}/v2/health/live", timeout=5).json() == {"live": True}
    early = ask(running)
    assert (early.status_code, "starting" in early.text) in ((503, True), (200, False))
    running.wait_ready()
    assert running.events("origin not checked")
    pid = running.model_pid(REF)
    running.process.kill()
    running.process.wait()
    si.wait_for(lambda: not alive(pid), "the model process to end", 30)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_sigterm_while_starting_ends_at_once(small_image, serve):
    running = serve(small_image, ready=False)
    running.terminate()
    assert running.process.wait(30) == 0
