"""Bringing known vulnerabilities and reading them, from the command and from Python."""

import json

import pytest
from click.testing import CliRunner

from countersign import errors
from countersign.cli import main


def run(*args):
    return CliRunner().invoke(main, list(args))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "all.zip"
    path.write_bytes(b"PK" * 5000)
    return path


def test_a_bundle_is_sent_and_waited_for(signed_in, file):
    done = run("advisories", "import", str(file), "--wait", "-o", "json")
    assert done.exit_code == 0, done.stderr
    assert (json.loads(done.stdout)["state"], json.loads(done.stdout)["records"]) == ("done", 2)
    assert "is queued" in done.stderr
    assert run("advisories", "import", str(file)).exit_code == 0
    assert run("advisories", "import", "nothing.zip").exit_code == 2


def test_a_refused_bundle_names_the_records(signed_in, file):
    error = {
        "code": "bad-advisory-bundle",
        "message": "1 records cannot be understood: bad.json",
        "hint": "Fetch it again.",
    }
    signed_in.advisory_outcome = {"state": "refused", "error": error}
    done = run("advisories", "import", str(file), "--wait")
    assert done.exit_code == 9
    assert "bad.json" in done.stderr
    assert "Fetch it again." in done.stderr


def test_lists_and_shows(signed_in):
    listed = run("advisories", "-o", "jsonl")
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == ["GHSA-a", "GHSA-b", "GHSA-c"]
    assert run("advisories", "list", "--limit", "1", "-o", "name").stdout == "GHSA-a\n"
    shown = run("advisories", "show", "GHSA-a", "-o", "table").stdout
    assert "payments/voice (current)" in shown
    assert "payments/voice:1" in shown


def test_from_python(client, portal, file):
    sent = client.import_advisories(file)
    assert client.wait_advisories(sent, timeout=5).in_force
    assert [item.blocks for item in client.advisories()] == [True] * 3
    assert client.advisory("GHSA-a").in_images[0]["bundle"] == "payments/voice"
    portal.advisory_outcome = {"state": "queued"}
    sent = client.import_advisories(file)
    with pytest.raises(errors.StillPending):
        client.wait_advisories(sent, timeout=0.1)
