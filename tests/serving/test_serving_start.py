"""Start-up: an image that is not what was sealed does not run, and says why in one line."""

import dataclasses
import json

import pytest
import serving_image as si

from formats import keys
from formats.lock import Target


def refusal(result):
    """The one line on standard error of a command that refused."""
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("countersign: refused: ")
    return line


def model_path(image, name):
    return image.path("models", "payments--voice-1", name)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_an_image_as_sealed_is_verified(small_image):
    result = si.run_command(small_image, "verify", key_fingerprint=small_image.signer.fingerprint)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["ok"] is True
    assert report["origin"] == "checked"
    assert report["key"] == small_image.signer.fingerprint
    assert report["files"] == len(small_image.manifest.app.files) + len(small_image.manifest.models[0].files)


def test_without_an_expected_key_the_origin_is_not_checked(small_image):
    report = json.loads(si.run_command(small_image, "verify").stdout)
    assert report["origin"] == "not checked"


@pytest.mark.parametrize("name", ["model.joblib", "allow.json", "signature.json", "sealed.json"])
def test_a_changed_model_file_is_refused(small_image, name):
    flip(model_path(small_image, name))
    line = refusal(si.run_command(small_image, "serve", *si.PORTS))
    assert f"{name} was changed: it is sha256:" in line


def test_changed_code_of_ours_is_refused(small_image):
    with small_image.path("app", "serving", "routing.py").open("a") as file:
        file.write("\n")
    assert "routing.py was changed" in refusal(si.run_command(small_image, "verify"))


def test_a_file_that_was_added_is_refused(small_image):
    model_path(small_image, "helper.py").write_text("print('hello')")
    assert "helper.py is not in the sealed manifest" in refusal(si.run_command(small_image, "verify"))
    model_path(small_image, "helper.py").unlink()
    small_image.path("app", "sitecustomize.py").write_text("")
    assert "sitecustomize.py is not in the sealed manifest" in refusal(si.run_command(small_image, "verify"))


def test_a_missing_file_and_a_link_in_its_place_are_refused(small_image):
    path = model_path(small_image, "model.joblib")
    elsewhere = path.rename(small_image.root / "elsewhere")
    assert "model.joblib is missing" in refusal(si.run_command(small_image, "verify"))
    path.symlink_to(elsewhere)
    assert "model.joblib is no plain file" in refusal(si.run_command(small_image, "verify"))


def test_another_signer_is_refused(small_image, tmp_path):
    other = keys.generate(tmp_path / "other.pem").fingerprint
    line = refusal(si.run_command(small_image, "serve", *si.PORTS, key_fingerprint=other))
    assert small_image.signer.fingerprint in line
    assert f"expected {other}" in line


def test_a_manifest_that_was_changed_or_is_missing_is_refused(small_image):
    path = small_image.path("manifest.dsse.json")
    envelope = json.loads(path.read_text())
    envelope["payload"] = "A" + envelope["payload"][1:]
    path.write_text(json.dumps(envelope))
    assert "cannot be trusted" in refusal(si.run_command(small_image, "verify"))
    path.unlink()
    assert "an image without its sealed manifest does not run" in refusal(si.run_command(small_image, "verify"))


def test_an_image_for_another_interpreter_is_refused(small_image):
    other = dataclasses.replace(Target.host(), python="3.99")
    small_image.reseal(dataclasses.replace(small_image.manifest, target=other))
    line = refusal(si.run_command(small_image, "verify"))
    assert "Python 3.99" in line
    assert Target.host().python in line


def test_a_model_that_answers_otherwise_than_approved_is_refused(trained, tmp_path):
    model = trained["voice-1"]
    answers = model.introspection["answers"]
    nudged = {**answers, "predict_proba": [[value + 1e-5 for value in row] for row in answers["predict_proba"]]}
    wrong = dataclasses.replace(model, introspection={**model.introspection, "answers": nudged})
    image = si.build(tmp_path / "image", {"payments/voice:1": wrong}, {"feedback": {"payments/voice:1": 100}})
    result = si.run_command(image, "serve", *si.PORTS)
    assert result.returncode == 4
    (line,) = result.stderr.splitlines()
    assert "payments/voice:1 does not answer as approved: predict_proba of row 0 is" in line
    assert "more" in line


def test_a_model_that_cannot_be_loaded_is_refused(trained, tmp_path):
    unlisted = dataclasses.replace(trained["voice-1"], allow=json.dumps({"globals": []}).encode())
    image = si.build(tmp_path / "image", {"payments/voice:1": unlisted}, {"feedback": {"payments/voice:1": 100}})
    result = si.run_command(image, "serve", *si.PORTS)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "payments/voice:1: load-refused" in line


def test_a_port_that_is_taken_is_named(server):
    result = si.run_command(server.image, "serve", "--host", "127.0.0.1", "--rest-port", str(server.rest_port))
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"cannot listen on 127.0.0.1, ports {server.rest_port} and 8081" in line


def test_every_fault_of_the_settings_is_told_at_once(small_image):
    settings = {"max_body": "1 MB", "drain_seconds": 0, "log_level": "loud", "key_fingerprint": "abc"}
    line = refusal(si.run_command(small_image, "serve", **settings))
    for name in (
        "COUNTERSIGN_MAX_BODY",
        "COUNTERSIGN_DRAIN_SECONDS",
        "COUNTERSIGN_LOG_LEVEL",
        "COUNTERSIGN_KEY_FINGERPRINT",
    ):
        assert name in line


def test_the_log_tells_what_was_checked(server):
    assert server.events("origin checked")[0]["key"] == server.image.signer.fingerprint
    sealed = [*server.image.manifest.app.files, *(f for model in server.image.manifest.models for f in model.files)]
    assert server.events("verified")[0]["files"] == len(sealed)
    assert len(server.events("answers as approved")) == 5
    assert all(event["at"].endswith("Z") for event in server.events())
