"""Platforms and their changes over the API: proposed, read, held and tried again; never signed."""

import pytest

from tests import factories
from tests.portal.api.api_support import problem
from tests.registry.test_registry_waves import differs, do, equal

NAMES = ("payments/a", "payments/b")


@pytest.fixture
def offered(world):
    """Two images in front, and a platform with another numpy that a worker offers."""
    with world.write() as session:
        laid = factories.lay_platform(session)
        factories.images_in_front(session, world, *NAMES, stands_on=laid.digest)
        return laid.digest, factories.offer_platform(session).digest


@pytest.fixture
def running(world, offered):
    with world.write() as session:
        change = factories.propose(session, world, factories.offer_platform(session))
        factories.sign_change(session, change, world.vic)
        factories.sign_change(session, change, world.cora)
        return f"/api/v1/platform-changes/{change.id}"


def test_what_is_in_force_and_offered_is_listed(ana, offered):
    items = ana("GET", "/api/v1/platforms").json["items"]
    assert [(item["digest"], item["in_force"]) for item in items] == [(offered[1], False), (offered[0], True)]
    assert (items[0]["wheels"], items[0]["base"], items[0]["offered_by"]) == ({"numpy": "2.4.2"}, "host", "w2")


def test_an_operator_proposes_and_withdraws(caller, world, ana, offered):
    ops = caller(world.ops)
    made = ops("POST", "/api/v1/platform-changes", json={"platform": offered[1], "reason": "patched numpy"})
    assert made.status_code == 201, made.json
    path = made.headers["Location"]
    said = ana("GET", path).json
    assert said == made.json
    assert (said["state"], said["images"], said["outcomes"]) == ("proposed", 2, {"waiting": 2})
    assert said["differences"] == [{"part": "wheel", "name": "numpy", "before": "2.4.1", "after": "2.4.2"}]
    assert [gate["state"] for gate in said["gates"]] == ["wait", "wait"]
    assert said["decisions"] == []
    problem(ops("POST", "/api/v1/platform-changes", json={"platform": offered[1], "reason": "again"}), 409, "blocked")
    problem(
        ops("POST", "/api/v1/platform-changes", json={"platform": "sha256:" + "0" * 64, "reason": "x y z"}),
        404,
        "not-found",
    )
    problem(ops("POST", f"{path}/pause", json={}), 409, "wrong-stage")
    assert ops("POST", f"{path}/withdraw", json={}).json["state"] == "withdrawn"
    problem(ops("POST", f"{path}/withdraw", json={}), 409, "wrong-stage")
    listed = ana("GET", "/api/v1/platform-changes").json["items"]
    assert [item["state"] for item in listed] == ["withdrawn"]


def test_a_wave_is_held_followed_and_tried_again(caller, world, ana, lea, running):
    ops = caller(world.ops)
    assert ops("POST", f"{running}/pause", json={}).json["state"] == "paused"
    assert ops("POST", f"{running}/resume", json={}).json["state"] == "running"
    do(world, differs)
    do(world, equal)
    said = ana("GET", running).json
    assert (said["state"], said["outcomes"], said["gates"]) == ("done", {"equal": 1, "not_equal": 1}, [])
    assert [(item["person"], item["outcome"]) for item in said["decisions"]] == [
        ("vic", "approve"),
        ("cora", "approve"),
    ]
    first, second = ana("GET", f"{running}/images").json["items"]
    assert (first["bundle"], first["outcome"], first["new_image_digest"]) == ("payments/a", "not_equal", None)
    assert (second["bundle"], second["outcome"], second["summary"]) == ("payments/b", "equal", "Equal.")
    left = ana("GET", f"{running}/images?outcome=not_equal").json["items"]
    assert left == [first]
    problem(ana("GET", f"{running}/images?outcome=lost"), 422, "invalid")
    path = f"{running}/images/{first['image_digest']}/retry"
    problem(lea("POST", path, json={}), 403, "not-in-team")
    assert ana("POST", path, json={}).json["outcome"] == "queued"
    problem(ana("POST", path, json={}), 409, "wrong-stage")
    problem(ana("POST", f"{running}/images/sha256:{'0' * 64}/retry", json={}), 404, "not-found")
    moved = ana("GET", f"/api/v1/images/{second['new_image_digest']}").json
    assert moved["platform"] == said["platform"]
