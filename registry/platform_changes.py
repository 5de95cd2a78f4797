"""Platform changes: proposed with a fixed list of images, signed by two different people, then in force for every bake.

The decisions of the versions stay: the wave (registry/waves.py) puts a new image in front only where the answers are equal.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from formats import canonical
from formats import platforms as documents
from formats.lock import Target
from formats.manifest import HOST_BASE
from registry import (
    access,
    accounts,
    audit,
    clock,
    decisions,
    judging,
    names,
    paging,
    platforms,
    policies,
    schemas,
    waves,
)
from registry.access import Actor, Permission
from registry.errors import Blocked, Conflict, Invalid, NotFound, SelfApproval, StaleReview, WrongStage
from registry.locking import lock
from registry.orm.account import Person
from registry.orm.approval import Outcome
from registry.orm.image import Bundle, Image
from registry.orm.platform import ChangeState, Platform, PlatformChange, PlatformDecision, PlatformMove

OUTCOMES = (Outcome.APPROVE, Outcome.REJECT)
OPEN = (ChangeState.PROPOSED, ChangeState.RUNNING, ChangeState.PAUSED)
_PARTS = (
    joinedload(PlatformChange.platform),
    joinedload(PlatformChange.replaces),
    selectinload(PlatformChange.decisions).joinedload(PlatformDecision.person),
)


def propose(session: Session, *, actor: Actor, digest: str, reason: str) -> PlatformChange:
    """Ask for a platform to come into force, for new bakes and for the images that are in front now.

    The platform in force may be proposed again: for the images that were baked or left behind since.

    :param digest: of a platform that a worker offered.
    :raises Blocked: another change of the same line is open, nothing would change, or nobody could sign.
    """
    access.require(actor, Permission.CHANGE_PLATFORM)
    wanted = platforms.get(session, digest, actor=actor)
    current = platforms.in_force(session, wanted.line)
    if current is None:
        raise Blocked(
            "no platform is in force yet that this one could replace",
            hint="The first bake lays the one of its worker; bake first.",
        )
    lock(session, current)  # of two who propose at once, the second finds the first one's
    if (pending := _open_of(session, wanted.line)) is not None:
        raise Blocked(f"another platform change is {pending.state}", hint="End it first: sign, refuse or withdraw it.")
    images = affected(session, wanted)
    if wanted is current and not images:
        raise Blocked(
            "this platform is in force, and every image in front stands on it", hint="There is nothing to do."
        )
    listed = canonical.digest(sorted(found for _, found in images))
    change = PlatformChange(
        platform_id=wanted.id,
        replaces_id=current.id,
        line=wanted.line,
        state=ChangeState.PROPOSED,
        reason=names.text(reason, what="the reason", pointer="/reason", least=3, most=4000),
        images=len(images),
        images_digest=listed,
        digest=canonical.digest({"platform": wanted.digest, "replaces": current.digest, "images": listed}),
        proposed_by=actor.ref,
        created_at=clock.now(),
        platform=wanted,
        replaces=current,
    )
    session.add(change)
    session.flush()
    session.add_all(PlatformMove(change_id=change.id, image_id=image_id) for image_id, _ in images)
    set_committed_value(change, "decisions", [])
    if stopped := [gate for gate in gates_of(session, change) if gate.state == "stop"]:
        raise Blocked(f"{stopped[0].title}: {stopped[0].why}", hint="Nothing was proposed.")
    audit.record(
        session, audit.Action.PLATFORM_CHANGE_PROPOSED, actor=actor, subject=change, also=[wanted],
        digest=change.digest, platform=wanted.digest, replaces=current.digest, images=len(images), reason=change.reason,
    )  # fmt: skip
    return change


def affected(session: Session, platform: Platform) -> list[tuple[UUID, str]]:
    """Id and digest of the images in front, of the platform's line, that do not stand on it; by bundle name."""
    query = select(Image.id, Image.digest, Image.target, Image.base).join(Bundle, Bundle.current_image_id == Image.id)
    query = query.where(Image.platform.is_distinct_from(platform.digest)).order_by(Bundle.full_name)
    # JSON has no equality that both databases know.
    return [
        (row.id, row.digest)
        for row in session.execute(query)
        if documents.line(Target.from_dict(row.target), host=row.base == HOST_BASE) == platform.line
    ]


def _open_of(session: Session, line: str) -> PlatformChange | None:
    query = select(PlatformChange).where(PlatformChange.line == line, PlatformChange.state.in_(OPEN))
    return session.scalars(query).first()


def withdraw(session: Session, change: PlatformChange, *, actor: Actor) -> None:
    """Take a proposal back before it is decided."""
    access.require(actor, Permission.CHANGE_PLATFORM)
    _lock_proposed(session, change)
    change.state, change.closed_at = ChangeState.WITHDRAWN, clock.now()
    audit.record(session, audit.Action.PLATFORM_CHANGE_WITHDRAWN, actor=actor, subject=change, digest=change.digest)


# -------------------------------------------------------------------------------------------------------- finding


def get(session: Session, change_id: UUID, *, actor: Actor) -> PlatformChange:
    """A change with both platforms and its decisions.

    :raises NotFound: there is none.
    """
    access.require(actor, Permission.READ)
    change = session.scalars(
        select(PlatformChange).where(PlatformChange.id == change_id).options(*_PARTS)
    ).one_or_none()
    if change is None:
        raise NotFound("there is no such platform change", hint="Open the list of platform changes.")
    return change


def listing(session: Session, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[PlatformChange]:
    """Changes, newest first."""
    access.require(actor, Permission.READ)
    return paging.fetch(session, select(PlatformChange).options(*_PARTS), (PlatformChange.id,), cursor)


def to_sign(session: Session, *, actor: Actor, most: int) -> Sequence[PlatformChange]:
    """Proposed changes that this person could still sign, longest waiting first."""
    signed = select(PlatformDecision.change_id).where(PlatformDecision.person_id == actor.person_id)
    query = select(PlatformChange).where(
        PlatformChange.state == ChangeState.PROPOSED,
        PlatformChange.proposed_by != actor.ref,
        PlatformChange.id.not_in(signed),
    )
    return session.scalars(query.order_by(PlatformChange.id).limit(most)).all()


# ------------------------------------------------------------------------------------------------------- deciding


def gates_of(session: Session, change: PlatformChange) -> list[policies.Gate]:
    """Who has signed, and who still must."""
    deciding = sorted(policies.deciding_roles(policies.PLATFORM))
    facts = policies.Facts(
        reports={},
        steps=(),
        signed=_signed(change),
        candidates=[
            policies.Signer(
                person.id, person.username, frozenset(grant.role for grant in person.roles if grant.in_force)
            )
            for person in accounts.people_with(session, deciding)
        ],
        barred=_barred(change),
    )
    return policies.evaluate(policies.PLATFORM, facts)


def _signed(change: PlatformChange) -> list[policies.Signer]:
    return [
        policies.Signer(item.person_id, item.person.username, judging.roles_of(item.roles))
        for item in change.decisions
        if item.outcome is Outcome.APPROVE
    ]


def _barred(change: PlatformChange) -> dict[UUID, str]:
    """Only people may propose, so its reference is always a person's."""
    return {UUID(change.proposed_by.removeprefix("person:")): "proposed it"}


def why_not(change: PlatformChange, *, actor: Actor) -> str | None:
    """In words why this actor may not decide now, or ``None`` when they may."""
    if change.state is not ChangeState.PROPOSED:
        return f"this change is {change.state}."
    if actor.via_token or actor.person_id is None:
        return "a token never decides; sign in as yourself."
    reason = policies.bar(
        policies.Signer(actor.person_id, actor.name, actor.roles),
        barred=_barred(change),
        signed=_signed(change),
        deciding=policies.deciding_roles(policies.PLATFORM),
    )
    return reason or (None if actor.second_factor else "you signed in without a second factor.")


def statement(change: PlatformChange, *, person: Person, outcome: Outcome) -> str:
    """The sentence a person signs, exactly as the page shows it."""
    act = {Outcome.APPROVE: "approve", Outcome.REJECT: "refuse"}[outcome]
    listed = "1 image" if change.images == 1 else f"{change.images} images"
    stay = (
        " A version whose answers stay equal keeps its decision; where they do not, the image in front stays."
        if outcome is Outcome.APPROVE
        else ""
    )
    return (
        f"I, {person.name} ({person.username}), have read this platform change and {act} it: {change.platform.digest} "
        f"in the place of {change.replaces.digest}, for {listed}, list {change.images_digest}.{stay}"
    )


def decide(
    session: Session,
    change: PlatformChange,
    *,
    actor: Actor,
    decision_id: UUID,
    outcome: Outcome,
    reason: str,
    seen: str,
    method: str,
) -> PlatformDecision:
    """Sign or refuse. The caller has re-authenticated the person; ``method`` says how. The last needed signature begins the wave.

    :param decision_id: given to the form when it was opened; it works once.
    :param seen: digest of the change on the page the person read.
    :raises StaleReview: it is another one.
    :raises SelfApproval: the person proposed it, or has signed already.
    """
    access.require(actor, Permission.DECIDE)
    if outcome not in OUTCOMES:
        raise Invalid("a platform change is approved or refused", errors=[("/outcome", "approve or reject")])
    _lock_proposed(session, change)
    person, actor = decisions.signer(session, actor)
    if seen != change.digest:
        raise StaleReview("you read another platform change", hint="Read this one, then decide; nothing was signed.")
    if refusal := why_not(change, actor=actor):
        raise SelfApproval(f"you cannot decide: {refusal}", hint="Ask another reviewer.")
    if session.get(PlatformDecision, decision_id) is not None:
        raise Conflict("this decision is recorded already", hint="Reload the page.")
    now = clock.now()
    signed = _document(change, person, outcome, decision_id=decision_id, at=clock.rfc3339(now), method=method)
    decision = PlatformDecision(
        id=decision_id,
        change_id=change.id,
        person_id=person.id,
        outcome=outcome,
        roles=sorted(role.value for role in actor.roles & access.ROLES[Permission.DECIDE]),
        reason=names.text(reason, what="the reason", pointer="/reason", least=3, most=4000),
        statement=signed,
        statement_digest=canonical.digest(signed),
        method=method,
        decided_at=now,
        person=person,
    )
    session.add(decision)
    session.flush()
    set_committed_value(change, "decisions", [*change.decisions, decision])
    audit.record(
        session, audit.Action.PLATFORM_CHANGE_DECIDED, actor=actor, subject=change, digest=decision.statement_digest,
        outcome=outcome.value, statement=signed, reason=decision.reason,
    )  # fmt: skip
    if outcome is Outcome.REJECT:
        change.state, change.closed_at = ChangeState.REFUSED, now
        audit.record(session, audit.Action.PLATFORM_CHANGE_REFUSED, actor=actor, subject=change, digest=change.digest)
    elif policies.passed(gates_of(session, change)):
        _approve(session, change)
    return decision


def _approve(session: Session, change: PlatformChange) -> None:
    """The last needed signature: the platform in force and the first jobs of the wave in the caller's one transaction."""
    lock(session, change.platform)
    change.platform.in_force_at = clock.now()
    audit.record(
        session, audit.Action.PLATFORM_CHANGE_APPROVED, actor=access.SYSTEM, subject=change, also=[change.platform],
        digest=change.digest, platform=change.platform.digest, replaces=change.replaces.digest, images=change.images,
    )  # fmt: skip
    waves.begin(session, change)


def _lock_proposed(session: Session, change: PlatformChange) -> None:
    """Two people may press at once: the second waits here and then sees what the first did.

    :raises WrongStage: it was decided or withdrawn meanwhile.
    """
    lock(session, change)
    query = select(PlatformDecision).where(PlatformDecision.change_id == change.id)
    query = query.options(joinedload(PlatformDecision.person)).order_by(PlatformDecision.decided_at)
    set_committed_value(change, "decisions", list(session.scalars(query)))
    if change.state is not ChangeState.PROPOSED:
        raise WrongStage(f"this platform change is {change.state}", hint="Reload the page to see how it stands.")


def _document(
    change: PlatformChange, person: Person, outcome: Outcome, *, decision_id: UUID, at: str, method: str
) -> dict[str, Any]:
    document = {
        "schema": "countersign.platform-decision/1",
        "id": str(decision_id),
        "nonce": decision_id.hex,
        "change": str(change.id),
        "platform": change.platform.digest,
        "replaces": change.replaces.digest,
        "images": change.images,
        "images_digest": change.images_digest,
        "outcome": outcome.value,
        "person": person.audit_ref(),
        "printed_name": person.name,
        "at": at,
        "method": method,
        "statement": statement(change, person=person, outcome=outcome),
    }
    schemas.check("platform-decision", document, what="the statement")
    return document
