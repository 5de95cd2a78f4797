"""The first administrator, and the end of being alone."""

from datetime import timedelta

import pytest
import time_machine

from registry import accounts, clock
from registry.errors import Conflict, Invalid, NotFound, SelfApproval
from registry.orm.account import Role, RoleGrant
from tests.factories import PASSWORD
from tests.registry.staffing import TWO_PERSON, events, person
from tests.support import refused

# --------------------------------------------------------------------------------------------------- bootstrap


@pytest.fixture
def secret(database):
    """The link printed when an empty installation starts."""
    with database.write() as session:
        return accounts.open_setup(session)


def first(session, secret, **fields):
    return accounts.first_administrator(
        session, secret, **{"username": "root", "name": "Root", "password": PASSWORD} | fields
    )


def alone(database):
    """The first administrator as they act."""
    with database.read() as session:
        return accounts.actor_for(accounts.load_person(session, username="root"), second_factor=True)


def test_the_link_makes_the_first_administrator_once(database, secret):
    with database.write() as session:
        first(session, secret)
    assert alone(database).roles == {Role.ADMINISTRATOR}
    assert events(database, "role:granted") == [{"role": "administrator", "bootstrap": True}]
    refused(database, NotFound, lambda session: first(session, secret, username="other"))


def test_a_second_link_is_worth_nothing_once_there_are_people(database, secret):
    with database.write() as session:
        other = accounts.open_setup(session)
    with database.write() as session:
        first(session, secret)
    assert refused(database, Conflict, lambda session: first(session, other, username="other")).hint


def test_no_link_for_a_first_administrator_when_there_are_people(world):
    refused(world.database, Conflict, accounts.open_setup)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        pytest.param({"password": "too short"}, "/password", id="short-password"),
        pytest.param({"username": "Root!"}, "/username", id="bad-name"),
        pytest.param({"name": "  "}, "/name", id="no-name"),
    ],
)
def test_a_bad_first_administrator_keeps_the_link_usable(database, secret, fields, pointer):
    error = refused(database, Invalid, lambda session: first(session, secret, **fields))
    assert [at for at, _ in error.errors] == [pointer]
    assert error.hint
    with database.write() as session:
        first(session, secret)


def test_a_link_lasts_a_day(database):
    now = clock.now()
    with time_machine.travel(now, tick=False), database.write() as session:
        secret = accounts.open_setup(session)
    with time_machine.travel(now + timedelta(hours=24, seconds=1), tick=False):
        assert refused(database, NotFound, lambda session: first(session, secret)).hint


def test_a_guessed_link_is_not_there(database, secret):
    refused(database, NotFound, lambda session: first(session, secret[:-1] + "_"))


@pytest.mark.parametrize("role", TWO_PERSON)
def test_a_lone_administrator_grants_alone_and_the_log_says_so(database, secret, role):
    with database.write() as session:
        first(session, secret)
    root = alone(database)
    with database.write() as session:
        added, _ = accounts.add_person(session, actor=root, username="new", name="New")
        assert accounts.grant_role(session, added, role, actor=root).in_force
    assert events(database, "role:granted")[-1] == {"role": role.value, "bootstrap": True}


@pytest.mark.parametrize("how", ["revoked", "disabled"])
def test_bootstrap_ends_for_good_with_the_second_administrator(database, secret, how):
    """Getting rid of the second one must not bring the first one's lonely power back."""
    with database.write() as session:
        first(session, secret)
    root = alone(database)
    with database.write() as session:
        second, _ = accounts.add_person(session, actor=root, username="second", name="Second")
        grant = accounts.grant_role(session, second, Role.ADMINISTRATOR, actor=root)
        accounts.add_person(session, actor=root, username="new", name="New")
    with database.write() as session:
        if how == "revoked":
            accounts.revoke_role(session, session.get(RoleGrant, grant.id), actor=root)
        else:
            accounts.disable_person(session, person(session, "second"), actor=root)
    with database.write() as session:
        assert not accounts.grant_role(session, person(session, "new"), Role.COMPLIANCE, actor=root).in_force
    refused(
        database,
        SelfApproval,
        lambda session: accounts.grant_role(session, person(session, "root"), Role.COMPLIANCE, actor=root),
    )
