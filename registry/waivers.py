"""Waivers: compliance lets an advisory stand for a while, with somebody who answers for it, a reason and an end."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session, joinedload

from registry import access, accounts, audit, clock, names
from registry.access import Actor, Permission
from registry.errors import Conflict, Invalid, NotFound
from registry.locking import lock
from registry.orm.advisory import Advisory, Waiver

MOST_DAYS = 365


def waive(session: Session, advisory: Advisory, *, actor: Actor, owner: str, reason: str, days: int) -> Waiver:
    """Let an advisory stand: it blocks nothing, and nothing is called vulnerable for it, until the waiver ends.

    :param owner: user name of the person who sees to it that it is mended in time.
    :param days: from now, at most a year.
    :raises Conflict: a waiver of it is in force already.
    """
    access.require(actor, Permission.WAIVE)
    lock(session, advisory)
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(f"{days} days", hint=f"1 to {MOST_DAYS}.", errors=[("/days", f"1-{MOST_DAYS}")])
    reason = names.text(reason, what="the reason", pointer="/reason", least=3, most=4000)
    try:
        person = accounts.load_person(session, username=owner)
    except NotFound:
        person = None
    if person is None or not person.active:
        raise Invalid(
            f"nobody active is called {owner}", hint="Name a person who signs in here.", errors=[("/owner", "unknown")]
        )
    if advisory.id in covering(session, [advisory]):
        raise Conflict(f"{advisory.id} is waived already", hint="End that waiver first.")
    now = clock.now()
    waiver = Waiver(
        advisory=advisory.id,
        owner_id=person.id,
        reason=reason,
        created_by=actor.ref,
        created_at=now,
        expires_at=now + timedelta(days=days),
        owner=person,
    )
    session.add(waiver)
    audit.record(
        session, audit.Action.ADVISORY_WAIVED, actor=actor, subject=waiver, advisory=advisory.id,
        owner=person.audit_ref(), reason=reason, until=clock.rfc3339(waiver.expires_at),
    )  # fmt: skip
    session.flush()
    return waiver


def end(session: Session, waiver_id: UUID, *, actor: Actor) -> Waiver:
    """End a waiver before its time.

    :raises NotFound: no such waiver.
    :raises Conflict: it is over.
    """
    access.require(actor, Permission.WAIVE)
    waiver = session.get(Waiver, waiver_id)
    if waiver is None:
        raise NotFound("there is no such waiver")
    lock(session, waiver)
    if waiver.ended_at is not None or waiver.expires_at <= clock.now():
        raise Conflict(f"the waiver of {waiver.advisory} is over", hint="There is nothing to end.")
    waiver.ended_at, waiver.ended_by = clock.now(), actor.ref
    audit.record(session, audit.Action.WAIVER_ENDED, actor=actor, subject=waiver, advisory=waiver.advisory)
    return waiver


def covering(session: Session, advisories: Iterable[Advisory]) -> Mapping[str, Waiver]:
    """The waiver in force of each of these advisories that has one, by advisory; an alias counts like the id."""
    named = {name: advisory.id for advisory in advisories for name in (advisory.id, *advisory.aliases)}
    if not named:
        return {}
    query = select(Waiver).where(in_force()).options(joinedload(Waiver.owner)).order_by(Waiver.id)
    return {named[waiver.advisory]: waiver for waiver in session.scalars(query) if waiver.advisory in named}


def in_force() -> ColumnElement[bool]:
    """Of waivers: neither over nor ended."""
    return and_(Waiver.ended_at.is_(None), Waiver.expires_at > clock.now())


def history(session: Session, advisory: Advisory) -> Sequence[Waiver]:
    """Every waiver an advisory had, newest first."""
    query = (
        select(Waiver).where(Waiver.advisory.in_([advisory.id, *advisory.aliases])).options(joinedload(Waiver.owner))
    )
    return session.scalars(query.order_by(Waiver.id.desc()).limit(100)).all()
