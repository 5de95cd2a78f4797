"""Who may do what: the rules of ``require()``, and one table of every domain function by person."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import select

import registry
from registry import access, accounts, approvals, bundles, builds, catalog, proofs, signing_in, tokens, uploads, versions
from registry.access import Actor, Permission
from registry.errors import (
    Forbidden,
    InteractiveOnly,
    MissingRole,
    MissingScope,
    NotFound,
    NotInTeam,
    SecondFactorRequired,
    SelfApproval,
)
from registry.orm.account import ApiToken, Person, Role, RoleGrant
from registry.orm.image import Build, Bundle, Rebuild
from registry.paging import Cursor
from tests import factories
from tests.factories import MODEL, PEOPLE

NOTHING = Actor(ref="person:0", name="nobody")


def acting(*roles, **fields):
    return Actor(ref="person:0", name="pat", roles=frozenset(roles), second_factor=True, **fields)


# --------------------------------------------------------------------------------------------------- require()


@pytest.mark.parametrize("permission", Permission)
def test_nobody_may_do_anything_without_a_role(permission):
    with pytest.raises(MissingRole) as caught:
        access.require(NOTHING, permission)
    assert caught.value.hint
    assert not access.allowed(NOTHING, permission)


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Role)
def test_a_role_carries_what_the_table_says(role, permission):
    assert access.allowed(acting(role), permission) is (role in access.ROLES[permission])


@pytest.mark.parametrize("permission", sorted(set(Permission) - set(access.SCOPES)))
def test_no_token_ever_decides_or_administers(permission):
    everything = acting(*Role, scopes=frozenset(access.ALL_SCOPES))
    with pytest.raises(InteractiveOnly):
        access.require(everything, permission)


@pytest.mark.parametrize("permission", access.SCOPES)
def test_a_token_needs_the_scope(permission):
    others = frozenset(access.ALL_SCOPES) - {access.SCOPES[permission]}
    with pytest.raises(MissingScope, match=access.SCOPES[permission]):
        access.require(acting(*Role, scopes=others), permission)
    access.require(acting(*Role, scopes=frozenset({access.SCOPES[permission]})), permission)


def test_no_scope_is_of_a_deciding_kind():
    assert not {Permission.DECIDE, Permission.ADMINISTER, Permission.OPERATE} & set(access.SCOPES)


@pytest.mark.parametrize("role", sorted(access.SECOND_FACTOR))
def test_a_role_that_needs_a_second_factor_counts_for_nothing_without(role):
    for permission in Permission:
        if role in access.ROLES[permission]:
            with pytest.raises(SecondFactorRequired):
                access.require(replace(acting(role), second_factor=False), permission)


def test_a_scientist_needs_no_second_factor():
    access.require(replace(acting(Role.SCIENTIST), second_factor=False), Permission.PUSH)


def test_an_operators_reach_over_other_teams_needs_the_second_factor(world):
    """A scientist who is an operator too keeps only the scientist's rights until the second factor is given."""
    team = next(iter(world.lea.teams))
    both = acting(Role.SCIENTIST, Role.OPERATOR)
    access.require(both, Permission.BAKE, team_id=team)
    with pytest.raises(NotInTeam):
        access.require(replace(both, second_factor=False), Permission.BAKE, team_id=team)


@pytest.mark.parametrize("permission", sorted(access.TEAM_BOUND))
def test_rights_over_a_team_are_its_members(world, permission):
    own, other = next(iter(world.ana.teams)), next(iter(world.lea.teams))
    access.require(world.ana, permission, team_id=own)
    with pytest.raises(NotInTeam) as caught:
        access.require(world.ana, permission, team_id=other)
    assert caught.value.hint


@pytest.mark.parametrize("permission", sorted(access.TEAM_BOUND))
def test_an_operator_reaches_bundles_of_every_team_and_nothing_else(world, permission):
    team = next(iter(world.lea.teams))
    assert access.allowed(world.ops, permission, team_id=team) is (permission in (Permission.EDIT_BUNDLE, Permission.BAKE))


# ------------------------------------------------------------------------------------- every domain function


EVERYBODY = {"root", "rita", *PEOPLE} - {"nil"}
ADMINISTRATORS = {"root", "rita"}
TEAM = {"ana", "ben", "max"}
REVIEWERS = {"vic", "val", "cora", "carl", "max"}


@dataclass
class Scene:
    """Something to act on: versions 1 checking, 2 failed, 3 ready, 4 in review, 5 approved, all of payments/voice."""

    world: factories.World
    session: Any

    def version(self, number):
        return catalog.get_version(self.session, MODEL, number, actor=self.world.ana)

    @property
    def request(self):
        return self.world.request(self.session, 4)

    @property
    def model(self):
        return catalog.get_model(self.session, MODEL, actor=self.world.ana)

    @property
    def bundle(self):
        return bundles.get(self.session, "payments/desk", actor=self.world.ana)

    def build(self, state):
        query = select(Build).join(Bundle).where(Build.state == state, Bundle.full_name == "payments/desk")
        build = self.session.scalars(query).first()
        return builds.get_build(self.session, build.id, actor=self.world.ana)

    def person(self, username="nil"):
        return accounts.load_person(self.session, username=username)

    def team(self, slug="payments"):
        return accounts.get_team(self.session, slug)

    def grant(self, role):
        return self.session.scalars(select(RoleGrant).join(Person).where(Person.username == "kim", RoleGrant.role == role)).one()


@pytest.fixture
def scene(world):
    with world.write() as session:
        factories.checking_version(session, world)
        factories.failed_version(session, world)
        factories.ready_version(session, world)
        factories.request_in_review(session, world)
        approved = factories.approved_version(session, world)
        factories.bundle(session, world, rebuild=Rebuild.PROPOSE)
        bundles.after_approval(session, approved)
        failed = factories.bundle(session, world, name="payments/desk-2")
        bundles.change(session, bundles.get(session, "payments/desk", actor=world.ana), actor=world.ana, routes=[bundles.RouteSpec("feedback", [factories.pinned(5)])], rebuild=Rebuild.PROPOSE, expected=1)
        failing = bundles.bake(session, bundles.get(session, "payments/desk", actor=world.ana), actor=world.ana)
        builds.fail(session, builds.start(session, failing.id), {"code": "test", "message": "no", "hint": ""})
        factories.released_image(session, bundles.bake(session, failed, actor=world.ana))
        catalog.set_alias(session, approved, "champion", actor=world.ana, expected=approved.model.revision)
        accounts.grant_role(session, accounts.load_person(session, username="kim"), Role.VALIDATOR, actor=world.root)
        factories.token(session, world.ana)
    return world
