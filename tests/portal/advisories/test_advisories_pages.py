"""Advisories in the browser: the list, one with its images, waivers, and bundles that are sent through the form."""

import io
import json
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import select

from portal.installation import here
from registry import audit, clock, importing
from registry.orm.advisory import AdvisoryBundle, AdvisoryHead, BundleState, Severity
from registry.orm.job import Job, JobKind
from tests import factories
from tests.factories import advisory
from tests.portal.approvals.conftest import EVIL, words
from tests.portal.images.test_images_pages import bake

BAD = advisory(
    "GHSA-bad0-0000-0001", "numpy", fixed="2.4.2", aliases=frozenset({"CVE-2026-1"}), summary=f"Overflow {EVIL}"
)
MILD = advisory("PYSEC-2026-2", "numpy", severity=Severity.LOW, score=None)


@pytest.fixture
def released(world):
    """An image of version 1, and version 2 in review; both with numpy 2.4.1."""
    with world.write() as session:
        factories.approved_version(session, world)
    digest = bake(world, sbom={"components": [{"purl": "pkg:pypi/numpy@2.4.1"}]})
    with world.write() as session:
        factories.request_in_review(session, world)
    return digest


def bring(world, *records, **limits):
    with world.write() as session:
        factories.import_advisories(session, *records, actor=world.ops, **limits)


def test_before_the_first_import_the_page_says_what_to_do(world, visit):
    with world.write() as session:
        session.get_one(AdvisoryHead, 1).bundle_id = None
    said = words(visit("kim").get("/advisories").text)
    assert "No bundle was ever imported." in said
    assert "countersign advisories import all.zip --wait" in said


def test_the_list_has_one_line_per_advisory_worst_first(world, visit, released):
    bring(world, MILD, BAD)
    text = visit("kim").get("/advisories").text
    said = words(text)
    assert said.index(BAD.id) < said.index(MILD.id)
    assert "High numpy 2.4.1 2 1 1 in front Blocks approvals" in said
    assert "Low numpy 2.4.1 2 1 1 in front To be answered" in said
    assert "Severity high and above blocks approvals" in said
    assert EVIL not in text


def test_the_list_is_paged(world, visit, released):
    bring(world, *[advisory(f"GHSA-{number:04}", "numpy") for number in range(30)])
    browser = visit("kim")
    text = browser.get("/advisories").text
    assert ("GHSA-0029" in text, "GHSA-0004" in text) == (True, False)
    assert "Next page" in text
    address = next(part.split('"')[0] for part in text.split('href="') if "cursor=" in part.split('"')[0])
    assert "GHSA-0004" in browser.get(address.replace("&amp;", "&")).text


def test_one_advisory_names_images_with_their_owners_and_versions(world, visit, released):
    bring(world, BAD)
    text = visit("kim").get(f"/advisories/{BAD.id}").text
    said = words(text)
    assert released in text
    assert "payments/voice Payments" in said
    assert "In front" in said
    assert "payments/voice, version 2 In review" in said
    assert "Also called CVE-2026-1" in said
    assert "Waive it" not in said
    assert visit("aud").get("/advisories/GHSA-none").status_code == 404


def test_compliance_waives_and_ends_it(world, visit, released):
    bring(world, BAD)
    cora = visit("cora")
    path = f"/advisories/{BAD.id}"
    assert f"{BAD.id} (high) is about numpy 2.4.1 in an image in front" in words(cora.get("/").text)
    wrong = cora.submit(f"{path}/waivers", {"owner": "ghost", "reason": "Not reachable.", "days": "30"}, page=path)
    assert wrong.status_code == 422
    assert "Nobody active is called ghost." in words(wrong.text)
    assert "Not reachable." in wrong.text
    assert cora.submit(f"{path}/waivers", {"owner": "Ana", "reason": "", "days": "0"}, page=path).status_code == 422
    done = cora.submit(f"{path}/waivers", {"owner": "Ana", "reason": "Not reachable.", "days": "30"}, page=path)
    assert done.status_code == 303
    said = words(cora.get(path).text)
    assert "ana answers for it In force waived by cora" in said
    assert "Waived until" in said
    assert BAD.id not in cora.get("/").text
    assert "Waived" in words(visit("kim").get(f"/images/{released}").text)
    (action,) = [part.split('"')[0] for part in cora.get(path).text.split('action="') if "/end" in part.split('"')[0]]
    assert visit("vic").act(action).status_code == 403
    assert cora.act(action).status_code == 303
    assert "ended by cora" in words(cora.get(path).text)
    assert cora.act(action).status_code == 409


def test_others_waive_nothing(world, visit, released):
    bring(world, BAD)
    for name in ("ana", "vic", "ops", "root", "aud"):
        data = {"owner": "ana", "reason": "Not reachable.", "days": "30"}
        assert visit(name).act(f"/advisories/{BAD.id}/waivers", **data).status_code == 403, name


def test_versions_and_images_show_how_they_stand(world, visit, released):
    kim = visit("kim")
    image, version = f"/images/{released}", "/models/payments/voice/versions/1"
    assert "Known vulnerabilities Clean" in words(kim.get(image).text)
    assert "Known vulnerabilities Clean" in words(kim.get(version).text)
    assert "Vulnerable" not in kim.get("/images").text
    bring(world, BAD)
    for path in (image, version):
        said = words(kim.get(path).text)
        assert f"Known vulnerabilities Vulnerable {BAD.id} High numpy 2.4.1: Overflow" in said
    assert "Vulnerable" in kim.get("/images").text
    with world.write() as session:
        session.get_one(AdvisoryHead, 1).bundle_id = None
    assert "Known vulnerabilities Unknown" in words(kim.get(version).text)


def test_a_reviewer_sees_what_blocks_and_cannot_approve(world, visit, released):
    bring(world, BAD)
    with world.read() as session:
        path = f"/reviews/{world.request(session, 2).id}"
    text = visit("cora").get(path).text
    said = words(text)
    assert f"Blocked by {BAD.id} (high) in numpy 2.4.1." in said
    assert "Sign and approve" not in said
    assert "A known vulnerability blocks it" in said
    bring(world, MILD)
    said = words(visit("ana").get(path).text)
    assert f"{MILD.id} (low) in numpy 2.4.1." in said
    assert "Your answer" in said


def test_the_teams_answer_opens_the_gate(world, visit, released):
    bring(world, MILD)
    with world.read() as session:
        path = f"/reviews/{world.request(session, 2).id}"
    ana = visit("ana")
    answered = ana.submit(f"{path}/answers", {"about": "advisories-known", "text": "Never called."}, page=path)
    assert answered.status_code == 303
    said = words(visit("cora").get(path).text)
    assert "the requester's side answered for them" in said
    assert "Sign and approve" in said


# ---------------------------------------------------------------------------------------------------- the form


def bundle_file():
    record = {
        "id": "GHSA-x", "modified": clock.rfc3339(clock.now()),
        "affected": [{"package": {"ecosystem": "PyPI", "name": "numpy"}, "versions": ["2.4.1"]}],
    }  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("GHSA-x.json", json.dumps(record))
    return file.getvalue()


def sent(world):
    with world.read() as session:
        return session.scalars(select(AdvisoryBundle).where(AdvisoryBundle.state == BundleState.QUEUED)).all()


@pytest.mark.parametrize("name", ["ops", "root"])
def test_an_operator_sends_a_bundle(app, world, visit, name):
    browser, data = visit(name), bundle_file()
    answer = browser.submit("/advisories/imports", {"bundle": (io.BytesIO(data), "all.zip")})
    assert answer.status_code == 303, answer.text
    (bundle,) = sent(world)
    assert (bundle.digest, bundle.size) == (factories.digests.of_bytes(data), len(data))
    with app.app_context():
        assert here().store.has(bundle.digest)
    with world.read() as session:
        assert session.scalars(select(Job.subject_id).where(Job.kind == JobKind.ADVISORIES)).all() == [bundle.id]
    assert "Waits for a worker" in words(browser.get("/advisories/imports").text)
    with world.write() as session:
        error = {"code": "x", "message": "1 records cannot be understood: bad.json", "hint": ""}
        importing.refuse(session, importing.load(session, bundle.id), error)
    assert "Refused 1 records cannot be understood: bad.json" in words(browser.get("/advisories/imports").text)


@pytest.mark.parametrize("name", ["ana", "cora", "kim"])
def test_others_see_the_imports_and_send_nothing(world, visit, name):
    browser = visit(name)
    said = words(browser.get("/advisories/imports").text)
    assert "In force" in said
    assert "Send it" not in said
    answer = browser.post(
        "/advisories/imports",
        data={"csrf_token": browser.token(), "bundle": (io.BytesIO(bundle_file()), "all.zip")},
    )
    assert answer.status_code == 403
    assert sent(world) == []


def test_a_form_without_a_file_is_refused(world, visit):
    answer = visit("ops").submit("/advisories/imports", {"bundle": (io.BytesIO(b""), "")})
    assert answer.status_code == 422
    assert "Choose a file." in words(answer.text)
    assert sent(world) == []


def test_a_bundle_that_is_too_large_is_refused(world, visit, monkeypatch):
    monkeypatch.setattr(importing, "MAX_FILE", 10)
    answer = visit("ops").submit("/advisories/imports", {"bundle": (io.BytesIO(bundle_file()), "all.zip")})
    assert answer.status_code == 413
    assert sent(world) == []


def test_an_old_bundle_is_told_on_every_page(world, visit, released):
    bring(world, advisory(), days=1, newest=clock.now())
    with world.write() as session:
        bundle = session.get_one(AdvisoryBundle, session.get_one(AdvisoryHead, 1).bundle_id)
        bundle.newest_at = clock.now() - timedelta(days=3)
        audit.record(session, audit.Action.ADVISORIES_IMPORTED, actor=world.ops, subject=bundle)
    kim = visit("kim")
    assert "The bundle in force is too old." in words(kim.get("/advisories").text)
    assert "Known vulnerabilities Stale" in words(kim.get(f"/images/{released}").text)
