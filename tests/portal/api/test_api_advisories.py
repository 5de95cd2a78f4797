"""Advisories over the API: a bundle streamed in, its state, the list and one with what holds it."""

import io
import json
import zipfile

import pytest
from sqlalchemy import select

from formats import digest as digests
from registry import clock, importing, recall, waivers
from registry.orm.advisory import AdvisoryBundle, BundleState, Severity
from registry.orm.catalog import Upload
from registry.orm.image import Build
from registry.orm.job import Job, JobKind
from tests import factories
from tests.factories import advisory
from tests.portal.api.api_support import problem


def bundle_file():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "GHSA-x.json", json.dumps({"id": "GHSA-x", "modified": clock.rfc3339(clock.now()), "affected": []})
        )
    return file.getvalue()


def address(data):
    return f"/advisories/bundles/{digests.of_bytes(data)}"


@pytest.fixture
def ops(caller, world):
    return caller(world.ops)


def test_a_bundle_is_streamed_in_and_waits_for_a_worker(world, ops, store):
    data = bundle_file()
    answer = ops.put(address(data), data=data)
    assert answer.status_code == 202, answer.text
    body = answer.get_json()
    assert answer.headers["Location"] == f"/api/v1{address(data)}"
    assert (body["digest"], body["state"], body["in_force"], body["size"]) == (
        digests.of_bytes(data), "queued", False, len(data),
    )  # fmt: skip
    assert store.has(body["digest"])
    again = ops.put(address(data), data=data)
    assert (again.status_code, again.get_json()) == (202, body)
    with world.read() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.ADVISORIES)).one()
        assert session.scalars(select(Upload)).all() == [], "nobody may refer to it as a file of a version"
    assert ops.get(f"/jobs/{job.id}").get_json()["subject"] == f"/api/v1{address(data)}"
    assert ops.get(address(data)).get_json() == body
    with world.write() as session:
        row = session.scalars(select(AdvisoryBundle).where(AdvisoryBundle.state == BundleState.QUEUED)).one()
        importing.take_over(session, row, importing.Contents(1, clock.now(), [advisory()]))
    done = ops.get(address(data)).get_json()
    assert (done["state"], done["in_force"], done["records"]) == ("done", True, 1)
    listed = ops.get("/advisories/bundles").get_json()["items"]
    assert [item["in_force"] for item in listed] == [True, False]


def test_refused_bundles(world, ops, caller, store, monkeypatch):
    data = bundle_file()
    problem(ops.put(address(b"other"), data=data), 422, "digest-mismatch")
    problem(ops.put("/advisories/bundles/sha256:0", data=data), 422, "invalid")
    problem(caller(world.ana).put(address(data), data=data), 403, "missing-role")
    problem(caller(world.ops, "read", "bundles").put(address(data), data=data), 403, "missing-scope")
    monkeypatch.setattr(importing, "MAX_FILE", 10)
    problem(ops.put(address(data), data=data), 413, "too-large")
    assert not store.has(digests.of_bytes(data))
    problem(ops.get(address(data)), 404, "not-found")
    with world.read() as session:
        assert session.scalars(select(Job).where(Job.kind == JobKind.ADVISORIES)).all() == []


def test_the_list_and_one_with_what_holds_it(world, ops, caller):
    with world.write() as session:
        factories.approved_version(session, world)
        sbom = {"components": [{"purl": "pkg:pypi/numpy@2.4.1"}]}
        image = factories.released_image(session, session.scalars(select(Build)).one(), sbom=sbom).digest
        worst = advisory("GHSA-a", "numpy", severity=Severity.CRITICAL, score=9.8, aliases=frozenset({"CVE-1"}))
        factories.import_advisories(session, worst, advisory("GHSA-b", "numpy"), actor=world.ops)
    found = ops.get("/advisories?limit=1").get_json()
    (item,) = found["items"]
    assert (item["id"], item["severity"], item["score"], item["aliases"]) == ("GHSA-a", "critical", 9.8, ["CVE-1"])
    assert (item["packages"], item["versions"], item["images"], item["current_images"], item["blocks"]) == (
        ["numpy 2.4.1"], 1, 1, 1, True,
    )  # fmt: skip
    (second,) = ops.get(f"/advisories?limit=1&cursor={found['next']}").get_json()["items"]
    assert second["id"] == "GHSA-b"
    with world.write() as session:
        row = recall.get(session, "GHSA-a", actor=world.cora)
        waivers.waive(session, row, actor=world.cora, owner="ben", reason="Not reachable.", days=3)
    one = caller(world.kim).get("/advisories/GHSA-a").get_json()
    assert (one["waiver"]["owner"], one["blocks"]) == ("ben", False)
    assert one["in_versions"] == [{"ref": "payments/voice:1", "stage": "approved"}]
    assert one["in_images"] == [{"digest": image, "bundle": "payments/voice", "team": "payments", "current": True}]
    problem(ops.get("/advisories/GHSA-c"), 404, "not-found")


def test_a_review_tells_what_is_to_be_answered(world, ana):
    with world.write() as session:
        request = factories.request_in_review(session, world)
        factories.import_advisories(session, advisory("GHSA-b", "numpy", severity=Severity.LOW), actor=world.ops)
    review = ana.get(f"/reviews/{request.id}").get_json()
    assert [notice["code"] for notice in review["notices"]] == ["advisories-known"]
    assert {gate["code"]: gate["state"] for gate in review["gates"]}["advisories"] == "wait"
    told = ana.post(f"/reviews/{request.id}/answers", {"about": "advisories-known", "text": "Never called."})
    assert told.status_code == 201
    review = ana.get(f"/reviews/{request.id}").get_json()
    assert {gate["code"]: gate["state"] for gate in review["gates"]}["advisories"] == "ok"


def test_versions_and_images_say_how_they_stand(world, caller):
    with world.write() as session:
        factories.approved_version(session, world)
        build = session.scalars(select(Build)).one()
        sbom = {"components": [{"purl": "pkg:pypi/numpy@2.4.1"}]}
        digest = factories.released_image(session, build, sbom=sbom).digest
    kim = caller(world.kim)
    paths = ("/models/payments/voice/versions/1/advisories", f"/images/{digest}")

    def told():
        version, image = (kim.get(path).get_json() for path in paths)
        assert version == image["advisories"]
        return version

    assert told() == {"state": "clean", "blocking": [], "open": [], "waived": []}
    bad, mild = advisory("GHSA-bad", "numpy"), advisory("GHSA-mild", "numpy", severity=Severity.LOW, score=1.0)
    with world.write() as session:
        factories.import_advisories(session, bad, mild, actor=world.ops)
    assert told() == {"state": "vulnerable", "blocking": [bad.id], "open": [bad.id, mild.id], "waived": []}
    with world.write() as session:
        found = recall.get(session, bad.id, actor=world.cora)
        waivers.waive(session, found, actor=world.cora, owner="ana", reason="Not reachable.", days=3)
    assert told() == {"state": "vulnerable", "blocking": [], "open": [mild.id], "waived": [bad.id]}
    problem(kim.get("/models/payments/voice/versions/9/advisories"), 404, "not-found")
