"""Platform changes: a fixed list of images, two different people, and from then on another platform for every bake."""

import pytest
from sqlalchemy import select

from formats import canonical
from registry import audit, platform_changes, platforms, waiting
from registry.errors import (
    Blocked,
    Conflict,
    InteractiveOnly,
    Invalid,
    MissingRole,
    NotFound,
    SelfApproval,
    StaleReview,
    WrongStage,
)
from registry.orm.account import Role
from registry.orm.approval import Outcome
from registry.orm.job import Job, JobKind
from registry.orm.platform import ChangeState, MoveState, Platform, PlatformChange, PlatformMove
from tests import factories
from tests.registry.reviewing import fits, revoke
from tests.support import at_once, bodies_of, kinds, refused

NAMES = ("payments/a", "payments/b", "lending/c")


@pytest.fixture
def offered(world):
    """Two images of payments on the platform in force, and another platform that a worker offers."""
    with world.write() as session:
        laid = factories.lay_platform(session)
        factories.images_in_front(session, world, *NAMES[:2], stands_on=laid.digest)
        return factories.offer_platform(session).digest


@pytest.fixture
def proposed(world, offered):
    with world.write() as session:
        return factories.propose(session, world, platforms.get(session, offered, actor=world.ops)).id


def load(session, world, change_id):
    return platform_changes.get(session, change_id, actor=world.ops)


def sign(world, change_id, name, outcome=Outcome.APPROVE, **overrides):
    with world.write() as session:
        return factories.sign_change(session, load(session, world, change_id), world.actors[name], outcome, **overrides)


def test_the_first_platform_is_laid_once_and_others_are_only_offered(world):
    with world.write() as session:
        laid = factories.lay_platform(session)
        again = factories.lay_platform(session)
        second = registered_again(session)
        line = laid.line
        assert again is laid
        assert platforms.in_force(session, line) is laid
        assert second.in_force_at is None
        elsewhere = factories.lay_platform(session, base="sha256:" + "0" * 64)
        assert elsewhere.line != line
        assert platforms.in_force(session, elsewhere.line) is elsewhere
    with world.read() as session:
        assert len(bodies_of(session, audit.Action.PLATFORM_LAID)) == 2
        assert len(bodies_of(session, audit.Action.PLATFORM_OFFERED)) == 3


def registered_again(session):
    """A second worker's first bake, on another runtime."""
    return platforms.lay_first(session, factories.platform(runtime="other"), wheels={}, worker="w3")


def test_two_first_bakes_at_once_lay_one(world):
    def lay(runtime):
        with world.write() as session:
            return platforms.lay_first(session, factories.platform(runtime=runtime), wheels={}, worker=runtime)

    at_once(lambda: lay("one"), lambda: lay("two"))
    with world.read() as session:
        assert len(session.scalars(select(Platform).where(Platform.in_force_at.is_not(None))).all()) == 1


def test_what_differs_is_told_part_by_part(world):
    with world.write() as session:
        before = factories.lay_platform(session)
        after = factories.offer_platform(session, numpy="2.4.2", code="two")
        rebuilt = factories.offer_platform(session, numpy="2.4.1", runtime="three")
        assert [vars(found) for found in platforms.differences(before, after)] == [
            {"part": "wheel", "name": "numpy", "before": "2.4.1", "after": "2.4.2"},
            {
                "part": "code",
                "name": "start.py",
                "before": before.body["app"][0]["sha256"],
                "after": after.body["app"][0]["sha256"],
            },
        ]
        (same,) = platforms.differences(before, rebuilt)
        assert (same.part, same.name) == ("wheel", "files of the same versions")


def test_a_proposal_fixes_the_list_of_images_in_front(world, offered, proposed):
    with world.read() as session:
        change = load(session, world, proposed)
        moves = session.scalars(select(PlatformMove).where(PlatformMove.change_id == proposed)).all()
        assert (change.state, change.images, len(moves)) == (ChangeState.PROPOSED, 2, 2)
        assert change.digest == canonical.digest(
            {"platform": offered, "replaces": change.replaces.digest, "images": change.images_digest}
        )
        assert session.scalars(select(Job).where(Job.kind == JobKind.MOVE)).all() == []
        assert platforms.in_force(session, change.line).id == change.replaces_id
    with world.write() as session:
        factories.images_in_front(session, world, "payments/later", stands_on=change.replaces.digest)
    with world.read() as session:
        assert len(session.scalars(select(PlatformMove)).all()) == 2


def test_images_of_another_line_are_not_on_the_list(world, offered):
    with world.write() as session:
        factories.lay_platform(session, base="sha256:" + "0" * 64)
        wanted = factories.offer_platform(session, base="sha256:" + "0" * 64)
        assert factories.propose(session, world, wanted).images == 0


def test_two_different_people_put_it_into_force_and_the_wave_begins(world, proposed):
    sign(world, proposed, "vic")
    with world.read() as session:
        assert load(session, world, proposed).state is ChangeState.PROPOSED
        assert session.scalars(select(Job).where(Job.kind == JobKind.MOVE)).all() == []
    decision = sign(world, proposed, "cora")
    with world.read() as session:
        change = load(session, world, proposed)
        assert change.state is ChangeState.RUNNING
        assert platforms.in_force(session, change.line).digest == change.platform.digest
        assert {move.state for move in session.scalars(select(PlatformMove))} == {MoveState.QUEUED}
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.MOVE)).all()) == 2
        (approved,) = bodies_of(session, audit.Action.PLATFORM_CHANGE_APPROVED)
        assert approved["images"] == 2
        assert fits("platform-decision", decision.statement)
        assert "in the place of" in decision.statement["statement"]


@pytest.mark.parametrize(
    ("name", "overrides", "error"),
    [
        pytest.param("ana", {}, MissingRole, id="scientist"),
        pytest.param("ops", {}, MissingRole, id="operator"),
        pytest.param("vic", {"seen": "sha256:other"}, StaleReview, id="another-change"),
        pytest.param("vic", {"outcome": Outcome.REQUEST_CHANGES}, Invalid, id="no-such-outcome"),
        pytest.param("vic", {"reason": ""}, Invalid, id="no-reason"),
    ],
)
def test_a_refused_signature_changes_nothing(world, proposed, name, overrides, error):
    refused(
        world.database,
        error,
        lambda session: factories.sign_change(session, load(session, world, proposed), world.actors[name], **overrides),
    )


def test_nobody_signs_twice_nor_their_own_proposal_nor_by_a_token(world, offered, proposed):
    sign(world, proposed, "vic")
    refused(world.database, SelfApproval, lambda session: factories.sign_change(
        session, load(session, world, proposed), world.vic))  # fmt: skip
    with world.write() as session:
        token = factories.token(session, world.cora, "read")
    refused(world.database, InteractiveOnly, lambda session: factories.sign_change(
        session, load(session, world, proposed), token))  # fmt: skip
    with world.write() as session:
        platform_changes.withdraw(session, load(session, world, proposed), actor=world.root)
    with world.write() as session:
        person = factories.accounts.load_person(session, username="cora")
        factories.accounts.grant_role(session, person, Role.OPERATOR, actor=world.root)
    world = factories.World.load(world.database, world.store)
    with world.write() as session:
        wanted = platforms.get(session, offered, actor=world.cora)
        own = factories.propose(session, world, wanted, actor=world.cora).id
    error = refused(world.database, SelfApproval, lambda session: factories.sign_change(
        session, load(session, world, own), world.cora))  # fmt: skip
    assert "you proposed it" in str(error)


def test_two_validators_do_not_open_the_gate_of_compliance(world, proposed):
    sign(world, proposed, "vic")
    sign(world, proposed, "val")
    with world.read() as session:
        change = load(session, world, proposed)
        assert change.state is ChangeState.PROPOSED
        assert {gate.code: gate.state for gate in platform_changes.gates_of(session, change)} == {
            "two-people": "ok",
            "compliance": "wait",
        }


def test_two_people_signing_at_once_begin_one_wave(world, proposed):
    sign(world, proposed, "vic")
    answers = at_once(lambda: sign(world, proposed, "cora"), lambda: sign(world, proposed, "carl"))
    assert kinds(answers) == ["PlatformDecision", "WrongStage"]
    with world.read() as session:
        assert len(session.scalars(select(Job).where(Job.kind == JobKind.MOVE)).all()) == 2
        assert len(bodies_of(session, audit.Action.PLATFORM_CHANGE_APPROVED)) == 1


def test_one_refusal_ends_it(world, proposed):
    sign(world, proposed, "vic")
    sign(world, proposed, "cora", Outcome.REJECT)
    with world.read() as session:
        change = load(session, world, proposed)
        assert (change.state, change.closed_at is None) == (ChangeState.REFUSED, False)
        assert platforms.in_force(session, change.line).id == change.replaces_id
    refused(world.database, WrongStage, lambda session: factories.sign_change(
        session, load(session, world, proposed), world.carl))  # fmt: skip


def test_a_decision_id_works_once(world, proposed):
    first = sign(world, proposed, "vic")
    refused(world.database, Conflict, lambda session: factories.sign_change(
        session, load(session, world, proposed), world.cora, decision_id=first.id))  # fmt: skip


def test_one_change_at_a_time_and_none_that_changes_nothing(world, offered, proposed):
    def propose(session, digest=offered):
        factories.propose(session, world, platforms.get(session, digest, actor=world.ops))

    assert "is proposed" in str(refused(world.database, Blocked, propose))
    sign(world, proposed, "vic")
    sign(world, proposed, "cora")
    assert "is running" in str(refused(world.database, Blocked, propose))
    with world.write() as session:
        change = load(session, world, proposed)
        change.state = ChangeState.DONE
        for move in session.scalars(select(PlatformMove)):
            factories.released_image(
                session,
                session.scalars(select(factories.Build).where(factories.Build.image_id == move.image_id)).one(),
                digest=factories.digests.of_bytes(move.id.bytes),
                platform=offered,
            )
        audit.record(session, audit.Action.WAVE_ENDED, actor=world.ops, subject=change)
    assert "every image in front stands on it" in str(refused(world.database, Blocked, propose))
    with world.write() as session:
        factories.images_in_front(session, world, "payments/behind")
        propose(session)
        assert session.scalars(select(PlatformChange).where(PlatformChange.state == "proposed")).one().images == 1


def test_what_nobody_offered_or_could_sign_is_refused(world, offered):
    refused(world.database, NotFound, lambda session: platform_changes.propose(
        session, actor=world.ops, digest="sha256:" + "1" * 64, reason="because"))  # fmt: skip
    for name in ("cora", "carl", "max"):
        revoke(world, name, Role.COMPLIANCE)
    error = refused(world.database, Blocked, lambda session: platform_changes.propose(
        session, actor=world.ops, digest=offered, reason="because"))  # fmt: skip
    assert "nobody could" in str(error)


def test_before_the_first_bake_there_is_nothing_to_replace(world):
    with world.write() as session:
        digest = factories.offer_platform(session).digest
    error = refused(world.database, Blocked, lambda session: platform_changes.propose(
        session, actor=world.ops, digest=digest, reason="because"))  # fmt: skip
    assert "no platform is in force" in str(error)


def test_a_proposal_waits_for_those_who_can_sign(world, proposed):
    def waits(name):
        with world.read() as session:
            return [item.ref for item in waiting.for_actor(session, world.actors[name]) if item.kind == "platform"]

    assert waits("vic") == waits("cora") == [proposed.hex]
    assert waits("ana") == waits("ops") == []
    sign(world, proposed, "vic")
    assert (waits("vic"), waits("cora")) == ([], [proposed.hex])


def test_a_withdrawn_proposal_is_over(world, proposed):
    with world.write() as session:
        platform_changes.withdraw(session, load(session, world, proposed), actor=world.ops)
    refused(world.database, WrongStage, lambda session: factories.sign_change(
        session, load(session, world, proposed), world.vic))  # fmt: skip
    refused(world.database, WrongStage, lambda session: platform_changes.withdraw(
        session, load(session, world, proposed), actor=world.ops))  # fmt: skip
