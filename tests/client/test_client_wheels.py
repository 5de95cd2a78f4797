"""Code that a model brings: declared, judged before the first byte, sent beside the model; and the package to begin with."""

import json
import subprocess
import sys

import pytest
from client_folder import NAME

import countersign
from countersign import checks, collecting, errors, own_wheels, skeleton
from countersign.cli import main
from countersign.collecting import Facts
from countersign.formats import digest, own_code
from tests import own_wheels as made

PIN = f"risk_features==1.0@sha256:{'a' * 64}"


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / made.NAME
    path.write_bytes(made.good())
    return path


def names_the_package(folder, module="riskfeatures.encoders", name="Doubler"):
    """A model file whose one import is this; nothing of it is loaded."""
    text = [b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)]
    (folder / "model.joblib").write_bytes(b"\x80\x04" + text[0] + text[1] + b"\x93)\x81.")


def judge(folder, *wheels):
    plan = collecting.collect(folder, name=NAME, facts=Facts(), wheels=wheels)
    return {finding.code: finding for finding in checks.judge(plan, None)}


def test_a_wheel_is_sent_and_declared(client, portal, folder, wheel):
    version = client.push(folder, name=NAME, wheels=[wheel, PIN])
    files = {file.path: file.digest for file in version.files}
    assert files[f"wheels/{made.NAME}"] == digest.of_bytes(made.good())
    assert json.loads(portal.blobs[files["own-code.json"]]) == {
        "schema": "countersign.own-code/1",
        "wheels": [
            {"name": "risk-features", "version": "1.0", "sha256": f"sha256:{'a' * 64}"},
            {"name": "riskfeatures", "version": "1.0", "sha256": digest.of_bytes(made.good())},
        ],
    }


def test_a_model_that_names_its_package_can_be_pushed_with_the_wheel(folder, wheel):
    names_the_package(folder)
    assert judge(folder)["missing-wheel"].level == checks.ERROR
    found = judge(folder, wheel)
    assert "missing-wheel" not in found
    assert found["own-code"].level == checks.OK
    assert "4 files" in found["own-code"].message


def test_a_wheel_of_other_code_than_the_model_names(folder, wheel):
    names_the_package(folder, name="Tripler")
    found = judge(folder, wheel)["own-code-differs"]
    assert found.level == checks.ERROR
    assert "riskfeatures.encoders:Tripler" in found.message


@pytest.mark.parametrize("label", ["pth", "native", "shadows-os", "record-empty", "scripts"])
def test_hostile_wheels_stay_here(client, portal, folder, wheel, label):
    data, code = made.HOSTILE[label]
    wheel.write_bytes(data)
    with pytest.raises(errors.CheckFailed) as caught:
        client.push(folder, name=NAME, wheels=[wheel])
    assert code in [finding.code for finding in caught.value.findings]
    assert portal.calls("PUT", "blobs") == []


def test_a_wheel_may_not_stand_in_for_a_pinned_library(folder, wheel):
    (folder / "requirements.txt").write_text("numpy==2.4.6\n")
    wheel.write_bytes(made.HOSTILE["shadows-numpy"][0])
    assert judge(folder, wheel)["wheel-shadows"].level == checks.ERROR


@pytest.mark.parametrize("content", [b"", b"no archive", made.good()[:-10]])
def test_what_is_no_wheel(folder, wheel, content):
    wheel.write_bytes(content)
    assert judge(folder, wheel)["wheel-malformed"].level == checks.ERROR


@pytest.mark.parametrize(
    "given",
    [
        ["nowhere-1.0-py3-none-any.whl"],
        ["riskfeatures==1.0"],
        [PIN, PIN],
        [f"a{number}==1@sha256:{'a' * 64}" for number in range(own_code.MOST_WHEELS + 1)],
    ],
)
def test_what_cannot_be_meant(given):
    with pytest.raises(errors.Unusable) as caught:
        own_wheels.collect(given)
    assert caught.value.hint


def test_a_notebook_brings_wheels_too(client, portal, wheel):
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    version = countersign.push(estimator, [[0.5], [0.7]], name=NAME, purpose="Scores.", wheels=[wheel], client=client)
    assert f"wheels/{made.NAME}" in [file.path for file in version.files]


# ------------------------------------------------------------------------------------------------------ wheel init


def run(*arguments):
    from click.testing import CliRunner

    return CliRunner().invoke(main, arguments)


@pytest.mark.long
def test_the_skeleton_is_a_package_that_passes_its_test_and_can_be_brought(tmp_path):
    done = run("wheel", "init", "riskfeatures", "--to", str(tmp_path / "own"))
    assert done.exit_code == 0, done.output
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "tests"]
    ran = subprocess.run(
        tests,
        cwd=tmp_path / "own",
        env={"PYTHONPATH": "src", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    source = (tmp_path / "own/src/riskfeatures/__init__.py").read_text()
    judged = own_code.judge(made.NAME, made.members(made.good({"riskfeatures/__init__.py": source})))
    assert judged.classes == ("riskfeatures:QuantileClipper",)


def test_what_is_there_is_not_touched(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    written = skeleton.write("riskfeatures", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert tmp_path / "README.md" not in written
    assert skeleton.write("riskfeatures", tmp_path) == []


@pytest.mark.parametrize("name", ["json", "numpy", "Risk", "risk-features", "1st", "", "../x"])
def test_names_that_no_package_can_have(tmp_path, name):
    with pytest.raises(errors.Unusable):
        skeleton.write(name, tmp_path)
    assert list(tmp_path.glob("*.toml")) == []
