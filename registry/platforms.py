"""Platforms: what workers can bake on, which one is in force for a target, and how two of them differ.

The first one of a **line** (a target, in containers or as processes of the host) is laid by the first bake; from then on only a platform change puts another into force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from formats import platforms
from registry import access, audit, clock, schemas
from registry.access import SYSTEM, Actor, Permission
from registry.errors import NotFound
from registry.orm.platform import Platform

SHOWN = 50


@dataclass(frozen=True)
class Difference:
    """One part that another platform has otherwise; empty where it has it not at all."""

    part: str
    """``base``, ``wheel`` or ``code``."""
    name: str
    before: str
    after: str


def offer(session: Session, found: platforms.Platform, *, wheels: Mapping[str, str], worker: str) -> Platform:
    """A worker says what it could bake on; it is in force only once two people have signed that."""
    known = session.scalars(select(Platform).where(Platform.digest == found.digest)).one_or_none()
    if known is not None:
        return known
    row = _row(found, wheels, worker)
    session.add(row)
    audit.record(session, audit.Action.PLATFORM_OFFERED, actor=SYSTEM, subject=row, digest=row.digest, worker=worker)
    return row


def lay_first(session: Session, found: platforms.Platform, *, wheels: Mapping[str, str], worker: str) -> Platform:
    """Put the platform of a line's first bake into force: there is none yet that two people could change.

    Of two first bakes at once on different platforms one fails at the unique ``first_of``, and is tried again on the other's.
    """
    row = offer(session, found, wheels=wheels, worker=worker)
    if in_force(session, found.line) is None:
        row.in_force_at, row.first_of = clock.now(), row.line
        audit.record(session, audit.Action.PLATFORM_LAID, actor=SYSTEM, subject=row, digest=row.digest, worker=worker)
        session.flush()
    return row


def _row(found: platforms.Platform, wheels: Mapping[str, str], worker: str) -> Platform:
    body = found.to_dict()
    schemas.check("platform", body, what="the platform")
    return Platform(
        digest=found.digest,
        line=found.line,
        body=body,
        wheels=dict(sorted(wheels.items())),
        worker=worker,
        created_at=clock.now(),
    )


def in_force(session: Session, line: str) -> Platform | None:
    """What bakes of this line use; ``None`` before the first one."""
    query = select(Platform).where(Platform.line == line, Platform.in_force_at.is_not(None))
    return session.scalars(query.order_by(Platform.in_force_at.desc()).limit(1)).first()


def get(session: Session, digest: str, *, actor: Actor) -> Platform:
    """A platform by digest.

    :raises NotFound: no worker ever offered it.
    """
    access.require(actor, Permission.READ)
    row = session.scalars(select(Platform).where(Platform.digest == digest)).one_or_none()
    if row is None:
        raise NotFound(
            f"no worker offered a platform {digest}", hint="On a worker that has it: python -m builders offer."
        )
    return row


def listing(session: Session, *, actor: Actor) -> Sequence[tuple[Platform, bool]]:
    """The platforms that were offered last, newest first, each with whether it is in force."""
    access.require(actor, Permission.READ)
    rows = session.scalars(select(Platform).order_by(Platform.id.desc()).limit(SHOWN)).all()
    front = {line: in_force(session, line) for line in {row.line for row in rows}}
    return [(row, front[row.line] is row) for row in rows]


def differences(before: Platform, after: Platform) -> list[Difference]:
    """Base, wheels of the serving runtime, modules of the serving code: in this order, by name."""
    found = []
    if before.body["base"] != after.body["base"]:
        found.append(Difference("base", "base image", before.body["base"], after.body["base"]))
    found += _differing("wheel", before.wheels, after.wheels)
    if before.wheels == after.wheels and before.body["runtime"] != after.body["runtime"]:
        # The same versions in other files, e.g. wheels that were built anew with a patch.
        found.append(Difference("wheel", "files of the same versions", before.body["runtime"], after.body["runtime"]))
    return found + _differing("code", _code(before), _code(after))


def _code(platform: Platform) -> dict[str, str]:
    return {file["path"]: file["sha256"] for file in platform.body["app"]}


def _differing(part: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(part, name, before.get(name, ""), after.get(name, ""))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
