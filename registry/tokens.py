"""API tokens: scoped, expiring, stored as hashes, shown once."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, or_, select
from sqlalchemy.orm import Session, joinedload

from registry import access, audit, clock, names, paging, vault
from registry.access import Actor, Permission
from registry.errors import Forbidden, Invalid, NotFound, TokenRefused
from registry.orm.account import ApiToken, Person, Role, RoleGrant, ServiceAccount, TeamMember

MAX_DAYS = 365
TOUCH = timedelta(minutes=1)

_HOLDER = (
    select(
        ApiToken.id,
        ApiToken.name,
        ApiToken.secret_hash,
        ApiToken.scopes,
        ApiToken.person_id,
        ApiToken.service_id,
        ApiToken.expires_at,
        ApiToken.revoked_at,
        ApiToken.last_used_at,
        Person.username,
        Person.active,
        RoleGrant.role,
        RoleGrant.confirmed_by,
        RoleGrant.bootstrap,
        TeamMember.team_id,
        ServiceAccount.name.label("service_name"),
        ServiceAccount.active.label("service_active"),
        ServiceAccount.team_id.label("service_team"),
    )
    .outerjoin(Person, Person.id == ApiToken.person_id)
    .outerjoin(RoleGrant, RoleGrant.person_id == Person.id)
    .outerjoin(TeamMember, TeamMember.person_id == Person.id)
    .outerjoin(ServiceAccount, ServiceAccount.id == ApiToken.service_id)
    .where(ApiToken.handle == bindparam("handle"))
)
"""A token and who holds it, a row for each of a person's roles and teams: one statement before every request."""


@dataclass(frozen=True)
class Presented:
    """The token a request came with."""

    id: UUID
    name: str
    scopes: list[str]
    expires_at: datetime
    last_used_at: datetime | None


def create(
    session: Session,
    *,
    actor: Actor,
    name: str,
    scopes: Sequence[str],
    days: int,
    service: ServiceAccount | None = None,
) -> tuple[ApiToken, str]:
    """A token for the actor, or for a service account of one of the actor's teams.

    :returns: the row, and the token itself, which cannot be read again.
    :raises Forbidden: a token asked for more than it has.
    """
    access.require(actor, Permission.MANAGE_TOKENS)
    unknown = sorted(set(scopes) - set(access.ALL_SCOPES))
    if unknown or not scopes:
        raise Invalid(
            f"unknown scopes: {', '.join(unknown) or 'none given'}",
            hint=f"Choose from {', '.join(access.ALL_SCOPES)}.",
            errors=[("/scopes", "choose from " + ", ".join(access.ALL_SCOPES))],
        )
    if actor.scopes is not None and not set(scopes) <= actor.scopes:
        raise Forbidden("a token can only make tokens with its own scopes", hint="Make it in the portal.")
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(f"{days} days", hint=f"1 to {MAX_DAYS} days.", errors=[("/days", f"1-{MAX_DAYS}")])
    if actor.person_id is None:
        raise Forbidden("a service account cannot make tokens", hint="A member of its team can.")
    if service is not None:
        access.require(actor, Permission.PUSH, team_id=service.team_id)
    token, handle, secret_hash = vault.new_token()
    row = ApiToken(
        handle=handle,
        secret_hash=secret_hash,
        scopes=sorted(set(scopes)),
        created_by=actor.ref,
        name=names.text(name, what="the name", pointer="/name", least=1, most=80),
        person_id=None if service else actor.person_id,
        service_id=service.id if service else None,
        expires_at=clock.now() + timedelta(days=days),
    )
    session.add(row)
    audit.record(session, audit.Action.TOKEN_CREATED, actor=actor, subject=row, name=name, scopes=row.scopes, days=days)
    return row, token


def authenticate(session: Session, token: str) -> tuple[Presented, Actor]:
    """Whose token this is.

    :raises TokenRefused: unknown, revoked, expired, or its owner is disabled.
    """
    handle, secret = vault.split_token(token)
    # Beside the session's own statements: it keeps no row of this one, and every request pays for it.
    rows = session.connection().execute(_HOLDER, {"handle": handle}).all()
    row = rows[0] if rows else None
    if row is None or not hmac.compare_digest(row.secret_hash, vault.hash_secret(secret)) or row.revoked_at is not None:
        raise TokenRefused("the token is unknown or revoked", hint="Create a new one under Tokens.")
    if row.expires_at < clock.now():
        raise TokenRefused(f"the token expired on {row.expires_at:%d %B %Y}", hint="Create a new one under Tokens.")
    presented = Presented(row.id, row.name, row.scopes, row.expires_at, row.last_used_at)
    if row.service_id is not None:
        if not row.service_active:
            raise TokenRefused("this service account is disabled", hint="Ask a member of its team.")
        return presented, Actor(
            ref=f"service:{row.service_id.hex}",
            name=row.service_name,
            roles=frozenset({Role.SCIENTIST}),
            teams=frozenset({row.service_team}),
            scopes=frozenset(row.scopes),
        )
    if not row.active:
        raise TokenRefused("this account is disabled", hint="Ask an administrator.")
    return presented, Actor(
        ref=f"person:{row.person_id.hex}",
        name=row.username,
        person_id=row.person_id,
        roles=frozenset(each.role for each in rows if each.role and (each.confirmed_by is not None or each.bootstrap)),
        teams=frozenset(each.team_id for each in rows if each.team_id),
        scopes=frozenset(row.scopes),
    )


def touch(session: Session, token_id: UUID) -> None:
    """Stamp a token as used; called at most once a minute, in a unit of its own."""
    row = session.get(ApiToken, token_id)
    if row is not None:
        row.last_used_at = clock.now()


def of_actor(session: Session, actor: Actor) -> list[ApiToken]:
    """The person's tokens and those of their teams' service accounts, newest first, at most 200."""
    return list(listing(session, paging.Cursor(limit=paging.MAX_LIMIT), actor=actor).items)


def listing(session: Session, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[ApiToken]:
    """Like :func:`of_actor`, page by page."""
    access.require(actor, Permission.MANAGE_TOKENS)
    query = select(ApiToken).where(_manageable(actor)).options(joinedload(ApiToken.service))
    return paging.fetch(session, query, (ApiToken.id,), cursor)


def get(session: Session, token_id: UUID, *, actor: Actor) -> ApiToken:
    """One of the tokens the actor may end.

    :raises NotFound: no such token, or somebody else's.
    """
    access.require(actor, Permission.MANAGE_TOKENS)
    query = select(ApiToken).where(ApiToken.id == token_id, _manageable(actor)).options(joinedload(ApiToken.service))
    row = session.scalars(query).one_or_none()
    if row is None:
        raise NotFound("there is no such token of yours")
    return row


def _manageable(actor: Actor) -> ColumnElement[bool]:
    services = select(ServiceAccount.id).where(ServiceAccount.team_id.in_(actor.teams))
    of_teams = ApiToken.service_id.in_(services)
    # Without a person (a service account asks) comparing would mean IS NULL: everybody's service tokens.
    return of_teams if actor.person_id is None else or_(ApiToken.person_id == actor.person_id, of_teams)


def revoke(session: Session, token_id: UUID, *, actor: Actor) -> ApiToken:
    """End a token now; its owner, or a member of the service account's team, may."""
    row = get(session, token_id, actor=actor)
    if row.revoked_at is None:
        row.revoked_at = clock.now()
        audit.record(session, audit.Action.TOKEN_REVOKED, actor=actor, subject=row, name=row.name)
    return row
