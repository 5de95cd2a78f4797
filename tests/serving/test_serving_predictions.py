"""The prediction log: off by default, sampled, without inputs unless asked; and never in a request's way."""

import asyncio
import hashlib
import hmac
import json

import pytest
import serving_image as si

from serving import outbox, predictions
from serving.logs import Log
from serving.metrics import Metrics
from serving.outbox import Outbox
from serving.predictions import PredictionLog
from serving.predictor import Batch
from serving.routing import Version
from serving.settings import Settings
from serving.tensors import from_values

SECRET = b"sixteen bytes or more"


class Model:
    ref = "payments/voice:1"
    release_digest = "sha256:" + "a" * 64


class Call:
    id = "r-1"
    transport = "rest"
    trace = None
    version = Version("feedback", "1", Model(), 100)


def observed(rows=2, key=None, **settings):
    """Lines for 200 answers."""
    lines = []
    log = PredictionLog(Settings(**settings), lines.append)
    texts = from_values("text", "BYTES", (rows,), ["card", None, *["loan"] * (rows - 2)], nullable=True)
    scores = from_values("score", "FP64", (rows, 2), [[0.25, 0.75]] * rows)
    for _ in range(200):
        log.observe(Call(), key, Batch((texts,), ("score",)), [scores])
    return [json.loads(line) for line in lines]


def test_a_line_says_who_answered_what_and_not_what_was_asked():
    line, *others = observed(prediction_share=1.0)
    assert len(others) == 199
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "prediction",
        "request_id": "r-1",
        "trace_id": None,
        "transport": "rest",
        "route": "feedback",
        "version": "1",
        "release_digest": Model.release_digest,
        "routing_key": None,
        "rows": 2,
        "outputs": {"score": [[0.25, 0.75]] * 2},
    }


def test_a_share_is_a_share():
    assert 5 <= len(observed(prediction_share=0.25)) <= 95


def test_inputs_are_there_when_asked_for_and_long_requests_are_cut():
    line = observed(rows=150, prediction_share=1.0, prediction_inputs=True)[0]
    assert line["rows"] == 150
    assert line["inputs"] == {"text": ["card", None, *["loan"] * 98]}
    assert len(line["outputs"]["score"]) == predictions.ROWS == 100


def test_a_routing_key_is_hashed_under_the_secret(tmp_path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    line = observed(key="customer-17", prediction_share=1.0, prediction_key_file=file)[0]
    assert line["routing_key"] == hmac.new(SECRET, b"customer-17", hashlib.sha256).hexdigest()[:32]
    own = {observed(key="customer-17", prediction_share=1.0)[0]["routing_key"] for _ in range(2)}
    assert len(own) == 2, "without a secret, two servers' hashes say nothing of each other"


def test_what_cannot_be_delivered_is_counted_and_tried_again(capsysbinary):
    taken, broken = [], [True]

    def deliver(items):
        if broken[0]:
            raise OSError(28, "No space left on device")
        taken.extend(items)

    metrics = Metrics()
    box = Outbox("predictions", deliver, metrics, Log("info"))

    async def use():
        for number in range(outbox.MOST + 3):
            box.put(number)
        await box.flush()
        box.put("lost, too, without a second line")
        await box.flush()
        broken[0] = False
        box.put("last")
        await box.flush()

    asyncio.run(use())
    assert taken == ["last"]
    counts = metrics.render().decode()
    for outcome, count in (("delivered", 1), ("dropped", 3), ("lost", outbox.MOST + 1)):
        assert f'countersign_outbox_total{{outcome="{outcome}",what="predictions"}} {float(count)}' in counts
    (line,) = capsysbinary.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "predictions lost"


def test_a_server_writes_them_and_forgets_none_when_it_ends(small_image, serve, tmp_path):
    file = tmp_path / "predictions.jsonl"
    running = serve(small_image, prediction_log=file, prediction_share=1)
    running.infer("feedback", si.text_input("my card"), headers={"x-request-id": "first", "x-routing-key": "k"})
    si.wait_for(file.read_text, "the first line", 10)
    file.rename(tmp_path / "rotated")
    answer = running.infer("feedback", si.text_input("my card", "the app"), outputs=[{"name": "predict"}])
    running.stop()
    (line,) = (tmp_path / "rotated").read_text().splitlines()
    first = json.loads(line)
    assert first["request_id"] == "first"
    assert len(first["routing_key"]) == 32
    second = json.loads(file.read_text())
    assert second["outputs"] == {"predict": answer.json()["outputs"][0]["data"]}
    assert "inputs" not in second
    assert second["release_digest"] == small_image.manifest.models[0].release_digest


def test_standard_output_will_do(small_image, serve):
    running = serve(small_image, prediction_log="-", prediction_share=1)
    running.infer("feedback", si.text_input("my card"))
    si.wait_for(lambda: running.events("prediction"), "the line", 10)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"prediction_log": "/nowhere/at/all"}, "the prediction log /nowhere/at/all cannot be written"),
        ({"prediction_log": "-", "prediction_key_file": "/nowhere"}, "/nowhere: No such file"),
        ({"prediction_share": "1.5"}, "COUNTERSIGN_PREDICTION_SHARE is '1.5', expected a share"),
        ({"prediction_inputs": "maybe"}, "COUNTERSIGN_PREDICTION_INPUTS is 'maybe', expected true or false"),
    ],
)
def test_what_cannot_work_is_told_at_start(small_image, settings, told):
    result = si.run_command(small_image, "serve", *si.PORTS, **settings)
    assert result.returncode == 1
    assert told in result.stderr
