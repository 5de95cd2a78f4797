"""People, teams and roles. Deciding roles need two administrators once there are two."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session, selectinload

from registry import access, audit, clock, names, vault
from registry.access import Actor, Permission
from registry.errors import AlreadyExists, Blocked, Conflict, Invalid, NotFound, SelfApproval
from registry.orm.account import Person, Role, RoleGrant, ServiceAccount, SetupLink, Team, TeamMember
from registry.orm.audit import AuditEntry

SETUP_HOURS = 24
MIN_PASSWORD = 12
TWO_PERSON_ROLES = frozenset({Role.VALIDATOR, Role.COMPLIANCE, Role.ADMINISTRATOR})
"""Granting one of these needs a second administrator."""


def actor_for(person: Person, *, second_factor: bool = False, scopes: frozenset[str] | None = None) -> Actor:
    """The actor a loaded person (with ``roles`` and ``teams``) is at this moment."""
    return Actor(
        ref=f"person:{person.id.hex}",
        name=person.username,
        person_id=person.id,
        roles=frozenset(grant.role for grant in person.roles if grant.in_force),
        teams=frozenset(team.id for team in person.teams),
        scopes=scopes,
        second_factor=second_factor,
    )


def load_person(session: Session, *, person_id: UUID | None = None, username: str | None = None) -> Person:
    """A person with roles and teams.

    :raises NotFound: nobody of that id or name.
    """
    query = select(Person).options(selectinload(Person.roles), selectinload(Person.teams))
    query = query.where(Person.id == person_id) if person_id else query.where(Person.username == username)
    person = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if person is None:
        raise NotFound(f"there is no person {username or person_id}")
    return person


def needs_second_factor(roles: frozenset[Role] | set[Role]) -> bool:
    """Whether one of these roles makes a second factor mandatory."""
    return bool(roles & access.SECOND_FACTOR)


# ------------------------------------------------------------------------------------------------- set-up links


def open_setup(session: Session, person: Person | None = None) -> str:
    """Make a one-time link secret, valid a day: for ``person``, or for the first administrator.

    :raises Conflict: the first administrator exists already.
    """
    if person is None and session.scalars(select(Person.id).limit(1)).first() is not None:
        raise Conflict("this installation has people already", hint="Ask an administrator for a link.")
    secret = vault.new_secret()
    session.add(
        SetupLink(
            secret_hash=vault.hash_secret(secret),
            person_id=person.id if person else None,
            expires_at=clock.now() + timedelta(hours=SETUP_HOURS),
        )
    )
    return secret


def find_setup(session: Session, secret: str, *, lock: bool = False) -> SetupLink:
    """The unused link of this secret.

    :raises NotFound: unknown, used or expired; which of them is not told.
    """
    query = select(SetupLink).where(SetupLink.secret_hash == vault.hash_secret(secret))
    link = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if link is None or link.used_at is not None or link.expires_at < clock.now():
        raise NotFound("this link is used up or has expired", hint="Ask an administrator for a new one.")
    return link


def first_administrator(session: Session, secret: str, *, username: str, name: str, password: str) -> Person:
    """Make the first administrator from the link printed at start-up. Their role is a bootstrap grant."""
    link = find_setup(session, secret, lock=True)
    if link.person_id is not None:
        raise NotFound("this link is for somebody who exists", hint="Open it to set a password.")
    if session.scalars(select(Person.id).limit(1)).first() is not None:
        raise Conflict("this installation has people already", hint="Ask an administrator for a link.")
    person = _new_person(username, name)
    person.password_hash = vault.hash_password(check_password(password))
    session.add(person)
    session.flush()
    grant = RoleGrant(
        person_id=person.id, role=Role.ADMINISTRATOR, proposed_by=person.audit_ref(), confirmed_by=None, bootstrap=True
    )
    session.add(grant)
    link.used_at = clock.now()
    actor = Actor(ref=person.audit_ref(), name=username, person_id=person.id)
    audit.record(session, audit.Action.INSTALLATION_STARTED, actor=actor, subject=person, username=username, name=name)
    audit.record(session, audit.Action.ROLE_GRANTED, actor=actor, subject=person, role="administrator", bootstrap=True)
    return person


def set_password(session: Session, link: SetupLink, password: str) -> Person:
    """Set the password of the link's person, and use the link up, with every other one of theirs."""
    person = load_person(session, person_id=link.person_id)
    person.password_hash = vault.hash_password(check_password(password))
    person.failed_logins, person.locked_until = 0, None
    end_links(session, person)
    audit.record(session, audit.Action.PASSWORD_SET, actor=actor_for(person), subject=person)
    return person


def end_links(session: Session, person: Person) -> None:
    """End the links of a person that are still open: with one that was kept, who made it could become that person."""
    for link in session.scalars(select(SetupLink).where(SetupLink.person_id == person.id, SetupLink.used_at.is_(None))):
        link.used_at = clock.now()


def check_password(password: str) -> str:
    """Refuse a short password; length is the one rule that helps."""
    if len(password) < MIN_PASSWORD:
        raise Invalid(
            f"the password has {len(password)} characters",
            hint=f"Use at least {MIN_PASSWORD}; a sentence is easy to remember.",
            errors=[("/password", f"at least {MIN_PASSWORD} characters")],
        )
    return password


# ----------------------------------------------------------------------------------------------- people and teams


def add_person(session: Session, *, actor: Actor, username: str, name: str) -> tuple[Person, str]:
    """Add a person without any role; returns them and the secret of their set-up link."""
    access.require(actor, Permission.ADMINISTER)
    if session.scalars(select(Person.id).where(Person.username == username)).first():
        raise AlreadyExists(f"{username} exists already", errors=[("/username", "taken")])
    person = _new_person(username, name)
    session.add(person)
    audit.record(session, audit.Action.PERSON_ADDED, actor=actor, subject=person, username=username, name=name)
    session.flush()
    return person, open_setup(session, person)


def _new_person(username: str, name: str) -> Person:
    return Person(
        username=names.username(username),
        name=names.text(name, what="the name", pointer="/name", least=1, most=128),
        active=True,
        failed_logins=0,
    )


def reset_link(session: Session, person: Person, *, actor: Actor) -> str:
    """A new set-up link for somebody who lost their password. It does not touch their second factor."""
    access.require(actor, Permission.ADMINISTER)
    if person.id == actor.person_id:
        raise SelfApproval("you cannot reset yourself", hint="Ask another administrator.")
    if not person.totp_sealed:
        refuse_both_halves(session, person, actor=actor, other=audit.Action.SECOND_FACTOR_RESET)
    audit.record(session, audit.Action.PASSWORD_LINK_MADE, actor=actor, subject=person)
    return open_setup(session, person)


def refuse_both_halves(session: Session, person: Person, *, actor: Actor, other: audit.Action) -> None:
    """Nobody replaces both password and second factor of somebody: the two together are that person.

    :param other: the half that ``actor`` must not have replaced since the person last set a second factor.
    :raises SelfApproval: they have.
    """
    about = select(func.max(AuditEntry.seq)).where(AuditEntry.subject == person.audit_ref())
    renewed = session.scalar(about.where(AuditEntry.action == audit.Action.SECOND_FACTOR_SET))
    replaced = session.scalar(about.where(AuditEntry.action == other, AuditEntry.actor == actor.ref))
    if replaced is not None and replaced > (-1 if renewed is None else renewed) and not _bootstrapping(session, actor):
        raise SelfApproval(
            "password and second factor are not reset by the same administrator", hint="Ask another administrator."
        )


def disable_person(session: Session, person: Person, *, actor: Actor) -> None:
    """Stop somebody from signing in; their history stays."""
    access.require(actor, Permission.ADMINISTER)
    if person.id == actor.person_id:
        raise SelfApproval("you cannot disable yourself", hint="Ask another administrator.")
    if _administrators(session) == {person.id}:
        raise Blocked("this is the last administrator", hint="Make another administrator first.")
    person.active = False
    audit.record(session, audit.Action.PERSON_DISABLED, actor=actor, subject=person)


def add_team(session: Session, *, actor: Actor, slug: str, name: str) -> Team:
    """Add a team."""
    access.require(actor, Permission.ADMINISTER)
    names.slug(slug, what="team", pointer="/slug")
    if session.scalars(select(Team.id).where(Team.slug == slug)).first():
        raise AlreadyExists(f"team {slug} exists already", errors=[("/slug", "taken")])
    team = Team(slug=slug, name=names.text(name, what="the name", pointer="/name", least=1, most=128))
    session.add(team)
    audit.record(session, audit.Action.TEAM_ADDED, actor=actor, subject=team, slug=slug)
    return team


def get_team(session: Session, slug: str) -> Team:
    """The team of this slug.

    :raises NotFound: no such team.
    """
    team = session.scalars(select(Team).where(Team.slug == slug)).one_or_none()
    if team is None:
        raise NotFound(f"there is no team {slug}", hint="An administrator can add teams.")
    return team


def add_member(session: Session, team: Team, person: Person, *, actor: Actor) -> None:
    """Put a person into a team; once is enough."""
    access.require(actor, Permission.ADMINISTER)
    if session.get(TeamMember, (team.id, person.id)) is None:
        session.add(TeamMember(team_id=team.id, person_id=person.id))
        audit.record(
            session, audit.Action.MEMBER_ADDED, actor=actor, subject=team, also=[person], username=person.username
        )


def remove_member(session: Session, team: Team, person: Person, *, actor: Actor) -> None:
    """Take a person out of a team."""
    access.require(actor, Permission.ADMINISTER)
    if member := session.get(TeamMember, (team.id, person.id)):
        session.delete(member)
        audit.record(
            session, audit.Action.MEMBER_REMOVED, actor=actor, subject=team, also=[person], username=person.username
        )


def add_service(session: Session, team: Team, *, actor: Actor, name: str) -> ServiceAccount:
    """A pipeline's identity, owned by one of the actor's teams."""
    access.require(actor, Permission.PUSH, team_id=team.id)
    if actor.via_token:
        access.require(actor, Permission.ADMINISTER)  # refuses: identities are made by people
    names.slug(name, what="service account")
    if session.scalars(select(ServiceAccount.id).filter_by(team_id=team.id, name=name)).first():
        raise AlreadyExists(f"{team.slug} has a service account {name} already", errors=[("/name", "taken")])
    service = ServiceAccount(team_id=team.id, name=name, active=True, created_by=actor.ref)
    session.add(service)
    audit.record(session, audit.Action.SERVICE_ADDED, actor=actor, subject=service, also=[team], name=name)
    return service


# ---------------------------------------------------------------------------------------------------------- roles


def grant_role(session: Session, person: Person, role: Role, *, actor: Actor) -> RoleGrant:
    """Give a role, or propose it where a second administrator must confirm.

    Until the installation has a second administrator, such a grant is made alone, marked ``bootstrap`` and logged so.
    """
    access.require(actor, Permission.ADMINISTER)
    grant = session.scalars(select(RoleGrant).filter_by(person_id=person.id, role=role)).one_or_none()
    if grant is not None:
        return grant
    alone = _bootstrapping(session, actor)
    two_people = role in TWO_PERSON_ROLES
    if two_people and person.id == actor.person_id and not alone:
        raise SelfApproval("you cannot give yourself a deciding role", hint="Ask another administrator.")
    grant = RoleGrant(
        person_id=person.id,
        role=role,
        proposed_by=actor.ref,
        confirmed_by=None if two_people else actor.ref,
        bootstrap=two_people and alone,
    )
    session.add(grant)
    action = audit.Action.ROLE_GRANTED if grant.in_force else audit.Action.ROLE_PROPOSED
    audit.record(session, action, actor=actor, subject=person, role=role.value, bootstrap=grant.bootstrap)
    if grant.bootstrap and role is Role.ADMINISTRATOR:
        audit.record(session, audit.Action.BOOTSTRAP_ENDED, actor=actor, subject=person)
    return grant


def _bootstrapping(session: Session, actor: Actor) -> bool:
    """Whether ``actor`` is the first administrator and there has never been another; that ends for good."""
    ended = select(AuditEntry.seq).where(AuditEntry.action == audit.Action.BOOTSTRAP_ENDED).limit(1)
    return _administrators(session) <= {actor.person_id} and session.scalar(ended) is None


def confirm_role(session: Session, grant: RoleGrant, *, actor: Actor) -> None:
    """Second administrator's signature under a proposed role."""
    access.require(actor, Permission.ADMINISTER)
    if grant.in_force:
        raise Conflict(f"{grant.role} is in force already")
    if actor.ref == grant.proposed_by or actor.person_id == grant.person_id:
        raise SelfApproval(
            "a role needs two different administrators, neither of them its holder", hint="Ask another one."
        )
    grant.confirmed_by = actor.ref
    person = load_person(session, person_id=grant.person_id)
    audit.record(
        session, audit.Action.ROLE_GRANTED, actor=actor, subject=person, role=grant.role.value, bootstrap=False
    )


def revoke_role(session: Session, grant: RoleGrant, *, actor: Actor) -> None:
    """Take a role away; one administrator may. The last administrator's stays."""
    access.require(actor, Permission.ADMINISTER)
    if grant.role is Role.ADMINISTRATOR and grant.in_force and _administrators(session) <= {grant.person_id}:
        raise Blocked("this is the last administrator", hint="Make another administrator first.")
    person = load_person(session, person_id=grant.person_id)
    session.delete(grant)
    audit.record(session, audit.Action.ROLE_REVOKED, actor=actor, subject=person, role=grant.role.value)


def _administrators(session: Session) -> set[UUID | None]:
    """Who administers, locked: two who remove each other at once must not both find the other there."""
    grants = session.scalars(
        select(RoleGrant)
        .join(Person, Person.id == RoleGrant.person_id)
        .where(RoleGrant.role == Role.ADMINISTRATOR, Person.active)
        .order_by(RoleGrant.id)
        .with_for_update()
    )
    return {grant.person_id for grant in grants if grant.in_force}


def people_with(session: Session, roles: Sequence[Role]) -> list[Person]:
    """Active people who hold any of these roles in force, with their roles loaded."""
    query = (
        select(Person)
        .join(RoleGrant, RoleGrant.person_id == Person.id)
        .where(Person.active, RoleGrant.role.in_(roles), (RoleGrant.confirmed_by.is_not(None)) | RoleGrant.bootstrap)
        .options(selectinload(Person.roles))
        .order_by(Person.username)
    )
    return list(session.scalars(query).unique())


def display_names(session: Session, refs: set[str]) -> dict[str, str]:
    """Readable names of actor refs. Names never change, so each is asked for once per process, in two queries."""
    known = {ref: name for ref in refs if (name := _KNOWN_NAMES.get(ref))}  # another thread may be emptying it
    unknown = refs - known.keys()
    ids = {
        kind: [UUID(ref.partition(":")[2]) for ref in unknown if ref.startswith(kind + ":")]
        for kind in ("person", "service")
    }
    if ids["person"]:
        for person_id, name in session.execute(_NAMES_OF_PEOPLE, {"ids": ids["person"]}):
            known[f"person:{person_id.hex}"] = name
    if ids["service"]:
        for service_id, team, name in session.execute(_NAMES_OF_SERVICES, {"ids": ids["service"]}):
            known[f"service:{service_id.hex}"] = f"{team}/{name}"
    if len(_KNOWN_NAMES) + len(unknown) > MOST_KNOWN_NAMES:
        _KNOWN_NAMES.clear()
    _KNOWN_NAMES.update(known)
    return known | {access.SYSTEM.ref: access.SYSTEM.name}


MOST_KNOWN_NAMES = 20_000
"""Names a process keeps; then it begins again."""
_KNOWN_NAMES: dict[str, str] = {}
# Made once: nearly every answer asks for names, and making the statements costs as much as running them.
_NAMES_OF_PEOPLE = select(Person.id, Person.username).where(Person.id.in_(bindparam("ids", expanding=True)))
_NAMES_OF_SERVICES = (
    select(ServiceAccount.id, Team.slug, ServiceAccount.name)
    .join(Team, Team.id == ServiceAccount.team_id)
    .where(ServiceAccount.id.in_(bindparam("ids", expanding=True)))
)
