"""The first screen: what waits for whom, and what to do next."""

from sqlalchemy import select

from registry import accounts, approvals, bundles, waiting
from registry import builds as baking
from registry.orm.account import Role
from registry.orm.image import Build, BuildState, Rebuild
from tests import factories
from tests.factories import MODEL


def lists(world):
    """(kind, ref) of everything that waits, by person."""
    with world.read() as session:
        return {
            name: [(item.kind, item.ref) for item in waiting.for_actor(session, actor)]
            for name, actor in world.actors.items()
        }


def test_nothing_waits_in_a_new_installation(world):
    assert set(map(tuple, lists(world).values())) == {()}


def test_a_version_waits_for_its_team_until_it_is_approved(world):
    with world.write() as session:
        factories.failed_version(session, world)
        factories.ready_version(session, world)
        factories.approved_version(session, world)
    found = lists(world)
    assert found["ana"] == found["ben"] == found["max"] == [("version", f"{MODEL}:1"), ("version", f"{MODEL}:2")]
    assert found["lea"] == found["vic"] == []
    with world.read() as session:
        assert [(item.what, item.next_step) for item in waiting.for_actor(session, world.ana)] == [
            (f"Version 1 of {MODEL} failed its checks", "Read what the checks found, mend it, and push again."),
            (f"Version 2 of {MODEL} is ready", "Submit it for review."),
        ]


def test_a_request_waits_for_those_who_could_sign_it(world):
    with world.write() as session:
        request = factories.request_in_review(session, world, actor=world.max)
        factories.decide(session, request, world.vic)
    review = ("review", request.id.hex)
    holders = {name for name, found in lists(world).items() if review in found}
    assert holders == {"val", "cora", "carl"}, "max made it, vic has signed"


def test_builds_wait_for_the_bundles_team_and_operators(world):
    with world.write() as session:
        factories.ready_version(session, world)
        factories.bundle(session, world, rebuild=Rebuild.PROPOSE)
        factories.approve(session, world, world.version(session))
        build = session.scalars(select(Build).where(Build.state == BuildState.PROPOSED)).one()
    holders = {name for name, found in lists(world).items() if ("build", build.id.hex) in found}
    assert holders == {"ana", "ben", "max", "ops"}
    with world.write() as session:
        bundles.accept(session, baking.get_build(session, build.id, actor=world.ana), actor=world.ana)
    assert not [name for name, found in lists(world).items() if ("build", build.id.hex) in found]


def test_a_proposed_role_waits_for_the_other_administrator(world):
    with world.write() as session:
        person = accounts.load_person(session, username="nil")
        accounts.grant_role(session, person, Role.COMPLIANCE, actor=world.root)
    found = lists(world)
    assert found["rita"] == [("role", "nil")]
    assert found["root"] == []


def test_the_longest_waiting_comes_first(world):
    with world.write() as session:
        factories.request_in_review(session, world)
    with world.write() as session:
        factories.ready_version(session, world)
    with world.read() as session:
        items = waiting.for_actor(session, world.max)
        assert [item.since for item in items] == sorted(item.since for item in items)
        assert {item.kind for item in items} == {"review", "version"}
        assert approvals.count_waiting(session, actor=world.max) == 1
