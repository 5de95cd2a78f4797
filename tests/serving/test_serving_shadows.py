"""Shadows: they get their share of what was asked, and whatever becomes of them, nobody who asks can tell."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
import requests
import serving_image as si

from formats import revocations
from formats.revocations import Revocation, Revocations
from formats.signature import Input, Output, Signature
from serving import shadows, tensors
from serving.errors import ModelFailed, Refusal, Unavailable
from serving.logs import Log
from serving.metrics import Metrics, ShadowMetrics
from serving.predictor import Batch
from serving.routing import Route, Version
from serving.shadows import Shadow, Unfit, agreement, fitted
from serving.weights import BadWeights, read

FEEDBACK = {"route": "feedback", "version": "2"}


# --- What is copied, and what is compared


def signature(*inputs, outputs=("predict",)):
    return Signature(
        "frame", tuple(Input(*item) for item in inputs), tuple(Output(name, "INT64", (-1,)) for name in outputs)
    )


def column(name, datatype, *values, nullable=False):
    return tensors.from_values(name, datatype, (len(values),), list(values), nullable=nullable)


AGE, CITY = column("age", "INT32", 1, 2), column("city", "BYTES", "Bern", None, nullable=True)


def test_a_shadow_gets_its_own_columns_in_its_own_order_and_datatypes():
    wanted = signature(("city", "BYTES", (-1,), True), ("age", "FP64", (-1,), False))
    asked = fitted(Batch((AGE, CITY, column("more", "INT32", 1, 0)), ("predict", "predict_proba")), wanted)
    assert [(item.name, item.datatype) for item in asked.inputs] == [("city", "BYTES"), ("age", "FP64")]
    assert tensors.to_values(asked.inputs[1]) == [1.0, 2.0]
    assert asked.inputs[0].nulls == (1,)
    assert asked.outputs == ("predict",)


@pytest.mark.parametrize(
    ("wanted", "outputs"),
    [
        pytest.param(signature(("name", "BYTES", (-1,), True)), ("predict",), id="missing"),
        pytest.param(signature(("age", "BYTES", (-1,), True)), ("predict",), id="another-kind"),
        pytest.param(signature(("age", "INT8", (-1,), True)), ("predict",), id="narrower"),
        pytest.param(signature(("age", "INT32", (-1, 2), True)), ("predict",), id="another-shape"),
        pytest.param(signature(("city", "BYTES", (-1,), False)), ("predict",), id="no-null-taken"),
        pytest.param(signature(("age", "INT32", (-1,), False)), ("transform",), id="no-such-output"),
    ],
)
def test_what_a_shadow_does_not_take_is_unfit(wanted, outputs):
    with pytest.raises((Unfit, tensors.TensorError)):
        fitted(Batch((AGE, CITY), outputs), wanted)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (("BYTES", "card", "app"), ("BYTES", "card", "loan"), 1),
        (("INT64", 1, 2, 3), ("INT64", 1, 2, 3), 3),
        (("BOOL", True, False), ("BOOL", False, False), 1),
        (("FP64", 1.0, 2.0), ("FP64", 1.0 + 1e-9, 2.1), 1),
        (("INT64", 1), ("BYTES", "1"), None),
        (("INT64", 1), ("FP64", 1.0), None),
    ],
)
def test_agreement_counts_rows_and_compares_like_with_like(ours, theirs, agreed):
    assert agreement([column("predict", *ours)], [column("predict", *theirs)]) == agreed


def test_only_predictions_are_compared():
    assert agreement([column("predict_proba", "FP64", 0.5)], [column("predict", "FP64", 0.5)]) is None


# --- The queue


class Fake:
    """A predictor that does what a test wants."""

    def __init__(self, act):
        self.predict = act
        self.stopped = 0

    async def start(self):
        pass

    async def stop(self):
        self.stopped += 1


def shadow_of(act):
    metrics = Metrics()
    version = Version("route", "2", type("Model", (), {"signature": signature(("age", "INT32", (-1,), True))}), 100)
    found = Shadow(version, Fake(act), ShadowMetrics(metrics, version), Log("error"))
    return found, lambda name, **labels: value(metrics, name, **labels)


def value(metrics, name, **labels):
    for line in metrics.render().decode().splitlines():
        if line.startswith(name) and all(f'{key}="{text}"' in line for key, text in labels.items()):
            return float(line.rpartition(" ")[2])
    raise AssertionError(f"no series {name} {labels}")


async def taken(*_):
    """The sealed rows were answered as approved."""


BATCH = Batch((AGE,), ("predict",))
ANSWERS = [column("predict", "INT64", 1, 0)]


def run(act, puts, *, check=taken):
    """Give a shadow ``puts`` copies, let it have its time, end it; returns what is asked of the metrics."""
    found, metric = shadow_of(act)

    async def whole():
        found.start(check)
        await asyncio.sleep(0.01)
        began = time.perf_counter()
        for _ in range(puts):
            found.put(BATCH, ANSWERS)
        spent = time.perf_counter() - began
        await asyncio.sleep(0.05)
        await found.stop()
        return spent

    spent = asyncio.run(whole())
    return metric, spent, found


def test_rows_that_agree_and_differ_are_counted():
    async def answer(_):
        return [column("predict", "INT64", 1, 1)]

    metric, _, _ = run(answer, 3)
    assert metric("countersign_shadow_requests_total", outcome="answered") == 3
    assert metric("countersign_shadow_rows_total", outcome="agreed") == 3
    assert metric("countersign_shadow_rows_total", outcome="differed") == 3
    assert metric("countersign_shadow_seconds_count") == 3


@pytest.mark.parametrize("error", [ModelFailed("boom"), RuntimeError("a bug of ours")])
def test_what_a_shadow_raises_is_counted_and_the_next_copy_is_asked(error):
    async def fail(_):
        raise error

    metric, _, _ = run(fail, 2)
    assert metric("countersign_shadow_requests_total", outcome="failed") == 2
    assert metric("countersign_shadow_rows_total", outcome="differed") == 0


def test_one_that_hangs_fills_its_queue_and_the_rest_is_dropped_at_once():
    async def hang(_):
        await asyncio.Event().wait()

    metric, spent, found = run(hang, shadows.MOST_REQUESTS + 40)
    # One is being asked at most; the queue holds the others.
    assert 39 <= metric("countersign_shadow_requests_total", outcome="dropped") <= 40
    assert spent < 0.05 * (shadows.MOST_REQUESTS + 40)
    assert found._predictor.stopped == 1


def test_a_copy_that_is_too_large_is_dropped(monkeypatch):
    async def answer(_):
        return ANSWERS

    monkeypatch.setattr(shadows, "MOST_BYTES", 10)
    metric, _, _ = run(answer, 1)
    assert metric("countersign_shadow_requests_total", outcome="dropped") == 1


def test_one_whose_process_ends_before_its_answers_were_checked_is_asked_again(capfd):
    ends = iter([Unavailable("its process ended"), Unavailable("its process ended")])

    async def answer(_):
        if (end := next(ends, None)) is not None:
            raise end
        return ANSWERS

    async def check(_, predict):
        assert await predict(BATCH) == ANSWERS

    metric, _, _ = run(answer, 2, check=check)
    assert metric("countersign_shadow_requests_total", outcome="answered") == 2
    assert "shadow is off" not in "".join(capfd.readouterr())


def test_one_that_does_not_answer_as_approved_is_off(capfd):
    async def refuse(*_):
        raise Refusal("payments/voice:2 does not answer as approved")

    metric, _, found = run(None, 2, check=refuse)
    assert metric("countersign_shadow_requests_total", outcome="dropped") == 2
    assert found._predictor.stopped >= 1
    assert "shadow is off" in "".join(capfd.readouterr())


def test_weights_of_shadows_move_within_their_bounds_and_are_no_shares():
    route = Route("route", [Version("route", "1", None, 100)], [Version("route", "2", None, 10, (0, 20))])
    assert read(b'{"route": {"2": 20}}', {"route": route}) == {"route": {"2": 20}}
    assert read(b'{"route": {"2": 0}}', {"route": route}) == {"route": {"2": 0}}
    with pytest.raises(BadWeights, match="version 2: 21 is neither 0 nor from 0 to 20"):
        read(b'{"route": {"2": 21}}', {"route": route})
    with pytest.raises(BadWeights, match="add up to 90, expected 100"):
        read(b'{"route": {"1": 90, "2": 0}}', {"route": route})
    route.reweigh({"2": 20})
    assert (route.weights, route.shadows["2"].weight) == ({"1": 100}, 20)
    assert {route.choose(str(key)).name for key in range(50)} == {"1"}


# --- A server


@pytest.fixture
def shadowed(trained, tmp_path):
    """An image in which version 2 is in the shadow of version 1: the one compiled, the other with its own library."""
    members = {"payments/voice:1": trained["voice-1"], "payments/voice:2": si.compiled(trained["voice-2"])}
    return si.build(
        tmp_path / "image",
        members,
        {"feedback": {"payments/voice:1": 100, "payments/voice:2": 100}},
        shadows={"payments/voice:2"},
    )


def is_up(running, **labels):
    return running.metric("countersign_shadow_up", **labels) == 1


def outcomes(running, outcome, **labels):
    return running.metric("countersign_shadow_requests_total", outcome=outcome, **labels)


def test_a_compiled_shadow_is_asked_and_never_answers(shadowed, serve):
    running = serve(shadowed)
    si.wait_for(lambda: is_up(running, **FEEDBACK), "the shadow")
    for _ in range(10):
        answer = running.infer("feedback", si.text_input("my card was stolen", "the app is slow"))
        assert answer.json()["model_version"] == "1"
    si.wait_for(lambda: outcomes(running, "answered", **FEEDBACK) == 10, "the copies")
    rows = [running.metric("countersign_shadow_rows_total", outcome=how, **FEEDBACK) for how in ("agreed", "differed")]
    assert sum(rows) == 20
    assert running.metric("countersign_shadow_seconds_count", **FEEDBACK) == 10
    assert running.metric("countersign_requests_total", **FEEDBACK) == 0
    told = requests.get(f"{running.rest}/v2/models/feedback", timeout=5).json()
    assert told["versions"] == ["1"]
    assert told["parameters"]["shadows"] == {"2": 100}
    assert told["parameters"]["weights"] == {"1": 100}
    by_name = running.infer("feedback", si.text_input("a"), version="2")
    assert (by_name.status_code, "it has 1" in by_name.json()["error"]) == (404, True)
    nice = os.getpriority(os.PRIO_PROCESS, running.model_pid("payments/voice:2"))
    assert nice > os.getpriority(os.PRIO_PROCESS, running.process.pid)


def test_a_weights_file_turns_copies_off_and_on(shadowed, serve, tmp_path):
    file = tmp_path / "weights.json"
    file.write_text('{"feedback": {"2": 0}}')
    running = serve(shadowed, weights_file=file)
    si.wait_for(lambda: is_up(running, **FEEDBACK), "the shadow")
    for _ in range(20):
        running.infer("feedback", si.text_input("a"))
    file.with_suffix(".new").write_text('{"feedback": {"2": 100}}')
    file.with_suffix(".new").replace(file)
    si.wait_for(lambda: running.metric("countersign_shadow_weight", **FEEDBACK) == 100, "the weight")
    running.infer("feedback", si.text_input("a"))
    si.wait_for(lambda: outcomes(running, "answered", **FEEDBACK) == 1, "the copy")


def test_one_whose_process_is_killed_starts_again_and_callers_see_nothing(shadowed, serve):
    running = serve(shadowed)
    si.wait_for(lambda: is_up(running, **FEEDBACK), "the shadow")
    before = running.model_pid("payments/voice:2")
    expected = running.infer("feedback", si.text_input("my card was stolen")).json()["outputs"]
    si.kill(before)
    for _ in range(50):
        assert running.infer("feedback", si.text_input("my card was stolen")).json()["outputs"] == expected
    si.wait_for(lambda: running.model_pid("payments/voice:2") != before, "another process")
    si.wait_for(lambda: is_up(running, **FEEDBACK), "the shadow")
    assert running.metric("countersign_shadow_process_ended_total", **FEEDBACK) == 1
    answered = outcomes(running, "answered", **FEEDBACK)
    running.infer("feedback", si.text_input("my card was stolen"))
    si.wait_for(lambda: outcomes(running, "answered", **FEEDBACK) > answered, "a copy")


def test_a_revoked_shadow_ends_and_its_route_answers_on(shadowed, serve, tmp_path):
    mounted = tmp_path / "revocations.json"

    def give(*entries, at):
        found = tuple(Revocation("release", model.release_digest, model.ref, at) for model in entries)
        mounted.with_suffix(".new").write_bytes(revocations.seal(Revocations(at, found), shadowed.signer))
        mounted.with_suffix(".new").replace(mounted)

    give(at="2026-03-04T09:30:00Z")
    running = serve(shadowed, revocations_file=mounted)
    si.wait_for(lambda: is_up(running, **FEEDBACK), "the shadow")
    process = running.model_pid("payments/voice:2")
    give(shadowed.manifest.models[1], at="2026-03-04T09:31:00Z")
    si.wait_for(lambda: not Path(f"/proc/{process}").exists(), "the end of its process")
    assert running.metric("countersign_revoked", **FEEDBACK) == 1
    assert running.infer("feedback", si.text_input("a")).json()["model_version"] == "1"
    assert running.is_ready()
    assert outcomes(running, "dropped", **FEEDBACK) == 0, "a revoked shadow has no share"
    running.stop()
    again = serve(shadowed, revocations_file=mounted)
    assert again.infer("feedback", si.text_input("a")).json()["model_version"] == "1"
    assert [event["model"] for event in again.events("model process ready")] == ["payments/voice:1"]


def test_one_that_hangs_takes_no_time_of_the_answers(shadowed, serve):
    running = serve(shadowed, predict_seconds=60)
    si.wait_for(lambda: is_up(running, **FEEDBACK), "the shadow")
    frozen = running.model_pid("payments/voice:2")
    os.kill(frozen, signal.SIGSTOP)
    try:
        slowest = 0.0
        with requests.Session() as session:
            for _ in range(400):
                began = time.perf_counter()
                message = {"inputs": si.text_input("my card was stolen")}
                answer = session.post(f"{running.rest}/v2/models/feedback/infer", json=message, timeout=10)
                slowest = max(slowest, time.perf_counter() - began)
                assert answer.status_code == 200
        assert slowest < 2  # of 60 that the shadow would be waited for
        assert outcomes(running, "dropped", **FEEDBACK) >= 400 - shadows.MOST_REQUESTS - 2
        running.terminate()
        assert running.process.wait(20) == 0, "a shadow that hangs does not keep a server from stopping"
    finally:
        if Path(f"/proc/{frozen}").exists():
            os.kill(frozen, signal.SIGCONT)


def test_one_that_raises_fails_by_itself(trained, tmp_path, serve):
    """A forest refuses what does not fit into float32; the linear model that answers takes it."""
    members = {"risk/matrix:3": trained["matrix"], "risk/forest:1": trained["forest"]}
    route = {"risk": {"risk/matrix:3": 100, "risk/forest:1": 100}}
    running = serve(si.build(tmp_path / "image", members, route, shadows={"risk/forest:1"}))
    forest = {"route": "risk", "version": "forest-1"}
    si.wait_for(lambda: is_up(running, **forest), "the shadow")
    answer = running.infer("risk", si.matrix_input([[1e39, 0.0, 0.0, 0.0]]))
    assert (answer.status_code, answer.json()["model_version"]) == (200, "3"), "a shadow renames nobody"
    si.wait_for(lambda: outcomes(running, "failed", **forest) == 1, "the failure")
    assert running.infer("risk", si.matrix_input([[1.0, 0.0, 0.0, 0.0]])).status_code == 200
    si.wait_for(lambda: outcomes(running, "answered", **forest) == 1, "the next copy")


def test_the_smoke_test_asks_shadows_too(shadowed, serve):
    running = serve(shadowed)
    done = si.run_command(shadowed, "smoke", "--rest", running.rest)
    report = json.loads(done.stdout)
    assert done.returncode == 0, report
    assert {item["ref"]: (item["outcome"], item["rows"] > 0) for item in report["models"]} == {
        "payments/voice:1": ("passed", True),
        "payments/voice:2": ("passed", True),
    }


def test_the_smoke_test_fails_with_a_shadow_that_answers_something_else(trained, tmp_path, serve):
    other = si.compiled(trained["voice-2"])
    members = {"payments/voice:1": trained["voice-1"], "payments/voice:2": other}
    answers = other.introspection["answers"]
    answers = {**answers, "predict": ["card"] * len(answers["predict"])}
    other.introspection = {**other.introspection, "answers": answers}
    route = {"feedback": {"payments/voice:1": 100, "payments/voice:2": 10}}
    image = si.build(tmp_path / "image", members, route, shadows={"payments/voice:2"})
    running = serve(image)
    si.wait_for(lambda: running.events("shadow is off"), "the refusal")
    report = json.loads(si.run_command(image, "smoke", "--rest", running.rest).stdout)
    assert [item["outcome"] for item in report["models"]] == ["passed", "failed"]
    assert "does not answer as approved" in report["models"][1]["problems"][0]


def test_score_knows_no_shadow(shadowed, tmp_path):
    (tmp_path / "in.csv").write_text("text\nmy card was stolen\n")
    done = si.run_command(shadowed, "score", tmp_path / "in.csv", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == "1"
    refused = si.run_command(shadowed, "score", tmp_path / "in.csv", tmp_path / "out.csv", "--version", "2")
    assert "no version '2'; it has 1" in refused.stderr
