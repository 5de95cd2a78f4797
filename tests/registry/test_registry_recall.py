"""The list of advisories with what they touch, and who is told of what is in front."""

from sqlalchemy import select

from registry import paging, recall, waiting
from registry.orm.advisory import Severity
from registry.orm.image import Build
from tests import factories
from tests.factories import advisory
from tests.registry.advising import BAD, MILD, bring, waive


def release(world, wheel="numpy@2.4.1", **fields):
    """Version by version, an image that holds ``wheel``; returns its digest."""
    with world.write() as session:
        factories.approved_version(session, world, **fields)
        build = session.scalars(select(Build).order_by(Build.id.desc())).first()
        return factories.released_image(session, build, sbom={"components": [{"purl": f"pkg:pypi/{wheel}"}]}).digest


def items(world, name="cora"):
    with world.read() as session:
        return recall.listing(session, paging.Cursor(), actor=world.actors[name]).items


def test_one_item_per_advisory_worst_first_with_what_it_touches(world):
    old = release(world)
    new = release(world)
    bring(world, MILD, BAD, advisory("GHSA-none-0000-0001", "unheld"))
    worst, mild = items(world)
    assert [item.advisory.id for item in (worst, mild)] == [BAD.id, MILD.id]
    assert (worst.wheels, worst.versions, worst.images, worst.current) == (["numpy 2.4.1"], 2, 2, 1)
    assert (worst.blocks, mild.blocks) == (True, False)
    with world.read() as session:
        found = recall.get(session, BAD.id, actor=world.cora)
        first = recall.images_of(session, found, paging.Cursor(limit=1), actor=world.cora)
        second = recall.images_of(session, found, paging.Cursor(limit=1, after=first.next), actor=world.cora)
        assert [page.items[0].digest for page in (first, second)] == [new, old]
        assert first.items[0].bundle.team.slug == "payments"
        versions = recall.versions_of(session, found, paging.Cursor(), actor=world.cora)
        assert [version.number for version in versions.items] == [2, 1]
        assert recall.flagged(session, [image.id for image in (*first.items, *second.items)]) == {
            image.id for image in (*first.items, *second.items)
        }
    waive(world)
    assert [item.blocks for item in items(world)] == [False, False]


def test_the_list_tells_nobody_of_models_they_may_not_know(world):
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
    release(world, model="payments/secret")
    bring(world, BAD)
    assert [(item.versions, item.images) for item in items(world, "ana")] == [(1, 1)]
    assert [(item.versions, item.images) for item in items(world, "lea")] == [(0, 0)]


def test_compliance_is_told_of_what_blocks_and_is_in_front(world):
    def told(name="cora"):
        with world.read() as session:
            return [item.ref for item in waiting.for_actor(session, world.actors[name]) if item.kind == "advisory"]

    loop = advisory("GHSA-loop-0000-0001", "uvloop", fixed="1.1")
    worse = advisory("GHSA-loop-0000-0002", "uvloop", severity=Severity.CRITICAL)
    release(world, "uvloop@1.0")
    assert told() == []
    bring(world, loop, MILD)
    assert told() == told("max") == [loop.id]
    assert told("vic") == told("ops") == []
    waive(world, loop.id)
    assert told() == []
    bring(world, loop, worse)
    assert told() == [worse.id]
    bring(world, advisory("GHSA-loop-0000-0003", "uvloop", fixed="1.1"))
    assert told() == ["GHSA-loop-0000-0003"]
    release(world, "uvloop@1.1")
    assert told() == [], "the one in front has another"


def test_the_team_is_told_when_its_image_in_front_becomes_vulnerable(world):
    """Once per bundle, with the worst; not of what is mild, waived or replaced, nor of other teams' images."""

    def told(name="ana"):
        with world.read() as session:
            found = waiting.for_actor(session, world.actors[name])
            return [(item.ref, item.what) for item in found if item.kind == "image"]

    release(world)
    digest = release(world)
    assert told() == []
    bring(world, MILD)
    assert told() == []
    other = advisory("GHSA-bad0-0000-0002", "numpy", severity=Severity.CRITICAL, score=9.8)
    bring(world, MILD, BAD, other)
    assert told() == [(digest, f"The image of payments/voice is vulnerable: {other.id} (critical) and 1 more")]
    assert told("lea") == told("vic") == []
    waive(world, other.id)
    assert told() == [(digest, f"The image of payments/voice is vulnerable: {BAD.id} (high)")]
    waive(world)
    assert told() == []
