"""People, teams and roles: the rule of two, and who stays when somebody goes."""

import pytest

from registry import accounts, signing_in
from registry.errors import AlreadyExists, Blocked, Conflict, Invalid, NotFound, SelfApproval
from registry.orm.account import Role
from tests import factories
from tests.factories import PASSWORD
from tests.registry.staffing import TWO_PERSON, events, grant_of, in_force, person
from tests.support import at_once, kinds, refused

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


# --------------------------------------------------------------------------------------------------- the last administrator


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


def test_a_link_that_was_kept_ends_when_another_sets_the_password(world, vault):
    """Else rita, who made both, takes the second factor off and opens the one that she kept."""
    with world.write() as session:
        pat, kept = accounts.add_person(session, actor=world.rita, username="pat", name="Pat P.")
        given = accounts.reset_link(session, pat, actor=world.rita)
        accounts.set_password(session, accounts.find_setup(session, given, lock=True), PASSWORD)
        factories.enrol(session, "pat", vault)
    refused(world.database, NotFound, lambda session: accounts.find_setup(session, kept))
    with world.write() as session:
        more = accounts.reset_link(session, person(session, "pat"), actor=world.root)
        signing_in.reset_second_factor(session, person(session, "pat"), actor=world.rita)
    refused(world.database, NotFound, lambda session: accounts.find_setup(session, more))


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
