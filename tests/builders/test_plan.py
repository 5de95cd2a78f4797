"""The plan: every digest of an image before a byte of it exists."""

import json
import re
from dataclasses import replace

import pytest

from builders import plan as plans
from builders.base import host_base
from builders.plan import Base, Part
from builders.tarball import Layer
from formats import digest
from tests.builders.wheelhouse import TARGET


def layer(name: str) -> Layer:
    return Layer(digest.of_bytes(name.encode()), len(name))


def part(role: str, name: str) -> Part:
    return Part(role, f"opt/countersign/{name}", layer(name), digest.of_bytes(f"of {name}".encode()))


BASE = Base(digest.of_bytes(b"base"), digest.of_bytes(b"id"), (layer("base"),), ("PATH=/bin",), "3.11.2", TARGET)


def planned(**changes) -> plans.BuildPlan:
    inputs = {
        "bundle": "payments/feedback-voice",
        "base": BASE,
        "runtime": part("runtime", "runtime"),
        "environments": [part("environment", "envs/b"), part("environment", "envs/a")],
        "app": part("app", "app"),
        "models": [part("model", "models/z"), part("model", "models/y")],
        "manifest": part("manifest", "manifest"),
        "releases": [digest.of_bytes(b"release")],
    }
    return plans.plan(**inputs | changes)


def test_what_the_engine_holds_since_the_check_comes_first_and_the_manifest_last():
    names = ["base", "envs/a", "envs/b", "runtime", "app", "models/z", "models/y", "manifest"]
    assert [found.diff_id for found in planned().image.layers] == [layer(name).diff_id for name in names]
    assert [part.role for part in planned().parts[-2:]] == ["model", "manifest"]


def test_the_config_says_how_to_run_it_as_nobody_in_particular():
    config = json.loads(planned().image.config)
    assert config["config"]["Entrypoint"] == ["python3", "-I", "/opt/countersign/app/start.py"]
    assert config["config"]["User"] == "10001:10001"
    assert set(config["config"]["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    assert config["config"]["Env"] == ["PATH=/bin"]
    assert (config["architecture"], config["os"]) == ("amd64", "linux")


def test_nothing_in_the_config_tells_when_it_was_made():
    times = re.findall(rb"[12]\d{3}-\d\d-\d\dT[0-9:.]+Z?", planned().image.config)
    assert set(times) == {b"1970-01-01T00:00:00Z"}


def test_labels_bind_base_manifest_and_releases_by_digest():
    labels = json.loads(planned().image.config)["config"]["Labels"]
    assert labels == {
        "countersign.kind": "release",
        "countersign.bundle": "payments/feedback-voice",
        "countersign.base": BASE.digest,
        "countersign.manifest": part("manifest", "manifest").made_of,
        "countersign.releases": digest.of_bytes(b"release"),
    }


def test_the_same_inputs_are_the_same_image():
    assert planned().image_digest == planned(environments=planned().parts[:2]).image_digest
    assert planned().image_digest == digest.of_bytes(planned().image.manifest)
    assert planned().image_id == digest.of_bytes(planned().image.config)


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle": "payments/other"},
        {"base": replace(BASE, digest=digest.of_bytes(b"patched"))},
        {"base": replace(BASE, target=replace(TARGET, arch="aarch64"))},
        {"runtime": part("runtime", "runtime-2")},
        {"environments": [part("environment", "envs/a")]},
        {"app": part("app", "app-2")},
        {"models": [part("model", "models/y"), part("model", "models/z")]},
        {"manifest": replace(part("manifest", "manifest"), made_of=digest.of_bytes(b"other"))},
        {"releases": [digest.of_bytes(b"another release")]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_any_other_input_is_another_image(changes):
    assert planned(**changes).image_digest != planned().image_digest


def test_a_plan_on_the_host_is_labelled_so_and_never_offered_to_an_engine():
    plan = planned(base=host_base())
    assert not plan.loadable
    assert planned().loadable
    labels = json.loads(plan.image.config)["config"]["Labels"]
    assert (labels["countersign.kind"], labels["countersign.base"]) == ("host-release", "host")
    assert plan.to_dict()["base"] == "host"


def test_the_plan_can_be_shown():
    shown = planned().to_dict()
    assert shown["image_digest"] == planned().image_digest
    assert [part["role"] for part in shown["parts"]].count("model") == 2
    assert json.loads(json.dumps(shown)) == shown
