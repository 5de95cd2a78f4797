"""Bundles: shares that add up, members that resolve to what is approved, and bakes that ask for it."""

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from registry import accounts, bundles, catalog, clock, jobs, proofs
from registry import builds as baking
from registry.bundles import MemberSpec, RouteSpec
from registry.errors import AlreadyExists, Blocked, Invalid, NotFound, PreconditionMissing, Stale, WrongStage
from registry.orm.catalog import RegisteredModel
from registry.orm.image import Build, BuildState, Bundle, Image, Rebuild
from registry.orm.job import Job, JobKind, JobState
from registry.paging import Cursor
from tests import factories
from tests.factories import MODEL, following, pinned
from tests.support import at_once, kinds, refused

DESK = "payments/desk"


def get(session, world, name=DESK):
    return bundles.get(session, name, actor=world.ana)


def approved(world, times=1):
    for _ in range(times):
        with world.write() as session:
            factories.approved_version(session, world)


def ready(world, times=1):
    for _ in range(times):
        with world.write() as session:
            factories.ready_version(session, world)


def bundle(world, *members, **fields):
    with world.write() as session:
        return factories.bundle(session, world, *members, **fields)


def builds_of(world, name=DESK):
    with world.read() as session:
        query = select(Build).join(Bundle, Bundle.id == Build.bundle_id).where(Bundle.full_name == name)
        return session.scalars(query.order_by(Build.id)).all()


def members(build):
    return [
        (route["name"], member["ref"], member["weight"])
        for route in build.recipe["routes"]
        for member in route["members"]
    ]


# --------------------------------------------------------------------------------------------------- routes


def test_members_keep_their_order_weights_and_bounds(world):
    ready(world, 2)
    bundle(world, pinned(2, 90, bounds=(50, 100)), pinned(1, 10, bounds=(0, 50)))
    with world.read() as session:
        found = [
            (m.position, m.version.number, m.weight, m.min_weight, m.max_weight) for m in get(session, world).members
        ]
    assert found == [(0, 2, 90, 50, 100), (1, 1, 10, 0, 50)]


def test_positions_run_on_over_all_routes(world):
    ready(world, 2)
    routes = [RouteSpec("one", [pinned(1, 50), pinned(2, 50)]), RouteSpec("two", [pinned(1)])]
    with world.write() as session:
        bundles.create(session, actor=world.ana, full_name=DESK, routes=routes)
    with world.read() as session:
        assert [(m.position, m.route) for m in get(session, world).members] == [(0, "one"), (1, "one"), (2, "two")]


@pytest.mark.parametrize(
    ("routes", "pointer"),
    [
        pytest.param([], "/routes", id="no-route"),
        pytest.param([RouteSpec("a", [pinned(1)]), RouteSpec("a", [pinned(1)])], "/routes", id="name-twice"),
        pytest.param([RouteSpec("a", [])], "/routes/0/members", id="no-member"),
        pytest.param([RouteSpec("a", [pinned(1, 50), pinned(2, 49)])], "/routes/0/members", id="99-percent"),
        pytest.param([RouteSpec("a", [pinned(1, 101)])], "/routes/0/members", id="101-percent"),
        pytest.param([RouteSpec("a", [pinned(1, 150), pinned(2, -50)])], "/routes/0/members/0", id="negative"),
        pytest.param([RouteSpec("a", [pinned(1, 100, bounds=(0, 99))])], "/routes/0/members/0", id="above-its-bounds"),
        pytest.param([RouteSpec("a", [pinned(1, 100, bounds=(0, 101))])], "/routes/0/members/0", id="bounds-too-wide"),
        pytest.param([RouteSpec("A b", [pinned(1)])], "/routes/0/name", id="bad-name"),
        pytest.param([RouteSpec("a", [MemberSpec(MODEL, 100)])], "/routes/0/members/0", id="neither"),
        pytest.param([RouteSpec("a", [MemberSpec(MODEL, 100, 1, "approved")])], "/routes/0/members/0", id="both"),
        pytest.param(
            [RouteSpec("a", [pinned(1)]), RouteSpec("b", [pinned(1, 99)])], "/routes/1/members", id="second-route"
        ),
    ],
)
def test_routes_that_do_not_fit_say_where(world, routes, pointer):
    ready(world, 2)
    error = refused(
        world.database,
        Invalid,
        lambda session: bundles.create(session, actor=world.ana, full_name=DESK, routes=routes),
    )
    assert [at for at, _ in error.errors] == [pointer]


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(pinned(9), id="version"),
        pytest.param(pinned(1, model="payments/absent"), id="model"),
        pytest.param(following("champion"), id="alias"),
        pytest.param(following(model="lending/secret"), id="private"),
    ],
)
def test_a_member_that_is_not_there_is_not_found(world, member):
    ready(world)
    with world.write() as session:
        factories.private_model(session, world, "lending/secret", actor=world.lea)
    refused(world.database, NotFound, lambda session: factories.bundle(session, world, member))


def test_another_teams_model_is_a_member_once_its_use_is_declared(world):
    with world.write() as session:
        factories.ready_version(session, world)

    def make(session):
        factories.bundle(session, world, name="lending/desk", actor=world.lea)

    error = refused(world.database, Invalid, make)
    assert "declared" in str(error)
    with world.write() as session:
        model = catalog.get_model(session, MODEL, actor=world.lea)
        lending = accounts.get_team(session, "lending")
        catalog.declare_use(session, model, lending, actor=world.lea, purpose="triage of mail")
    with world.write() as session:
        make(session)


def test_it_is_the_bundles_team_that_must_have_declared_the_use(world):
    """Somebody in both teams does not carry one team's models into the other's containers."""
    ready(world)
    with world.write() as session:
        person = accounts.load_person(session, username="ana")
        accounts.add_member(session, accounts.get_team(session, "lending"), person, actor=world.root)
        accounts.load_person(session, username="ana")
    with world.read() as session:
        in_both = accounts.actor_for(accounts.load_person(session, username="ana"))
    refused(
        world.database,
        Invalid,
        lambda session: factories.bundle(session, world, name="lending/desk", actor=in_both),
    )


def test_a_name_is_given_once(world):
    ready(world)
    bundle(world)
    refused(world.database, AlreadyExists, lambda session: factories.bundle(session, world))


def change(session, world, *shares, expected, rebuild=Rebuild.AUTO):
    bundles.change(
        session,
        get(session, world),
        actor=world.ana,
        routes=[RouteSpec("feedback", shares)],
        rebuild=rebuild,
        expected=expected,
    )


def test_routes_are_replaced_as_a_whole(world):
    ready(world, 2)
    seen = bundle(world, pinned(1)).revision
    with world.write() as session:
        change(session, world, pinned(1, 10), pinned(2, 90), expected=seen, rebuild=Rebuild.PROPOSE)
    with world.read() as session:
        found = get(session, world)
        assert [(m.version.number, m.weight) for m in found.members] == [(1, 10), (2, 90)]
        assert found.rebuild is Rebuild.PROPOSE
        assert found.revision > seen
    assert builds_of(world) == [], "a change of routes alone bakes nothing"
    for expected, error in ((seen, Stale), (None, PreconditionMissing)):
        refused(world.database, error, lambda session, e=expected: change(session, world, pinned(1), expected=e))


def test_the_same_routes_again_are_a_new_revision_too(world):
    ready(world)
    seen = bundle(world, pinned(1)).revision
    with world.write() as session:
        change(session, world, pinned(1), expected=seen)
    with world.read() as session:
        assert get(session, world).revision > seen


def test_of_two_changes_at_once_one_is_stale(world):
    ready(world, 2)
    seen = bundle(world, pinned(1)).revision

    def act(number):
        with world.write() as session:
            change(session, world, pinned(number), expected=seen)

    assert kinds(at_once(*[lambda n=n: act(n) for n in (1, 2)])) == ["NoneType", "Stale"]


# --------------------------------------------------------------------------------------------------- resolving


def test_a_pinned_member_is_that_version_and_a_follower_the_newest_approved(world):
    approved(world, 2)
    with world.write() as session:
        version = world.version(session, 1)
        catalog.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
    bundle(world, pinned(1, 20), following("approved", 30), following("champion", 50))
    with world.read() as session:
        resolution = bundles.resolve(session, get(session, world))
        refs = [member["ref"] for member in resolution.recipe["routes"][0]["members"]]
        assert refs == [f"{MODEL}:1", f"{MODEL}:2", f"{MODEL}:1"]
        assert (
            resolution.recipe["routes"][0]["members"][1]["release_digest"] == world.version(session, 2).release_digest
        )
        assert resolution.waiting == []


def test_what_is_missing_is_told_member_by_member(world):
    with world.write() as session:
        factories.checking_version(session, world)
        factories.ready_version(session, world)
        factories.request_in_review(session, world)
    bundle(world, pinned(1, 25), pinned(2, 25), pinned(3, 25), following("approved", 25))
    with world.read() as session:
        resolution = bundles.resolve(session, get(session, world))
    assert resolution.recipe is None
    assert resolution.waiting == [
        f"Route feedback waits for {MODEL}:1, which is checking.",
        f"Route feedback waits for {MODEL}:2, which is ready.",
        f"Route feedback waits for {MODEL}:3, which is in review.",
        f"Route feedback waits for an approved version of {MODEL}.",
    ]


def test_nothing_is_baked_with_a_member_that_is_not_approved(world):
    approved(world)
    ready(world)
    bundle(world, pinned(1, 50), pinned(2, 50))
    error = refused(
        world.database, Blocked, lambda session: bundles.bake(session, get(session, world), actor=world.ana)
    )
    assert f"{MODEL}:2, which is ready" in str(error)
    assert error.hint


def test_an_approval_that_has_ended_bakes_nothing(world):
    approved(world)
    bundle(world, pinned(1, 50), following("approved", 50))
    with time_machine.travel(clock.now() + timedelta(days=366), tick=False):
        error = refused(
            world.database, Blocked, lambda session: bundles.bake(session, get(session, world), actor=world.ana)
        )
    assert str(error).count("approval has ended") == 2


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
        catalog.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
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


def test_bundles_that_hold_a_model_are_found(world):
    ready(world)
    bundle(world)
    with world.read() as session:
        model = session.scalars(select(RegisteredModel)).one()
        assert [found.full_name for found in bundles.holding(session, model)] == [DESK, MODEL]
        assert [found.full_name for found in bundles.listing(session, Cursor(), actor=world.kim).items] == [DESK, MODEL]
