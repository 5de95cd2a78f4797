"""Bundles: shares that add up, and members that resolve to what is approved."""

from datetime import timedelta

import pytest
import time_machine

from registry import accounts, bundles, catalog, clock, references
from registry.errors import AlreadyExists, Blocked, Invalid, NotFound, PreconditionMissing, Stale
from registry.orm.image import Rebuild
from registry.routes import MemberSpec, RouteSpec
from tests import factories
from tests.factories import MODEL, following, in_shadow, pinned
from tests.registry.bundling import DESK, approved, builds_of, bundle, get, ready
from tests.support import at_once, bodies_of, kinds, refused

# --------------------------------------------------------------------------------------------------- routes


def test_members_keep_their_order_weights_and_bounds(world):
    ready(world, 2)
    bundle(world, pinned(2, 90, bounds=(50, 100)), pinned(1, 10, bounds=(0, 50)))
    with world.read() as session:
        found = [
            (m.position, m.version.number, m.weight, m.min_weight, m.max_weight) for m in get(session, world).members
        ]
    assert found == [(0, 2, 90, 50, 100), (1, 1, 10, 0, 50)]


def test_shadows_are_members_whose_weights_are_no_shares(world):
    ready(world, 3)
    bundle(world, pinned(1, 100), in_shadow(pinned(2, 100)), in_shadow(pinned(3, 5, bounds=(0, 20))))
    with world.read() as session:
        found = [(m.version.number, m.role.value, m.weight, m.max_weight) for m in get(session, world).members]
    assert found == [(1, "primary", 100, 100), (2, "shadow", 100, 100), (3, "shadow", 5, 20)]
    with world.read() as session:
        body = bodies_of(session, "bundle:created")[-1]
    assert [member["role"] for member in body["routes"][0]["members"]] == ["primary", "shadow", "shadow"]


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
        pytest.param([RouteSpec("a", [in_shadow(pinned(1))])], "/routes/0/members", id="a-shadow-of-nobody"),
        pytest.param(
            [RouteSpec("a", [pinned(1, 90), in_shadow(pinned(2, 10))])], "/routes/0/members", id="a-shadow-is-no-share"
        ),
        pytest.param(
            [RouteSpec("a", [pinned(1), in_shadow(pinned(2, 30, bounds=(0, 20)))])],
            "/routes/0/members/1",
            id="a-shadow-above-its-bounds",
        ),
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
        references.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
    bundle(world, pinned(1, 20), following("approved", 30), following("champion", 50))
    with world.read() as session:
        resolution = bundles.resolve(session, get(session, world))
        refs = [member["ref"] for member in resolution.recipe["routes"][0]["members"]]
        assert refs == [f"{MODEL}:1", f"{MODEL}:2", f"{MODEL}:1"]
        assert (
            resolution.recipe["routes"][0]["members"][1]["release_digest"] == world.version(session, 2).release_digest
        )
        assert resolution.waiting == []


def test_a_shadow_is_baked_beside_those_that_answer_and_after_them(world):
    approved(world, 2)
    bundle(world, in_shadow(pinned(2, 10, bounds=(0, 20))), pinned(1))
    with world.read() as session:
        (route,) = bundles.resolve(session, get(session, world)).recipe["routes"]
    told = [(member["ref"], member.get("role"), member["weight"], member["bounds"]) for member in route["members"]]
    assert told == [(f"{MODEL}:1", None, 100, [0, 100]), (f"{MODEL}:2", "shadow", 10, [0, 20])]


def test_a_shadow_that_was_promoted_is_left_out(world):
    approved(world)
    bundle(world, pinned(1), in_shadow(following("approved", 50)))
    with world.read() as session:
        (route,) = bundles.resolve(session, get(session, world)).recipe["routes"]
    assert [member["ref"] for member in route["members"]] == [f"{MODEL}:1"]
    approved(world)
    with world.read() as session:
        (route,) = bundles.resolve(session, get(session, world)).recipe["routes"]
    assert [member["ref"] for member in route["members"]] == [f"{MODEL}:1", f"{MODEL}:2"]
    assert [build.reason for build in builds_of(world)] == [f"version 2 of {MODEL} was approved"], (
        "a new version in the shadow is baked like one that answers"
    )


def test_a_shadow_must_be_approved_like_any_other(world):
    approved(world)
    ready(world)
    bundle(world, pinned(1), in_shadow(pinned(2, 5)))
    with world.read() as session:
        assert bundles.resolve(session, get(session, world)).waiting == [
            f"Route feedback waits for {MODEL}:2, which is ready."
        ]


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
