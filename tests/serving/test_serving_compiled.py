"""Compiled models in the server: the same answers as by their own library, without a process, a library or a pickle."""

import dataclasses
import json
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import serving_image as si

from formats.manifest import compiled_digest
from serving.forms import form

REFS = {
    "voice": "payments/voice:1",
    "matrix": "risk/matrix:3",
    "forest": "risk/forest:1",
    "customers": "risk/customers:1",
}


@pytest.fixture(scope="module")
def compiled_image(trained, tmp_path_factory):
    """Every layout, compiled; no environment is in it."""
    names = {"voice": "voice-1", "matrix": "matrix", "forest": "forest", "customers": "frame"}
    members = {ref: si.compiled(trained[names[route]]) for route, ref in REFS.items()}
    return si.build(tmp_path_factory.mktemp("compiled"), members, {route: {ref: 100} for route, ref in REFS.items()})


@pytest.fixture(scope="module")
def compiled_server(compiled_image, tmp_path_factory):
    running = si.Running(compiled_image, tmp_path_factory.mktemp("log") / "server.log")
    try:
        yield running.wait_ready()
    finally:
        running.stop()


def test_an_image_of_compiled_models_holds_no_library_and_no_pickle(compiled_image):
    manifest = compiled_image.manifest
    assert manifest.environments == ()
    assert {model.compiled.engine for model in manifest.models} == {"arrays", "onnx"}
    kept = {file.path.rpartition(".")[2] for model in manifest.models for file in model.files}
    assert kept == {"json", "npy", "onnx"}


def test_the_sealed_rows_are_answered_as_approved_in_this_process(compiled_server):
    answered = {event["model"] for event in compiled_server.events("answers as approved")}
    assert answered == set(REFS.values())
    assert {event["model"] for event in compiled_server.events("compiled model ready")} == set(REFS.values())
    assert compiled_server.events("model process ready") == []
    parent = str(compiled_server.process.pid)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", parent], capture_output=True, text=True, check=False)
    assert children.stdout.split() == []


def test_compiled_and_original_answer_alike(compiled_server, server, trained):
    frame = trained["frame"]
    columns = [
        {"name": item.name, "datatype": item.datatype, "shape": [6], "data": [row[item.name] for row in frame.sample]}
        for item in frame.signature.inputs
    ]
    rows = [[0.5, -1.0, 2.0, 0.1], [1e6, -1e-30, 3.4e38, 0.0]]
    numbers = [{"name": "input", "datatype": "FP64", "shape": [2, 4], "data": rows}]
    texts = si.text_input("lost my card", "", "İ ẞ \U0001f600 app", "x " * 20_000)
    for route, inputs, (other, version) in (
        ("customers", columns, ("customers", "1")),
        ("matrix", numbers, ("mixed", "matrix-3")),
        ("forest", numbers, ("mixed", "forest-1")),
        ("voice", texts, ("feedback", "1")),
    ):
        found = si.outputs_of(compiled_server.infer(route, inputs))
        expected = si.outputs_of(server.infer(other, inputs, version=version))
        assert found.keys() == expected.keys()
        for name, output in expected.items():
            assert found[name]["shape"] == output["shape"]
            if name == "predict":
                assert found[name]["data"] == output["data"], route
            else:
                assert found[name]["data"] == pytest.approx(output["data"], rel=1e-9, abs=1e-9), route


def test_what_the_original_refuses_is_refused(compiled_server):
    raw = np.array([[0.0, np.inf, 0.0, 0.0]]).tobytes()
    head = {"name": "input", "datatype": "FP64", "shape": [1, 4], "parameters": {"binary_data_size": len(raw)}}
    text = json.dumps({"inputs": [head]}).encode()
    for route in ("matrix", "forest"):
        response = si.requests.post(
            f"{compiled_server.rest}/v2/models/{route}/infer",
            data=text + raw,
            headers={"Inference-Header-Content-Length": str(len(text))},
            timeout=30,
        )
        assert response.status_code == 400, response.text
        assert "infinite, or too large" in response.json()["error"]


def test_a_category_never_seen_is_none_of_the_known(compiled_server, trained):
    row = {**trained["frame"].sample[0], "city": "Zug"}
    inputs = [
        {"name": item.name, "datatype": item.datatype, "shape": [1], "data": [row[item.name]]}
        for item in trained["frame"].signature.inputs
    ]
    assert compiled_server.infer("customers", inputs).status_code == 200


def test_metadata_says_what_answers(compiled_server):
    def platform(route):
        return si.requests.get(f"{compiled_server.rest}/v2/models/{route}", timeout=30).json()["platform"]

    assert (platform("voice"), platform("forest")) == ("countersign_arrays", "countersign_onnx")


def test_a_large_batch_does_not_hold_up_the_others(compiled_server):
    count = 20_000
    texts = si.text_input(*["my card was stolen and the app crashes at login"] * count)
    answered = []
    worker = threading.Thread(target=lambda: answered.append(compiled_server.infer("voice", texts).status_code))
    worker.start()
    waits = []
    while worker.is_alive():
        started = time.monotonic()
        assert si.requests.get(f"{compiled_server.rest}/v2/health/live", timeout=30).status_code == 200
        waits.append(time.monotonic() - started)
    worker.join()
    assert answered == [200]
    assert sorted(waits)[len(waits) // 2] < 0.5


def test_a_form_of_another_version_is_refused_at_the_start(trained, tmp_path):
    made = si.compiled(trained["voice-1"])
    form = json.loads(made.compiled["files"]["form.json"]) | {"schema": "countersign.form/9"}
    files = {**made.compiled["files"], "form.json": json.dumps(form).encode()}
    other = dataclasses.replace(made, compiled={**made.compiled, "files": files})
    image = si.build(tmp_path / "image", {"payments/voice:1": other}, {"voice": {"payments/voice:1": 100}})
    assert image.manifest.models[0].compiled.digest == compiled_digest(image.manifest.models[0].files)
    result = si.run_command(image, "serve", *si.PORTS)
    assert result.returncode == 1
    assert "the compiled form of payments/voice:1 cannot be read" in result.stderr
    assert "countersign.form/9" in result.stderr


def test_a_form_that_was_changed_is_refused(trained, tmp_path):
    image = si.build(
        tmp_path / "image", {"payments/voice:1": si.compiled(trained["voice-1"])}, {"voice": {"payments/voice:1": 100}}
    )
    path = image.path("models", "payments--voice-1", "compiled", "coef.npy")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = si.run_command(image, "serve", *si.PORTS)
    assert result.returncode == 1
    assert "coef.npy was changed" in result.stderr


def test_a_large_array_is_mapped_and_a_small_one_read(tmp_path):
    """Mapped, it is in memory once for all processes that serve the file."""
    for name, count in (("large", 100_000), ("small", 10)):
        np.save(tmp_path / f"{name}.npy", np.arange(float(count)))
    arrays = {name: form._array(tmp_path / f"{name}.npy") for name in ("large", "small")}
    maps = Path("/proc/self/maps").read_text()
    assert (f"{tmp_path}/large.npy" in maps, f"{tmp_path}/small.npy" in maps) == (True, False)
    assert not arrays["large"].flags.writeable
    assert [float(array[-1]) for array in arrays.values()] == [99_999.0, 9.0]
