"""API tokens: scoped, expiring, stored as hashes, shown once."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from registry import access, accounts, audit, clock, names, vault
from registry.access import Actor, Permission
from registry.errors import Forbidden, Invalid, NotFound, TokenRefused
from registry.orm.account import ApiToken, Person, Role, ServiceAccount

MAX_DAYS = 365
TOUCH = timedelta(minutes=1)


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
    if service is not None:
        access.require(actor, Permission.PUSH, team_id=service.team_id)
    elif actor.person_id is None:
        raise Forbidden("a service account cannot make tokens", hint="A member of its team can.")
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


def authenticate(session: Session, token: str) -> tuple[ApiToken, Actor]:
    """Whose token this is.

    :raises TokenRefused: unknown, revoked, expired, or its owner is disabled.
    """
    handle, secret = vault.split_token(token)
    row = session.scalars(
        select(ApiToken)
        .where(ApiToken.handle == handle)
        .options(
            joinedload(ApiToken.person).options(selectinload(Person.roles), selectinload(Person.teams)),
            joinedload(ApiToken.service),
        )
    ).one_or_none()
    if row is None or row.secret_hash != vault.hash_secret(secret) or row.revoked_at is not None:
        raise TokenRefused("the token is unknown or revoked", hint="Create a new one under Tokens.")
    if row.expires_at < clock.now():
        raise TokenRefused(f"the token expired on {row.expires_at:%d %B %Y}", hint="Create a new one under Tokens.")
    scopes = frozenset(row.scopes)
    if row.person is not None:
        if not row.person.active:
            raise TokenRefused("this account is disabled", hint="Ask an administrator.")
        return row, accounts.actor_for(row.person, scopes=scopes)
    service = row.service
    if service is None or not service.active:
        raise TokenRefused("this service account is disabled", hint="Ask a member of its team.")
    return row, Actor(
        ref=service.audit_ref(),
        name=service.name,
        roles=frozenset({Role.SCIENTIST}),
        teams=frozenset({service.team_id}),
        scopes=scopes,
    )


def touch(session: Session, token_id: UUID) -> None:
    """Stamp a token as used; called at most once a minute, in a unit of its own."""
    row = session.get(ApiToken, token_id)
    if row is not None:
        row.last_used_at = clock.now()


def of_actor(session: Session, actor: Actor) -> list[ApiToken]:
    """The person's tokens and those of their teams' service accounts, newest first."""
    services = select(ServiceAccount.id).where(ServiceAccount.team_id.in_(actor.teams))
    query = select(ApiToken).where((ApiToken.person_id == actor.person_id) | ApiToken.service_id.in_(services))
    return list(session.scalars(query.options(joinedload(ApiToken.service)).order_by(ApiToken.id.desc()).limit(200)))


def revoke(session: Session, token_id: UUID, *, actor: Actor) -> ApiToken:
    """End a token now; its owner, or a member of the service account's team, may."""
    access.require(actor, Permission.MANAGE_TOKENS)
    row = session.scalars(
        select(ApiToken).where(ApiToken.id == token_id).options(joinedload(ApiToken.service))
    ).one_or_none()
    mine = row is not None and (
        row.person_id == actor.person_id if row.service is None else row.service.team_id in actor.teams
    )
    if row is None or not mine:
        raise NotFound("there is no such token of yours")
    if row.revoked_at is None:
        row.revoked_at = clock.now()
        audit.record(session, audit.Action.TOKEN_REVOKED, actor=actor, subject=row, name=row.name)
    return row
