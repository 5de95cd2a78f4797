"""API tokens: scoped, expiring, shown once, useless when anything about their owner ends."""

from datetime import timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from registry import access, accounts, clock, tokens, vault
from registry.errors import Forbidden, Invalid, MissingScope, NotFound, NotInTeam, TokenRefused
from registry.orm.account import ApiToken, Person, Role, RoleGrant, ServiceAccount
from registry.paging import Cursor
from tests import factories
from tests.support import refused, rows_of

NOW = clock.now()


def create(world, *, actor=None, **fields):
    valid = {"name": "ci", "scopes": ["read", "push"], "days": 30}
    with world.write() as session:
        return tokens.create(session, actor=actor or world.ana, **valid | fields)


def authenticate(world, token):
    with world.read() as session:
        return tokens.authenticate(session, token)[1]


@pytest.fixture
def service(world):
    with world.write() as session:
        return factories.service(session, world)


# --------------------------------------------------------------------------------------------------- whose it is


def test_a_token_acts_as_its_owner_within_its_scopes(world):
    _, token = create(world)
    actor = authenticate(world, token)
    assert (actor.ref, actor.name, actor.roles, actor.teams) == (
        world.ana.ref,
        "ana",
        world.ana.roles,
        world.ana.teams,
    )
    assert actor.scopes == {"read", "push"}
    assert actor.via_token
    assert not actor.second_factor


def test_a_person_of_many_roles_and_teams_keeps_them_all(world):
    with world.write() as session:
        person = accounts.load_person(session, username="max")
        accounts.add_member(session, accounts.get_team(session, "lending"), person, actor=world.root)
        accounts.grant_role(session, person, Role.ADMINISTRATOR, actor=world.root)
    with world.read() as session:
        now = accounts.actor_for(accounts.load_person(session, username="max"))
    actor = authenticate(world, create(world, actor=world.max)[1])
    assert (actor.roles, actor.teams) == (now.roles, now.teams)
    assert len(actor.teams) == 2
    assert Role.ADMINISTRATOR not in actor.roles, "a pending role is no role"


def test_a_service_account_is_a_scientist_of_its_team(world, service):
    actor = authenticate(world, create(world, service=service)[1])
    assert (actor.ref, actor.name, actor.person_id) == (service.audit_ref(), "pipeline", None)
    assert (actor.roles, actor.teams) == ({Role.SCIENTIST}, world.ana.teams)


def test_only_a_hash_is_stored(world):
    row, token = create(world)
    secret = token.split("_")[2]
    assert row.handle in token
    stored = repr(rows_of(world.database))
    assert token not in stored
    assert secret not in stored
    assert secret[:64] not in stored


# --------------------------------------------------------------------------------------------------- refusals


def expired(world, token):
    return time_machine.travel(clock.now() + timedelta(days=30, seconds=5), tick=False)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"), id="mistyped"),
        pytest.param(lambda token: token[:-8], id="cut"),
        pytest.param(lambda token: "", id="empty"),
        pytest.param(lambda token: "ghp_" + token, id="of-another-kind"),
        pytest.param(lambda token: vault.new_token()[0], id="unknown"),
        pytest.param(lambda token: f"cs_{token.split('_')[1]}_{vault.new_token()[0].split('_')[2]}", id="other-secret"),
        pytest.param(lambda token: "cs_\x00_" + "0" * 72, id="nul"),
        pytest.param(lambda token: "cs_ü_" + "é" * 72, id="not-ascii"),
    ],
)
def test_what_is_not_the_token_is_refused(world, change):
    _, token = create(world)
    with pytest.raises(TokenRefused) as caught:
        authenticate(world, change(token))
    assert caught.value.hint


def test_a_forged_check_sum_does_not_help(world):
    """The check sum finds typing errors, no more: the hash decides."""
    _, token = create(world)
    handle = token.split("_")[1]
    forged = f"cs_{handle}_{'0' * 64}{vault._crc(handle + '0' * 64)}"
    with pytest.raises(TokenRefused, match="unknown or revoked"):
        authenticate(world, forged)


def test_an_expired_token_is_refused(world):
    with time_machine.travel(NOW, tick=False):
        _, token = create(world, days=1)
    with time_machine.travel(NOW + timedelta(days=1, seconds=-1), tick=False):
        authenticate(world, token)
    with (
        time_machine.travel(NOW + timedelta(days=1, seconds=1), tick=False),
        pytest.raises(TokenRefused, match="expired"),
    ):
        authenticate(world, token)


def test_a_revoked_token_is_refused_at_once(world):
    row, token = create(world)
    with world.write() as session:
        tokens.revoke(session, row.id, actor=world.ana)
    with pytest.raises(TokenRefused):
        authenticate(world, token)
    with world.write() as session:
        assert tokens.revoke(session, row.id, actor=world.ana).revoked_at is not None, "twice is once"


def test_a_disabled_persons_token_is_refused(world):
    _, token = create(world)
    with world.write() as session:
        accounts.disable_person(session, session.get_one(Person, world.ana.person_id), actor=world.root)
    with pytest.raises(TokenRefused, match="disabled"):
        authenticate(world, token)


def test_a_token_loses_what_its_owner_loses(world):
    _, token = create(world)
    with world.write() as session:
        grant = session.scalars(select(RoleGrant).where(RoleGrant.person_id == world.ana.person_id)).one()
        accounts.revoke_role(session, grant, actor=world.root)
    assert authenticate(world, token).roles == frozenset()


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        pytest.param({"scopes": []}, "/scopes", id="no-scope"),
        pytest.param({"scopes": ["read", "decide"]}, "/scopes", id="unknown-scope"),
        pytest.param({"days": 0}, "/days", id="no-time"),
        pytest.param({"days": 366}, "/days", id="too-long"),
        pytest.param({"name": " "}, "/name", id="no-name"),
        pytest.param({"name": "x" * 81}, "/name", id="long-name"),
    ],
)
def test_a_bad_token_is_not_made(world, fields, pointer):
    valid = {"name": "ci", "scopes": ["read"], "days": 30}
    error = refused(world.database, Invalid, lambda session: tokens.create(session, actor=world.ana, **valid | fields))
    assert [at for at, _ in error.errors] == [pointer]
    assert error.hint


# --------------------------------------------------------------------------------------------------- tokens by tokens


def test_a_token_passes_on_no_more_than_it_has(world):
    narrow = authenticate(world, create(world, scopes=["read", "tokens"])[1])
    create(world, actor=narrow, scopes=["read"])
    refused(
        world.database,
        Forbidden,
        lambda session: tokens.create(session, actor=narrow, name="x", scopes=["push"], days=1),
    )


def test_a_token_without_the_scope_makes_none(world):
    narrow = authenticate(world, create(world)[1])
    refused(
        world.database,
        MissingScope,
        lambda session: tokens.create(session, actor=narrow, name="x", scopes=["read"], days=1),
    )


@pytest.mark.parametrize("own", [True, False], ids=["for-itself", "for-nobody"])
def test_a_pipeline_makes_no_tokens(world, service, own):
    """A leaked pipeline token must not be able to outlive its revocation."""
    pipeline = authenticate(world, create(world, service=service, scopes=["read", "push", "tokens"])[1])

    def act(session):
        mine = session.get_one(ServiceAccount, service.id) if own else None
        tokens.create(session, actor=pipeline, name="x", scopes=["read"], days=1, service=mine)

    assert refused(world.database, Forbidden, act).hint


def test_a_pipelines_tokens_are_its_teams_to_make(world, service):
    refused(
        world.database,
        NotInTeam,
        lambda session: tokens.create(session, actor=world.lea, name="x", scopes=["read"], days=1, service=service),
    )


def test_identities_of_pipelines_are_made_by_people(world):
    by_token = authenticate(world, create(world)[1])
    refused(world.database, Forbidden, lambda session: factories.service(session, world, actor=by_token, name="other"))


# --------------------------------------------------------------------------------------------------- listing


def test_people_see_their_own_tokens_and_their_pipelines(world, service):
    mine, of_service = create(world)[0], create(world, service=service)[0]
    create(world, actor=world.lea)
    with world.read() as session:
        assert [row.id for row in tokens.of_actor(session, world.ana)] == [of_service.id, mine.id]
        assert [row.id for row in tokens.of_actor(session, world.ben)] == [of_service.id]
        assert [row.person_id for row in tokens.of_actor(session, world.lea)] == [world.lea.person_id]
        assert tokens.of_actor(session, world.kim) == []
        page = tokens.listing(session, Cursor(limit=1), actor=world.ana)
        rest = tokens.listing(session, Cursor(limit=1, after=page.next), actor=world.ana)
        assert [page.items[0].id, rest.items[0].id, rest.next] == [of_service.id, mine.id, None]


def test_somebody_elses_token_is_not_there(world, service):
    row = create(world)[0]
    refused(world.database, NotFound, lambda session: tokens.revoke(session, row.id, actor=world.ben))
    refused(world.database, NotFound, lambda session: tokens.revoke(session, clock.new_id(), actor=world.ana))
    pipeline = create(world, service=service)[0]
    with world.write() as session:
        tokens.revoke(session, pipeline.id, actor=world.ben)


def test_a_pipeline_sees_no_persons_tokens(world, service):
    create(world)
    pipeline = authenticate(world, create(world, service=service, scopes=["tokens"])[1])
    with world.read() as session:
        assert [row.service_id for row in tokens.of_actor(session, pipeline)] == [service.id]


def test_use_is_stamped(world):
    row, _ = create(world)
    with world.write() as session:
        tokens.touch(session, row.id)
    with world.read() as session:
        assert session.get_one(ApiToken, row.id).last_used_at is not None


# --------------------------------------------------------------------------------------------------- shape


def test_a_token_can_be_recognised_by_a_scanner():
    token, handle, stored = vault.new_token()
    assert vault.split_token(token)[0] == handle
    assert token.startswith("cs_")
    assert vault.hash_secret(vault.split_token(token)[1]) == stored
    assert len(access.ALL_SCOPES) == len(set(access.ALL_SCOPES))


@given(st.text())
def test_any_text_is_a_token_or_refused(text):
    with pytest.raises(TokenRefused):
        vault.split_token(text)


@given(st.integers(0, 71), st.sampled_from("0123456789abcdef"))
def test_every_single_typing_error_is_found(place, character):
    token = vault.new_token()[0]
    at = token.rindex("_") + 1 + place
    typed = token[:at] + character + token[at + 1 :]
    if typed != token:
        with pytest.raises(TokenRefused, match="mistyped"):
            vault.split_token(typed)
