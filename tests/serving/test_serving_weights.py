"""Weights from a mounted file: within what was approved, at once, and never half."""

import asyncio
import json

import pytest
import requests
import serving_image as si

from serving import mounted
from serving.routing import Route, Version
from serving.weights import BadWeights, read

A = Version("route", "a", None, 90, (50, 90))
B = Version("route", "b", None, 10, (10, 50))
ROUTES = {"route": Route("route", [A, B])}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "expected an object with routes"),
        ({"rout": {}}, "no route 'rout'; there is route"),
        ({"route": []}, "expected an object with versions"),
        ({"route": {"c": 1}}, "no version 'c'; it has a, b"),
        ({"route": {"a": 95, "b": 5}}, "version a: 95 is neither 0 nor from 50 to 90"),
        ({"route": {"a": 90, "b": 5}}, "version b: 5 is neither 0 nor from 10 to 50"),
        ({"route": {"a": 60.0, "b": 40}}, "60.0 is neither"),
        ({"route": {"a": True, "b": 40}}, "True is neither"),
        ({"route": {"a": 60}}, "the weights add up to 70, expected 100"),
        ({"route": {"a": 0, "b": 0}}, "every weight is 0"),
    ],
)
def test_what_was_not_approved_is_refused(given, told):
    with pytest.raises(BadWeights, match=told.replace("'", ".")):
        read(json.dumps(given).encode(), ROUTES)


@pytest.mark.parametrize("weights", [{}, {"a": 60, "b": 40}, {"a": 0}, {"a": 0, "b": 50}, {"b": 0}])
def test_what_was_approved_and_zero_are_taken(weights):
    assert read(json.dumps({"route": weights}).encode(), ROUTES) == {"route": weights}


def test_a_route_answers_by_its_new_weights_and_gets_its_own_back():
    route = Route("route", [Version("route", "a", None, 90), Version("route", "b", None, 10)])
    route.reweigh({"a": 0})
    assert {route.choose(str(key)).name for key in range(50)} == {"b"}
    route.reweigh({})
    assert route.weights == {"a": 90, "b": 10}


def test_a_running_server_takes_a_new_file_and_refuses_a_bad_one(trained, tmp_path, serve):
    members = {"payments/voice:1": trained["voice-1"], "payments/voice:2": trained["voice-2"]}
    image = si.build(tmp_path / "image", members, {"feedback": {"payments/voice:1": 100, "payments/voice:2": 0}})
    file = tmp_path / "weights.json"
    running = serve(image, weights_file=file)

    def weights():
        return requests.get(f"{running.rest}/v2/models/feedback", timeout=5).json()["parameters"]["weights"]

    def give(text):
        file.with_suffix(".new").write_text(text)
        file.with_suffix(".new").replace(file)

    assert weights() == {"1": 100, "2": 0}
    give('{"feedback": {"1": 0, "2": 100}}')
    si.wait_for(lambda: weights() == {"1": 0, "2": 100}, "the new weights", 10)
    assert {running.infer("feedback", si.text_input("a")).json()["model_version"] for _ in range(20)} == {"2"}
    assert running.metric("countersign_route_weight", route="feedback", version="2") == 100
    give('{"feedback": {"3": 100}}')
    si.wait_for(lambda: running.events("weights refused"), "the refusal", 10)
    assert "no version '3'; it has 1, 2" in running.events("weights refused")[0]["reason"]
    assert weights() == {"1": 0, "2": 100}
    file.unlink()
    si.wait_for(lambda: weights() == {"1": 100, "2": 0}, "the image's own weights", 10)


def test_a_look_that_fails_stops_none_of_the_others(monkeypatch):
    looked = []

    def fails():
        raise RuntimeError("the disk is gone")

    async def scenario():
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
        watching = asyncio.create_task(mounted.watch([fails, lambda: looked.append(len(faults))]))
        await asyncio.wait((watching,), timeout=0.2)
        watching.cancel()

    monkeypatch.setattr(mounted, "LOOK_SECONDS", 0.01)
    asyncio.run(scenario())
    assert looked[:2] == [1, 2]
