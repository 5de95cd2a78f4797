"""``require()``: roles, scopes, second factors and teams as the tables say, and nothing beyond."""

from dataclasses import replace

import pytest

from registry import access
from registry.access import Actor, Permission
from registry.errors import InteractiveOnly, MissingRole, MissingScope, NotInTeam, SecondFactorRequired
from registry.orm.account import Role

FOR_PEOPLE = (
    Permission.DECIDE,
    Permission.WAIVE,
    Permission.REVOKE,
    Permission.ADMINISTER,
    Permission.OPERATE,
)


def acting(*roles, **fields):
    return Actor(ref="person:0", name="pat", roles=frozenset(roles), second_factor=True, **fields)


@pytest.mark.parametrize("permission", Permission)
def test_nobody_may_do_anything_without_a_role(permission):
    with pytest.raises(MissingRole, match=f"{access.ACTS[permission]} needs the role") as caught:
        access.require(acting(), permission)
    assert caught.value.hint
    assert not access.allowed(acting(), permission)


@pytest.mark.parametrize("role", Role)
def test_a_role_carries_what_the_table_says(role):
    held = {permission for permission in Permission if access.allowed(acting(role), permission)}
    assert held == {permission for permission in Permission if role in access.ROLES[permission]}


def test_the_tables_leave_no_permission_out():
    assert set(access.ROLES) == set(access.ACTS) == set(Permission)
    assert set(access.SCOPES) | set(FOR_PEOPLE) == set(Permission)


@pytest.mark.parametrize("permission", FOR_PEOPLE)
def test_no_token_decides_waives_administers_or_operates(permission):
    everything = acting(*Role, scopes=frozenset(access.ALL_SCOPES))
    with pytest.raises(InteractiveOnly) as caught:
        access.require(everything, permission)
    assert caught.value.hint


@pytest.mark.parametrize("permission", access.SCOPES)
def test_a_token_needs_the_scope(permission):
    others = frozenset(access.ALL_SCOPES) - {access.SCOPES[permission]}
    with pytest.raises(MissingScope, match=access.SCOPES[permission]):
        access.require(acting(*Role, scopes=others), permission)
    access.require(acting(*Role, scopes=frozenset({access.SCOPES[permission]})), permission)


@pytest.mark.parametrize("role", sorted(access.SECOND_FACTOR))
def test_a_deciding_role_counts_for_nothing_without_a_second_factor(role):
    bare = replace(acting(role), second_factor=False)
    for permission in Permission:
        if role in access.ROLES[permission]:
            with pytest.raises(SecondFactorRequired):
                access.require(bare, permission)


def test_a_scientist_needs_no_second_factor():
    access.require(replace(acting(Role.SCIENTIST), second_factor=False), Permission.PUSH)


def test_an_operators_reach_over_other_teams_needs_the_second_factor(world):
    """A scientist who is an operator too keeps only the scientist's rights until the second factor is given."""
    (team,) = world.lea.teams
    both = acting(Role.SCIENTIST, Role.OPERATOR)
    access.require(both, Permission.BAKE, team_id=team)
    with pytest.raises(NotInTeam):
        access.require(replace(both, second_factor=False), Permission.BAKE, team_id=team)


@pytest.mark.parametrize("permission", sorted(access.TEAM_BOUND))
def test_rights_over_a_team_are_its_members(world, permission):
    (own,), (other,) = world.ana.teams, world.lea.teams
    access.require(world.ana, permission, team_id=own)
    with pytest.raises(NotInTeam) as caught:
        access.require(world.ana, permission, team_id=other)
    assert caught.value.hint


@pytest.mark.parametrize("permission", sorted(access.TEAM_BOUND))
def test_an_operator_reaches_bundles_of_every_team_and_nothing_else(world, permission):
    (team,) = world.lea.teams
    reached = access.allowed(world.ops, permission, team_id=team)
    assert reached is (permission in (Permission.EDIT_BUNDLE, Permission.BAKE))
