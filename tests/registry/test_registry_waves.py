"""The wave of a platform change: a few images at a time, equal ones come in front, the rest go to their owners."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from registry import audit, builds, bundles, jobs, paging, platform_changes, waiting, waves
from registry.errors import NotInTeam, WrongStage
from registry.orm.catalog import RELEASED, ModelVersion
from registry.orm.image import Build, BuildState, Bundle, Image
from registry.orm.job import Job, JobKind, JobState
from registry.orm.platform import ChangeState, MoveState, PlatformChange, PlatformMove
from tests import factories
from tests.factories import digests
from tests.support import bodies_of, refused

NAMES = tuple(f"payments/m{number}" for number in range(6))
DIFFERS = {"outcome": "failed", "summary": "answers of row 1 differ", "models": [{"ref": "payments/m1:1"}]}


@pytest.fixture
def running(world):
    """A wave over six images that two people have just approved."""
    with world.write() as session:
        laid = factories.lay_platform(session)
        factories.images_in_front(session, world, *NAMES, stands_on=laid.digest)
        change = factories.propose(session, world, factories.offer_platform(session))
        factories.sign_change(session, change, world.vic)
        factories.sign_change(session, change, world.cora)
        return change.id


def load(session, world, change_id):
    return platform_changes.get(session, change_id, actor=world.ops)


def states(world):
    with world.read() as session:
        return [move.state.value for move in session.scalars(select(PlatformMove).order_by(PlatformMove.id))]


def move_of(session, world, name):
    query = select(PlatformMove.id).join(Image, Image.id == PlatformMove.image_id)
    return session.scalars(query.join(Bundle, Bundle.id == Image.bundle_id).where(Bundle.full_name == name)).one()


def queued(session):
    return session.scalars(select(Job).where(Job.kind == JobKind.MOVE, Job.state == JobState.QUEUED)).all()


def do(world, end):
    """Claim the next image as a worker does, and end it; its bundle's name, or None when there is none."""
    with world.write() as session:
        job = jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=[JobKind.MOVE])
        if job is None:
            return None
        work = waves.start(session, job.subject_id)
        if work is None:
            jobs.finish(session, job.id, job.fence)
            return "overtaken"
    with world.write() as session:
        jobs.finish(session, job.id, job.fence)
        end(session, job.subject_id, work)
    return work.bundle


def equal(session, move_id, work):
    move = waves.load(session, move_id)
    like = session.scalars(select(Build).where(Build.image_id == move.image_id)).one()
    digest = digests.of_bytes(f"moved {work.bundle}".encode())
    baked = factories.baked(
        like, digest=digest, platform=work.platform.digest, smoke={"outcome": "passed", "summary": "Equal."}
    )
    return waves.equal(session, move_id, baked)


def differs(session, move_id, _work):
    waves.not_equal(session, move_id, DIFFERS)


def fails(session, move_id, _work):
    waves.fail(session, move_id, {"code": "smoke-test", "message": "It did not start.", "hint": "Read the log."})


def test_a_few_images_at_a_time_are_in_the_queue(world, running):
    assert states(world) == ["queued"] * waves.WINDOW + ["waiting"] * 2
    do(world, equal)
    assert states(world) == ["equal", *["queued"] * waves.WINDOW, "waiting"]


def test_equal_images_come_in_front_and_their_versions_keep_their_decisions(world, running):
    with world.read() as session:
        before = {
            version.id: (version.stage, version.release_digest, version.approved_until)
            for version in session.scalars(select(ModelVersion))
        }
    while do(world, equal):
        pass
    with world.read() as session:
        change = load(session, world, running)
        assert (change.state, waves.progress(session, [change])[running]) == (ChangeState.DONE, {MoveState.EQUAL: 6})
        for name in NAMES:
            bundle = bundles.get(session, name, actor=world.ana)
            assert bundle.current_image.digest == digests.of_bytes(f"moved {name}".encode())
            assert session.get_one(Image, bundle.current_image_id).platform == change.platform.digest
            build = session.scalars(select(Build).where(Build.image_id == bundle.current_image_id)).one()
            assert (build.state, build.requested_by) == (BuildState.DONE, "system:countersign")
        after = {
            version.id: (version.stage, version.release_digest, version.approved_until)
            for version in session.scalars(select(ModelVersion))
        }
        assert after == before
        assert {stage for stage, _, _ in after.values()} <= set(RELEASED)
        assert bodies_of(session, audit.Action.WAVE_ENDED)[-1]["outcomes"] == {"equal": 6}
        assert len(bodies_of(session, audit.Action.WAVE_IMAGE_ENDED)) == 6


def test_one_command_brings_the_image_before_the_wave_back(world, running):
    do(world, equal)
    with world.write() as session:
        bundle = bundles.get(session, NAMES[0], actor=world.ana)
        old = session.scalars(select(PlatformMove).order_by(PlatformMove.id)).first().image_id
        assert builds.roll_back(session, bundle, actor=world.ana, seen=bundle.current_image.digest).id == old


def test_what_is_not_equal_or_fails_stays_and_goes_to_its_owner(world, running):
    ends = iter([differs, fails, *[equal] * 5])
    while do(world, next(ends)):
        pass
    assert states(world) == ["not_equal", "failed", *["equal"] * 4]
    with world.read() as session:
        moves = session.scalars(select(PlatformMove).order_by(PlatformMove.id)).all()
        for name, move in zip(NAMES[:2], moves, strict=False):
            assert bundles.get(session, name, actor=world.ana).current_image_id == move.image_id
        assert load(session, world, running).state is ChangeState.DONE
        for name in ("ana", "ops"):
            found = [item for item in waiting.for_actor(session, world.actors[name]) if item.kind == "platform"]
            assert [item.what for item in found] == [
                "The image of payments/m0 answers otherwise on the new platform",
                "The image of payments/m1 could not be moved to the new platform",
            ]
        assert [item for item in waiting.for_actor(session, world.lea) if item.kind == "platform"] == []


def test_an_owner_has_one_tried_again_also_after_the_wave(world, running):
    ends = iter([differs, *[equal] * 6])
    while do(world, next(ends)):
        pass
    with world.write() as session:
        move = waves.load(session, move_of(session, world, NAMES[0]))
        waves.retry(session, move, actor=world.ana)
    assert do(world, equal) == NAMES[0]
    assert states(world) == ["equal"] * 6
    with world.read() as session:
        assert load(session, world, running).state is ChangeState.DONE
        assert len(bodies_of(session, audit.Action.WAVE_ENDED)) == 1
        assert [item for item in waiting.for_actor(session, world.ana) if item.kind == "platform"] == []


def test_others_and_what_was_not_left_behind_are_not_tried_again(world, running):
    do(world, differs)

    def again(session, name, actor):
        waves.retry(session, waves.load(session, move_of(session, world, name)), actor=actor)

    refused(world.database, NotInTeam, lambda session: again(session, NAMES[0], world.lea))
    refused(world.database, WrongStage, lambda session: again(session, NAMES[1], world.ana))


def test_a_pause_takes_back_what_no_worker_has_begun(world, running):
    with world.write() as session:
        begun = jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=[JobKind.MOVE])
    with world.write() as session:
        waves.pause(session, load(session, world, running), actor=world.ops)
    assert states(world) == ["queued", *["waiting"] * 5]
    with world.write() as session:
        assert queued(session) == []
        work = waves.start(session, begun.subject_id)
    with world.write() as session:
        jobs.finish(session, begun.id, begun.fence)
        equal(session, begun.subject_id, work)
    assert states(world) == ["equal", *["waiting"] * 5]
    assert do(world, equal) is None
    refused(world.database, WrongStage, lambda session: waves.pause(
        session, load(session, world, running), actor=world.ops))  # fmt: skip
    with world.write() as session:
        waves.resume(session, load(session, world, running), actor=world.ops)
    while do(world, equal):
        pass
    assert states(world) == ["equal"] * 6
    refused(world.database, WrongStage, lambda session: waves.resume(
        session, load(session, world, running), actor=world.ops))  # fmt: skip


def test_what_is_tried_again_during_a_pause_waits(world, running):
    do(world, differs)
    with world.write() as session:
        waves.pause(session, load(session, world, running), actor=world.ops)
        waves.retry(session, waves.load(session, move_of(session, world, NAMES[0])), actor=world.ana)
    assert do(world, equal) is None
    assert states(world) == ["waiting"] * 6


def test_a_bundle_that_went_on_meanwhile_is_overtaken(world, running):
    """Before the image is baked, and while it is."""
    overtake = [NAMES[0], NAMES[1]]

    def go_on(session, name):
        bundle = bundles.get(session, name, actor=world.ana)
        build = bundles.bake(session, bundle, actor=world.ana)
        build = session.scalars(builds._query().where(Build.id == build.id)).one()
        factories.released_image(session, build, digest=digests.of_bytes(f"newer {name}".encode()))

    def late(session, move_id, work):
        go_on(session, work.bundle)
        assert equal(session, move_id, work) is None

    with world.write() as session:
        go_on(session, overtake[0])
    assert do(world, equal) == "overtaken"
    assert do(world, late) == overtake[1]
    assert states(world)[:2] == ["overtaken"] * 2
    with world.read() as session:
        for name in overtake:
            current = bundles.get(session, name, actor=world.ana).current_image
            assert current.digest == digests.of_bytes(f"newer {name}".encode())


def test_a_release_that_was_asked_for_before_the_wave_comes_in_front_of_it(world, running):
    """What a move bakes is what was in front: a newer release is not behind it, though its build was made before."""
    with world.write() as session:
        asked = bundles.bake(session, bundles.get(session, NAMES[0], actor=world.ana), actor=world.ana).id
    assert do(world, equal) == NAMES[0]
    newer = digests.of_bytes(b"newer")
    with world.write() as session:
        build = session.scalars(builds._query().where(Build.id == asked)).one()
        factories.released_image(session, build, digest=newer)
    with world.read() as session:
        assert bundles.get(session, NAMES[0], actor=world.ana).current_image.digest == newer


def test_the_list_is_paged_and_shows_only_what_one_may_see(world, running):
    do(world, differs)
    with world.read() as session:
        change = load(session, world, running)
        first = waves.listing(session, change, paging.Cursor(limit=4), actor=world.kim)
        rest = waves.listing(session, change, paging.Cursor(limit=4, after=first.next), actor=world.kim)
        names = [move.image.bundle.full_name for move in (*first.items, *rest.items)]
        assert (names, rest.next) == (list(NAMES), None)
        left = waves.listing(session, change, paging.Cursor(), actor=world.kim, state=MoveState.NOT_EQUAL)
        assert [move.report["summary"] for move in left.items] == [DIFFERS["summary"]]


def wave(world, count):
    """A wave over ``count`` images of which every seventh answers otherwise, done by one worker."""
    with world.write() as session:
        laid = factories.lay_platform(session)
    for start in range(0, count, 25):
        with world.write() as session:
            names = [f"payments/w{number}" for number in range(start, min(count, start + 25))]
            factories.images_in_front(session, world, *names, stands_on=laid.digest)
    with world.write() as session:
        change = factories.propose(session, world, factories.offer_platform(session))
        factories.sign_change(session, change, world.vic)
        factories.sign_change(session, change, world.cora)
    done = []
    most = 0
    while (name := do(world, differs if len(done) % 7 == 6 else equal)) is not None:
        done.append(name)
        with world.read() as session:
            most = max(most, len(queued(session)))
    assert sorted(done) == sorted(f"payments/w{number}" for number in range(count))
    assert most <= waves.WINDOW
    with world.read() as session:
        change = session.scalars(select(PlatformChange)).one()
        left = count // 7
        assert waves.progress(session, [change])[change.id] == {
            MoveState.EQUAL: count - left,
            **({MoveState.NOT_EQUAL: left} if left else {}),
        }
        assert change.state is ChangeState.DONE


def test_a_wave_over_many_images_ends_each_of_them_once(world):
    wave(world, 15)


@pytest.mark.soak
def test_a_wave_over_300_images_ends_each_of_them_once(world):
    wave(world, 300)
