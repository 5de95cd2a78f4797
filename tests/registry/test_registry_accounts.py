"""People, teams and roles: the first administrator, the rule of two, and who stays when somebody goes."""

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from registry import accounts, clock, signing_in
from registry.errors import AlreadyExists, Blocked, Conflict, Invalid, NotFound, SelfApproval
from registry.orm.account import Person, Role, RoleGrant
from tests import factories
from tests.factories import PASSWORD
from tests.support import at_once, bodies_of, kinds, refused

TWO_PERSON = sorted(accounts.TWO_PERSON_ROLES)


def person(session, username):
    return accounts.load_person(session, username=username)


def grant_of(session, username, role):
    query = select(RoleGrant).join(Person, Person.id == RoleGrant.person_id).where(Person.username == username)
    return session.scalars(query.where(RoleGrant.role == role)).one_or_none()


def in_force(world, username):
    with world.read() as session:
        return accounts.actor_for(person(session, username)).roles


def events(database, action):
    with database.read() as session:
        return bodies_of(session, action)


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


# --------------------------------------------------------------------------------------------------- rule of two


@pytest.mark.parametrize("role", TWO_PERSON)
def test_a_deciding_role_waits_for_a_second_administrator(world, role):
    with world.write() as session:
        accounts.grant_role(session, person(session, "nil"), role, actor=world.root)
    assert in_force(world, "nil") == frozenset()
    assert events(world.database, "role:proposed")[-1] == {"role": role.value, "bootstrap": False}
    with world.write() as session:
        accounts.confirm_role(session, grant_of(session, "nil", role), actor=world.rita)
    assert in_force(world, "nil") == {role}
    assert events(world.database, "role:granted")[-1] == {"role": role.value, "bootstrap": False}


@pytest.mark.parametrize("role", sorted(set(Role) - accounts.TWO_PERSON_ROLES))
def test_other_roles_need_one_administrator(world, role):
    with world.write() as session:
        accounts.grant_role(session, person(session, "nil"), role, actor=world.root)
    assert in_force(world, "nil") == {role}


@pytest.mark.parametrize(
    ("proposer", "holder", "confirmer"),
    [
        pytest.param("root", "nil", "root", id="who-proposed-it"),
        pytest.param("root", "rita", "rita", id="who-would-hold-it"),
    ],
)
def test_the_second_signature_is_a_strangers(world, proposer, holder, confirmer):
    with world.write() as session:
        accounts.grant_role(session, person(session, holder), Role.COMPLIANCE, actor=getattr(world, proposer))
    act = getattr(world, confirmer)
    error = refused(
        world.database,
        SelfApproval,
        lambda session: accounts.confirm_role(session, grant_of(session, holder, Role.COMPLIANCE), actor=act),
    )
    assert error.hint
    assert Role.COMPLIANCE not in in_force(world, holder)


@pytest.mark.parametrize("role", TWO_PERSON)
def test_nobody_proposes_a_deciding_role_for_themselves(world, role):
    if role is Role.ADMINISTRATOR:
        with world.write() as session:
            assert accounts.grant_role(session, person(session, "root"), role, actor=world.root).bootstrap
        return
    refused(
        world.database,
        SelfApproval,
        lambda session: accounts.grant_role(session, person(session, "root"), role, actor=world.root),
    )


def test_granting_twice_is_granting_once(world):
    with world.write() as session:
        given = accounts.grant_role(session, person(session, "ana"), Role.SCIENTIST, actor=world.root)
        assert given.id == grant_of(session, "ana", Role.SCIENTIST).id
    assert in_force(world, "ana") == {Role.SCIENTIST}


def test_a_role_in_force_is_not_confirmed_again(world):
    refused(
        world.database,
        Conflict,
        lambda session: accounts.confirm_role(session, grant_of(session, "vic", Role.VALIDATOR), actor=world.rita),
    )


def test_a_pending_role_is_not_among_those_who_can_decide(world):
    with world.write() as session:
        accounts.grant_role(session, person(session, "nil"), Role.COMPLIANCE, actor=world.root)
    with world.read() as session:
        found = [each.username for each in accounts.people_with(session, [Role.COMPLIANCE])]
    assert found == ["carl", "cora", "max"]


def test_a_role_taken_away_is_gone_at_once(world):
    with world.write() as session:
        accounts.revoke_role(session, grant_of(session, "cora", Role.COMPLIANCE), actor=world.root)
    assert in_force(world, "cora") == frozenset()
    with world.read() as session:
        assert "cora" not in [each.username for each in accounts.people_with(session, [Role.COMPLIANCE])]


# --------------------------------------------------------------------------------------------- the last administrator


def test_the_last_administrator_stays(world):
    with world.write() as session:
        accounts.revoke_role(session, grant_of(session, "rita", Role.ADMINISTRATOR), actor=world.root)
    error = refused(
        world.database,
        Blocked,
        lambda session: accounts.revoke_role(session, grant_of(session, "root", Role.ADMINISTRATOR), actor=world.root),
    )
    assert error.hint


def test_a_pending_administrator_does_not_count_as_another(world):
    with world.write() as session:
        accounts.grant_role(session, person(session, "nil"), Role.ADMINISTRATOR, actor=world.root)
        accounts.revoke_role(session, grant_of(session, "rita", Role.ADMINISTRATOR), actor=world.root)
    refused(
        world.database,
        Blocked,
        lambda session: accounts.revoke_role(session, grant_of(session, "root", Role.ADMINISTRATOR), actor=world.root),
    )


def revoke_administrator(world, name, actor):
    def act():
        with world.write() as session:
            accounts.revoke_role(session, grant_of(session, name, Role.ADMINISTRATOR), actor=actor)

    return act


def disable(world, name, actor):
    def act():
        with world.write() as session:
            accounts.disable_person(session, person(session, name), actor=actor)

    return act


@pytest.mark.parametrize("act", [revoke_administrator, disable])
def test_two_administrators_who_remove_each_other_do_not_both_succeed(world, act):
    answers = at_once(act(world, "rita", world.root), act(world, "root", world.rita))
    assert kinds(answers) == ["Blocked", "NoneType"]
    with world.read() as session:
        assert len([each for each in accounts.people_with(session, [Role.ADMINISTRATOR]) if each.active]) == 1


@pytest.mark.parametrize("act", [accounts.disable_person, accounts.reset_link, signing_in.reset_second_factor])
def test_nobody_does_it_to_themselves(world, act):
    refused(world.database, SelfApproval, lambda session: act(session, person(session, "root"), actor=world.root))


# --------------------------------------------------------------------------------------------------- lost access


def test_no_administrator_alone_can_become_somebody_else(world, vault):
    """Who made the link that set a password may not take the second factor off as well: together they are the person."""
    with world.write() as session:
        factories.enrol(session, "cora", vault)
    with world.write() as session:
        link = accounts.reset_link(session, person(session, "cora"), actor=world.rita)
        accounts.set_password(session, accounts.find_setup(session, link), "a password that rita knows")
    error = refused(
        world.database,
        SelfApproval,
        lambda session: signing_in.reset_second_factor(session, person(session, "cora"), actor=world.rita),
    )
    assert error.hint
    with world.write() as session:
        signing_in.reset_second_factor(session, person(session, "cora"), actor=world.root)


def test_the_other_order_is_refused_too(world, vault):
    with world.write() as session:
        factories.enrol(session, "cora", vault)
        signing_in.reset_second_factor(session, person(session, "cora"), actor=world.rita)
    refused(
        world.database,
        SelfApproval,
        lambda session: accounts.reset_link(session, person(session, "cora"), actor=world.rita),
    )
    with world.write() as session:
        accounts.reset_link(session, person(session, "cora"), actor=world.root)


# --------------------------------------------------------------------------------------------------- people, teams


def test_a_new_person_has_no_role_and_sets_their_own_password(world):
    with world.write() as session:
        _, secret = accounts.add_person(session, actor=world.root, username="pat", name="Pat P.")
    assert in_force(world, "pat") == frozenset()
    with world.write() as session:
        accounts.set_password(session, accounts.find_setup(session, secret, lock=True), PASSWORD)
    with world.read() as session:
        assert signing_in.check_password(session, "pat", PASSWORD).name == "Pat P."
    refused(world.database, NotFound, lambda session: accounts.find_setup(session, secret))


@pytest.mark.parametrize(
    ("act", "error"),
    [
        pytest.param(
            lambda s, w: accounts.add_person(s, actor=w.root, username="ana", name="A"), AlreadyExists, id="person"
        ),
        pytest.param(
            lambda s, w: accounts.add_team(s, actor=w.root, slug="payments", name="P"), AlreadyExists, id="team"
        ),
        pytest.param(
            lambda s, w: accounts.add_team(s, actor=w.root, slug="Pay ments", name="P"), Invalid, id="bad-team"
        ),
        pytest.param(
            lambda s, w: accounts.add_person(s, actor=w.root, username="ana b", name="A"), Invalid, id="bad-username"
        ),
        pytest.param(lambda s, w: accounts.get_team(s, "nowhere"), NotFound, id="no-team"),
        pytest.param(lambda s, w: accounts.load_person(s, username="nobody"), NotFound, id="no-person"),
    ],
)
def test_names_are_checked(world, act, error):
    refused(world.database, error, lambda session: act(session, world))


def test_the_same_service_account_twice_is_refused(world):
    with world.write() as session:
        factories.service(session, world)
    refused(world.database, AlreadyExists, lambda session: factories.service(session, world))


def test_joining_and_leaving_a_team_is_what_actors_carry(world):
    with world.write() as session:
        team = accounts.get_team(session, "payments")
        accounts.add_member(session, team, person(session, "lea"), actor=world.root)
        accounts.add_member(session, team, person(session, "lea"), actor=world.root)
        accounts.remove_member(session, team, person(session, "ana"), actor=world.root)
    with world.read() as session:
        assert team.id in accounts.actor_for(person(session, "lea")).teams
        assert accounts.actor_for(person(session, "ana")).teams == frozenset()


def test_names_are_shown_for_every_kind_of_actor(world):
    with world.write() as session:
        service = factories.service(session, world)
    with world.read() as session:
        names = accounts.display_names(
            session, {world.ana.ref, service.audit_ref(), "system:countersign", "person:" + "0" * 32}
        )
    assert names == {
        world.ana.ref: "ana",
        service.audit_ref(): "payments/pipeline",
        "system:countersign": "Countersign",
    }
