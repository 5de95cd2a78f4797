"""Proposing a platform change and following its wave, from the command and from Python."""

import json

import pytest
from click.testing import CliRunner

from countersign import errors
from countersign.cli import main

OFFERED = "sha256:" + "7" * 64


def run(*args):
    return CliRunner().invoke(main, ["platform", *args])


@pytest.fixture
def proposed(signed_in):
    done = run("propose", OFFERED, "-m", "patched numpy", "-o", "json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["id"]


def test_what_is_offered_is_proposed_and_shown(signed_in, proposed):
    assert run("offers", "-o", "name").stdout == f"{OFFERED}\n"
    assert run("-o", "name").stdout == "c1\n"
    shown = run("show", proposed, "-o", "table").stdout
    for words in ("numpy: 2.4.1 -> 2.4.2", "1 modules of the serving code", "2 more from compliance", "waiting=2"):
        assert words in shown
    assert run("propose", OFFERED).exit_code == 2
    assert run("show", "c2").exit_code == 3


def test_a_wave_is_held_and_followed(signed_in, proposed):
    for act, state in (("pause", "paused"), ("resume", "running"), ("withdraw", "withdrawn")):
        assert json.loads(run(act, proposed, "-o", "json").stdout)["state"] == state
    listed = run("images", proposed, "--outcome", "not_equal", "-o", "jsonl").stdout
    (left,) = [json.loads(line) for line in listed.splitlines()]
    assert left["bundle"] == "payments/b"
    assert len(run("images", proposed, "-o", "jsonl").stdout.splitlines()) == 2
    assert "queued" in run("retry", proposed, left["image_digest"], "-o", "table").stdout
    assert run("images", proposed, "--outcome", "lost").exit_code == 2


def test_from_python(client, portal):
    (found,) = client.platform.list()
    change = client.platform.propose(found.digest, "patched numpy")
    assert client.platform.change(change.id).differences[0]["name"] == "numpy"
    assert [item.id for item in client.platform.changes()] == ["c1"]
    assert client.platform.pause(change.id).state == "paused"
    (left,) = client.platform.images(change.id, "not_equal")
    assert client.platform.retry(change.id, left.image_digest).outcome == "queued"
    with pytest.raises(errors.NotFound):
        client.platform.change("c2")
