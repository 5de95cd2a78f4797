"""Baking: what asks for it, what it is made of, and which image is in front."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from registry import audit, bundles, clock, jobs, lineage, proofs, references, revoking
from registry import builds as baking
from registry.errors import Blocked, NotFound, NotInTeam, WrongStage
from registry.orm.catalog import RegisteredModel
from registry.orm.image import Build, BuildState, Image, Rebuild
from registry.orm.job import Job, JobKind, JobState
from registry.paging import Cursor
from registry.routes import RouteSpec
from tests import factories
from tests.factories import MODEL, following, pinned
from tests.registry.bundling import DESK, approved, builds_of, bundle, get, members, ready
from tests.support import at_once, kinds, refused

# --------------------------------------------------------------------------------------------------- baking


def test_baking_queues_a_build_of_exactly_these_versions(world):
    approved(world, 2)
    bundle(world, pinned(1, 90), pinned(2, 10))
    with world.write() as session:
        bundles.bake(session, get(session, world), actor=world.ops)
    (build,) = builds_of(world)
    assert (build.state, build.reason) == (BuildState.QUEUED, "asked for by ops")
    assert members(build) == [("feedback", f"{MODEL}:1", 90), ("feedback", f"{MODEL}:2", 10)]
    with world.read() as session:
        job = session.get_one(Job, build.job_id)
        assert (job.kind, job.subject_id, job.state) == (JobKind.BAKE, build.id, JobState.QUEUED)


def test_asking_again_while_it_is_under_way_is_the_same_build(world):
    approved(world)
    bundle(world)

    def bake(session):
        return bundles.bake(session, get(session, world), actor=world.ana).id

    with world.write() as session:
        first = bake(session)
    with world.write() as session:
        assert bake(session) == first
        baking.start(session, first)
    with world.write() as session:
        assert bake(session) == first
        factories.released_image(session, session.get_one(Build, first))
    with world.write() as session:
        assert bake(session) != first, "after it is done, asking is a new build"


def test_an_approval_bakes_every_bundle_that_follows_or_pins_the_version(world):
    ready(world, 2)
    with world.write() as session:
        version = world.version(session, 1)
        references.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
    for name, member in (
        ("payments/pins-1", pinned(1)),
        ("payments/pins-2", pinned(2)),
        ("payments/follows", following()),
        ("payments/champion", following("champion")),
    ):
        bundle(world, member, name=name)
    with world.write() as session:
        factories.approve(session, world, world.version(session, 1))
    baked = {
        name: len(builds_of(world, name))
        for name in ("payments/pins-1", "payments/pins-2", "payments/follows", "payments/champion", MODEL)
    }
    assert baked == {
        "payments/pins-1": 1,
        "payments/pins-2": 0,
        "payments/follows": 1,
        "payments/champion": 1,
        MODEL: 1,
    }


def test_an_approval_of_an_older_version_does_not_bake_it_over_a_newer_one(world):
    """A follower takes the newest approved; approving version 1 after 2 asks for the same build again."""
    ready(world, 2)
    bundle(world)
    for number in (2, 1):
        with world.write() as session:
            factories.approve(session, world, world.version(session, number))
    assert [members(build) for build in builds_of(world)] == [[("feedback", f"{MODEL}:2", 100)]]


def test_a_bundle_with_another_member_that_waits_is_left_as_it_is(world):
    ready(world, 2)
    bundle(world, pinned(1, 50), pinned(2, 50))
    with world.write() as session:
        factories.approve(session, world, world.version(session, 1))
    assert builds_of(world) == []
    with world.write() as session:
        factories.approve(session, world, world.version(session, 2))
    assert len(builds_of(world)) == 1


def test_a_proposed_build_waits_for_the_bundles_owner(world):
    bundle_of = Rebuild.PROPOSE
    ready(world)
    bundle(world, rebuild=bundle_of)
    with world.write() as session:
        factories.approve(session, world, world.version(session, 1))
    (build,) = builds_of(world)
    assert (build.state, build.job_id) == (BuildState.PROPOSED, None)

    def accept():
        with world.write() as session:
            bundles.accept(session, baking.get_build(session, build.id, actor=world.ana), actor=world.ana)

    assert kinds(at_once(accept, accept)) == ["NoneType", "WrongStage"]
    (accepted,) = builds_of(world)
    assert accepted.state is BuildState.QUEUED
    with world.read() as session:
        assert session.get_one(Job, accepted.job_id).state is JobState.QUEUED


def test_a_proposal_that_is_baked_by_hand_is_not_left_behind(world):
    """Asking for the same recipe is saying yes to the proposal."""
    ready(world)
    bundle(world, rebuild=Rebuild.PROPOSE)
    with world.write() as session:
        factories.approve(session, world, world.version(session, 1))
    with world.write() as session:
        bundles.bake(session, get(session, world), actor=world.ana)
    (build,) = builds_of(world)
    assert build.state is BuildState.QUEUED


# --------------------------------------------------------------------------------------------------- builds, images


@pytest.fixture
def baked(world):
    """One approved version, one queued build of payments/desk."""
    approved(world)
    bundle(world)
    with world.write() as session:
        bundles.bake(session, get(session, world), actor=world.ana)
    return world


def finish(world, build, **overrides):
    with world.write() as session:
        row = baking.start(session, build.id)
        return baking.release(session, row, factories.baked(row, **overrides))


def test_a_released_image_is_the_bundles_current_one(baked):
    (build,) = builds_of(baked)
    image = finish(baked, build)
    with baked.read() as session:
        assert get(session, baked).current_image_id == image.id
        found = baking.get_image(session, image.digest, actor=baked.kim)
        assert [member.version.number for member in found.members] == [1]
        assert [listed.id for listed in baking.list_images(session, Cursor(), actor=baked.kim).items] == [image.id]
        done = baking.get_build(session, build.id, actor=baked.kim)
        assert (done.state, done.image_id, done.error) == (BuildState.DONE, image.id, None)
        assert proofs.verify(session)


def test_the_same_image_again_is_the_same_image(baked):
    (build,) = builds_of(baked)
    first = finish(baked, build)
    with baked.write() as session:
        bundles.bake(session, get(session, baked), actor=baked.ana)
    again = finish(baked, builds_of(baked)[-1])
    assert again.id == first.id
    with baked.read() as session:
        assert len(session.scalars(select(Image)).all()) == 1


def test_an_older_build_that_ends_late_does_not_take_the_newer_ones_place(baked):
    approved(baked)
    older, newer = builds_of(baked)
    front = finish(baked, newer)
    late = finish(baked, older)
    assert late.id != front.id
    with baked.read() as session:
        assert get(session, baked).current_image_id == front.id
        assert baking.get_build(session, older.id, actor=baked.kim).image_id == late.id


def test_two_builds_that_end_at_once_leave_the_newer_in_front(baked):
    approved(baked)
    older, newer = builds_of(baked)
    answers = at_once(lambda: finish(baked, older), lambda: finish(baked, newer))
    assert kinds(answers) == ["Image", "Image"]
    with baked.read() as session:
        assert get(session, baked).current_image_id == answers[1].id


def test_a_failed_build_leaves_the_last_image_in_place_and_can_be_retried(baked):
    image = finish(baked, builds_of(baked)[0])
    approved(baked)
    build = builds_of(baked)[-1]
    with baked.write() as session:
        baking.fail(session, baking.start(session, build.id), {"code": "engine", "message": "It stopped.", "hint": ""})
        job = jobs.claim(session, worker="w", lease=timedelta(seconds=9), kinds=[JobKind.BAKE])
        while job.subject_id != build.id:
            job = jobs.claim(session, worker="w", lease=timedelta(seconds=9), kinds=[JobKind.BAKE])
        jobs.fail(session, job.id, job.fence, error={"code": "engine", "message": "", "hint": ""}, retry=False)
    with baked.read() as session:
        assert get(session, baked).current_image_id == image.id
    with baked.write() as session:
        baking.retry(session, baking.get_build(session, build.id, actor=baked.ana), actor=baked.ana)
    again = builds_of(baked)[-1]
    assert again.state is BuildState.QUEUED
    with baked.read() as session:
        assert session.get_one(Job, again.job_id).state is JobState.QUEUED
    refused(
        baked.database,
        WrongStage,
        lambda session: baking.retry(session, baking.get_build(session, build.id, actor=baked.ana), actor=baked.ana),
    )


def test_a_private_models_bundle_builds_and_images_are_unseen(world):
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        factories.approved_version(session, world, model="payments/secret")
    (build,) = builds_of(world, "payments/secret")
    image = finish(world, build)
    with world.read() as session:
        for act in (
            lambda: bundles.get(session, "payments/secret", actor=world.kim),
            lambda: baking.get_build(session, build.id, actor=world.kim),
            lambda: baking.get_image(session, image.digest, actor=world.kim),
        ):
            with pytest.raises(NotFound):
                act()
        for listing in (bundles.listing, baking.list_builds, baking.list_images):
            assert listing(session, Cursor(), actor=world.kim).items == []
            assert len(listing(session, Cursor(), actor=world.ana).items) == 1


def test_one_private_member_hides_bundle_builds_and_image_from_other_teams(world):
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        factories.approved_version(session, world, model="payments/secret")
        factories.approved_version(session, world)
    bundle(world, following(weight=50), following(model="payments/secret", weight=50))
    with world.write() as session:
        bundles.bake(session, get(session, world), actor=world.ana)
    (build,) = builds_of(world)
    image = finish(world, build)
    with world.read() as session:
        for act in (
            lambda: bundles.get(session, DESK, actor=world.kim),
            lambda: baking.get_build(session, build.id, actor=world.kim),
            lambda: baking.get_image(session, image.digest, actor=world.kim),
        ):
            with pytest.raises(NotFound):
                act()
        assert DESK not in [found.full_name for found in bundles.listing(session, Cursor(), actor=world.kim).items]
        assert baking.get_image(session, image.digest, actor=world.ana).digest == image.digest
    with world.write() as session:  # the image still holds what the routes no longer do
        desk = get(session, world)
        bundles.change(
            session,
            desk,
            actor=world.ana,
            routes=[RouteSpec("feedback", (following(),))],
            rebuild=Rebuild.AUTO,
            expected=desk.revision,
        )
    with world.read() as session:
        assert bundles.get(session, DESK, actor=world.kim).full_name == DESK
        with pytest.raises(NotFound):
            baking.get_image(session, image.digest, actor=world.kim)
        assert image.digest not in [
            found.digest for found in baking.list_images(session, Cursor(), actor=world.kim).items
        ]
        version = references.get_version(session, MODEL, 1, actor=world.kim)
        assert lineage.around(session, version, actor=world.kim).images == []


def test_what_was_revoked_while_it_was_baked_is_not_released(world):
    approved(world)
    (build,) = builds_of(world, MODEL)
    with world.write() as session:
        baking.start(session, build.id)
    with world.write() as session:
        version = references.get_version(session, MODEL, 1, actor=world.cora)
        revoking.revoke(session, version, actor=world.cora, reason="leaks data", method="totp")
    error = refused(world.database, Blocked, lambda session: factories.released_image(session, build))
    assert "payments/voice:1 ended" in str(error)


def test_bundles_that_hold_a_model_are_found(world):
    ready(world)
    bundle(world)
    with world.read() as session:
        model = session.scalars(select(RegisteredModel)).one()
        assert [found.full_name for found in bundles.holding(session, model)] == [DESK, MODEL]
        assert [found.full_name for found in bundles.listing(session, Cursor(), actor=world.kim).items] == [DESK, MODEL]


# -------------------------------------------------------------------------------------------------------- rolling back


@pytest.fixture
def three(world):
    """Images of three versions, the third in front; their digests."""
    digests = []
    for _ in range(3):
        approved(world)
        if not digests:
            bundle(world)
        with world.write() as session:
            build = bundles.bake(session, get(session, world), actor=world.ana)
            digests.append(factories.released_image(session, build).digest)
    return digests


def roll_back(world, seen, actor=None):
    def act(session):
        return baking.roll_back(session, get(session, world), actor=actor or world.ana, seen=seen).digest

    return act


def current(world):
    with world.read() as session:
        return get(session, world).current_image.digest


def test_rolling_back_goes_one_image_at_a_time(world, three):
    for seen, there in ((three[2], three[1]), (three[1], three[0])):
        with world.write() as session:
            assert roll_back(world, seen)(session) == there
        assert current(world) == there
    refused(world.database, Blocked, roll_back(world, three[0]))
    with world.read() as session:
        assert proofs.verify(session)


def test_rolling_back_twice_at_once_goes_back_once(world, three):
    def act():
        with world.write() as session:
            roll_back(world, three[2])(session)

    assert kinds(at_once(act, act)) == ["NoneType", "Stale"]
    assert current(world) == three[1]


def test_an_image_with_a_version_that_is_no_longer_approved_is_passed_over(world, three):
    with world.write() as session:
        version = world.version(session, 2)
        version.approved_until = clock.now() - timedelta(days=1)
        audit.record(session, audit.Action.VERSION_TAGGED, actor=world.ana, subject=version)
    with world.write() as session:
        assert roll_back(world, three[2])(session) == three[0]


def test_others_do_not_roll_back(world, three):
    refused(world.database, NotInTeam, roll_back(world, three[2], actor=world.lea))
    assert current(world) == three[2]


# ------------------------------------------------------------------------------------- callers that would have to change


def ready_with_signature(session, world, *columns):
    version = factories.checking_version(session, world)
    factories.checking.pass_checks(
        session,
        version,
        factories.reports(),
        lock=factories.lock_document(),
        signature=factories.signature_document(*columns),
    )
    return factories.reload(session, version, actor=world.ana)


def test_a_change_that_breaks_callers_waits_for_the_bundles_owner(world):
    """`auto` is for retraining: what the callers of a route send must go on working."""
    approved(world)
    bundle(world)
    with world.write() as session:
        factories.released_image(session, bundles.bake(session, get(session, world), actor=world.ana))
    for columns in ((), ("amount",)):
        with world.write() as session:
            factories.approve(session, world, ready_with_signature(session, world, *columns))
    _, second, third = builds_of(world)
    assert second.state is BuildState.QUEUED
    assert (third.state, third.job_id) == (BuildState.PROPOSED, None)
    told = "approved; callers of route feedback would have to change. The input text is no longer taken."
    assert told in third.reason
    with world.write() as session:
        bundles.accept(session, baking.get_build(session, third.id, actor=world.ana), actor=world.ana)
    assert builds_of(world)[-1].state is BuildState.QUEUED
