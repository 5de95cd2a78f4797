"""The audit log over HTTP: what it tells, and that a stranger can check it."""

import json
from uuid import UUID

import pytest

from formats import keys, merkle, notes
from registry import proofs
from registry.orm.audit import AuditPayload
from tests import factories
from tests.portal.api.api_support import problem


@pytest.fixture
def auditor(world, caller):
    return caller(world.aud)


def test_entries_newest_first_with_what_was_said(world, auditor):
    with world.write() as session:
        version = factories.checking_version(session, world)
    newest = auditor.get("/audit?limit=1").get_json()
    entry = newest["items"][0]
    assert (entry["action"], entry["name"], entry["subject"]) == (
        "version:registered",
        "ana",
        f"version:{version.id.hex}",
    )
    assert entry["body"]["model"] == "payments/voice"
    assert json.loads(entry["envelope"])["commitment"]
    rest = auditor.get(f"/audit?limit=1&cursor={newest['next']}").get_json()["items"]
    assert rest[0]["seq"] == entry["seq"] - 1
    of_model = auditor.get("/audit?action=model:registered").get_json()["items"]
    assert [each["action"] for each in of_model] == ["model:registered"]
    assert auditor.get(f"/audit?subject={entry['subject']}&actor={entry['actor']}").get_json()["items"] == [entry]
    with world.write() as session:
        payload = session.query(AuditPayload).filter_by(event_id=UUID(json.loads(entry["envelope"])["event"])).one()
        payload.body, payload.salt, payload.erased_at = {}, b"", factories.clock.now()
    assert auditor.get("/audit?limit=1").get_json()["items"][0]["body"] is None


def test_who_may_read(world, ana, caller):
    for path in ("/audit", "/audit/checkpoint", "/audit/entries/0/proof"):
        problem(ana.get(path), 403, "missing-role")
        problem(caller(world.aud, "read").get(path), 403, "missing-scope")


def test_a_stranger_can_check_an_entry(world, auditor, signer):
    problem(auditor.get("/audit/checkpoint"), 503, "unavailable")
    problem(auditor.get("/audit/entries/3/proof"), 503, "unavailable")
    problem(auditor.get("/audit/entries/99999999999999999999999/proof"), 404, "not-found")
    with world.write() as session:
        proofs.sign_checkpoint(session, signer)
    checkpoint = auditor.get("/audit/checkpoint")
    assert checkpoint.mimetype == "text/plain"
    assert checkpoint.text.startswith("countersign/audit\n")
    items = auditor.get("/audit?limit=200").get_json()["items"]
    entry = next(each for each in items if each["seq"] == 3)
    key = notes.NoteKey("countersign/audit", keys.load_public(signer.public_pem))
    text = auditor.get("/audit/entries/3/proof").text
    index, head = notes.verify_proof(text, merkle.leaf_hash(entry["envelope"].encode()), key)
    assert index == 3
    assert head == notes.open_checkpoint(checkpoint.text, key)
    other = next(each for each in items if each["seq"] == 4)
    with pytest.raises(merkle.BadProof):
        notes.verify_proof(text, merkle.leaf_hash(other["envelope"].encode()), key)
