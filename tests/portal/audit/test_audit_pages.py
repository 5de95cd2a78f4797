"""The audit log: who reads it, filters in the address, an entry whole, and proofs a stranger checks."""

import html
import re

import pytest

from formats import keys, merkle, notes
from portal.audit import views
from registry import paging, proofs, subjects
from registry.orm.audit import AuditEntry, AuditPayload
from tests import factories
from tests.factories import World
from tests.portal.approvals.conftest import EVIL, comment, words


@pytest.fixture
def signed(world: World, asked, signer: keys.FileSigner) -> int:
    """The log with a review in it, signed; the number of its newest entry."""
    with world.write() as session:
        factories.decide(session, world.request(session), world.cora, reason=EVIL)
    with world.write() as session:
        checkpoint = proofs.sign_checkpoint(session, signer)
        assert checkpoint is not None
        return checkpoint.size - 1


@pytest.fixture
def asked(world: World):
    with world.write() as session:
        return factories.request_in_review(session, world).id


def rows(text: str) -> list[str]:
    body = text.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", row))).strip() for row in body.split("<tr>")[1:]]


@pytest.mark.parametrize(("username", "status"), [
    ("aud", 200), ("cora", 200), ("root", 200), ("ana", 403), ("vic", 403), ("kim", 403), ("ops", 403),
])  # fmt: skip
def test_who_reads_the_log(visit, signed, username, status) -> None:
    browser = visit(username)
    for path in ("/audit", f"/audit/entries/{signed}", f"/audit/entries/{signed}/proof", "/audit/checkpoint"):
        assert browser.get(path).status_code == status, path


def test_entries_say_who_did_what_to_what(visit, signed) -> None:
    text = visit("aud").get("/audit").text
    found = rows(text)
    assert any("cora Request decided payments/voice:1" in row for row in found)
    assert any("ana Version submitted payments/voice:1" in row for row in found)
    assert "all of them are" not in words(text), "signing in came after the checkpoint"
    assert f"the first {signed + 1} are signed" in words(text)


@pytest.mark.parametrize(("query", "wanted"), [
    ("action=request:decided", {"cora Request decided payments/voice:1"}),
    ("actor=cora&action=request:decided", {"cora Request decided payments/voice:1"}),
    ("subject=payments/voice&action=model:registered", {"ana Model registered payments/voice"}),
    ("subject=cora&action=person:added", {"root Person added cora"}),
    ("subject=payments/voice:1&action=version:submitted", {"ana Version submitted payments/voice:1"}),
    ("subject=nobody", set()),
    ("subject=payments/voice:99999999999999", set()),
    ("action=nothing:happened", set()),
    (f"subject={EVIL}", set()),
])  # fmt: skip
def test_filters_stand_in_the_address(visit, signed, query, wanted) -> None:
    text = visit("aud").get(f"/audit?{query}").text
    found = {re.sub(r"^\d+ .*?(?=\b(?:cora|ana|root)\b)", "", row) for row in rows(text)}
    assert {row.rpartition(" sha256")[0] or row.removesuffix(" –") for row in found} == wanted
    assert "<script>alert" not in text
    if not wanted:
        assert "Nothing fits" in words(text)


def test_clicking_a_subject_narrows_to_it_and_says_so(visit, signed) -> None:
    browser = visit("aud")
    address = re.search(r'href="(/audit\?subject=request[^"]+)"', browser.get("/audit").text)
    assert address
    said = words(browser.get(address[1]).text)
    assert "Only what is about the request of payments/voice:1" in said


def test_a_long_log_goes_on_behind_a_link_and_keeps_the_filter(world, visit, asked) -> None:
    for number in range(views.PAGE + 2):
        comment(world, asked, f"Remark {number}")
    browser = visit("aud")
    first = browser.get("/audit?action=request:commented").text
    address = html.unescape(re.search(r'href="([^"]*cursor=[^"]*)" rel="next"', first)[1])
    assert "action=request" in address
    assert len(rows(first)) == views.PAGE
    assert len(rows(browser.get(address).text)) == 2


def test_an_entry_tells_everything_as_text(world, visit, signed) -> None:
    with world.read() as session:
        found = proofs.search(
            session, proofs.Filters(action="request:decided"), paging.Cursor(limit=5), actor=world.aud
        )
        seq = found.items[0].seq
    browser = visit("aud")
    text = browser.get(f"/audit/entries/{seq}").text
    said = words(text)
    assert "Request decided Signed" in said
    assert f"Entry {seq}" in said
    assert "Who cora person:" in said
    assert "About request of payments/voice:1 request:" in said
    assert "Outcome approve" in said
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert f'href="/audit/entries/{seq - 1}"' in text
    assert browser.get("/audit/entries/0").status_code == 200
    assert browser.get("/audit/entries/99999").status_code == 404


def test_what_was_erased_is_said_to_be(world, visit, signed) -> None:
    with world.database.write() as session:
        entry = session.get_one(AuditEntry, signed)
        payload = session.get_one(AuditPayload, entry.event_id)
        payload.salt, payload.body, payload.erased_at = b"", {}, entry.at
    assert "Erased. The entry's proof still holds." in words(visit("aud").get(f"/audit/entries/{signed}").text)


def test_a_stranger_checks_the_proof_with_the_public_key_only(world, visit, signed, signer) -> None:
    browser = visit("aud")
    answer = browser.get(f"/audit/entries/{signed}/proof")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="countersign-{signed}.tlog-proof"'
    leaf = re.search(
        r"byte for byte</summary><pre[^>]*>(.*?)</pre>", browser.get(f"/audit/entries/{signed}").text, re.DOTALL
    )
    assert leaf
    key = notes.NoteKey(proofs.ORIGIN, keys.load_public(signer.public_pem))
    index, checkpoint = notes.verify_proof(answer.text, merkle.leaf_hash(html.unescape(leaf[1]).encode()), key)
    assert (index, checkpoint.size) == (signed, signed + 1)
    assert browser.get("/audit/checkpoint").text in answer.text


def test_before_anything_is_signed(visit, asked) -> None:
    browser = visit("aud")
    assert "Nothing is signed yet" in words(browser.get("/audit").text)
    assert browser.get("/audit/checkpoint").status_code == 404
    assert "Not signed yet" in words(browser.get("/audit/entries/0").text)
    assert browser.get("/audit/entries/0/proof").status_code == 503


def test_every_kind_of_subject_that_has_a_name_is_named(world, asked) -> None:
    with world.read() as session:
        entries = proofs.search(session, proofs.Filters(), paging.Cursor(limit=200), actor=world.aud).items
        refs = {entry.subject for entry in entries}
        named = subjects.describe(session, refs)
        unnamed = {ref.partition(":")[0] for ref in refs - named.keys()}
        assert unnamed <= {"policy", "setup", "installation"}, unnamed
        for ref, subject in named.items():
            if subject.kind not in ("request", "build", "team", "bundle"):
                assert subjects.ref_of(session, subject.label) == ref
