"""Signing: the last needed signature, the stage move, the audit entries and the builds are one transaction."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from formats import canonical
from registry import access, accounts, approvals, audit, bundles, clock, judging, names, policies, versions, wording
from registry.access import SYSTEM, Actor, Permission
from registry.errors import Blocked, Conflict, Forbidden, SelfApproval, StaleReview
from registry.locking import lock
from registry.orm.account import Person
from registry.orm.approval import Decision, Outcome, ReleaseRequest, RequestState
from registry.orm.catalog import Stage

MEANINGS = {
    Outcome.APPROVE: "approved",
    Outcome.REQUEST_CHANGES: "requested changes",
    Outcome.REJECT: "rejected",
}


def statement(request: ReleaseRequest, *, person: Person, outcome: Outcome) -> str:
    """The sentence a person signs, exactly as the page shows it."""
    version = request.version
    act = {
        Outcome.APPROVE: f"approve it for {wording.join(request.uses)} in {wording.join(request.environments)}",
        Outcome.REQUEST_CHANGES: "ask for changes before it can be released",
        Outcome.REJECT: "reject it",
    }[outcome]
    validity = f" for {request.policy.body['validity_days']} days" if outcome is Outcome.APPROVE else ""
    return (
        f"I, {person.name} ({person.username}), have reviewed version {version.number} of {version.model.full_name} and "
        f"{act}{validity}. Contents {request.release_digest}, dossier {request.dossier_digest}, "
        f"policy {request.policy.name} revision {request.policy.revision}."
    )


def decide(
    session: Session,
    request: ReleaseRequest,
    *,
    actor: Actor,
    decision_id: UUID,
    outcome: Outcome,
    reason: str,
    seen_release: str,
    seen_dossier: str,
    method: str,
) -> Decision:
    """Sign. The caller has re-authenticated the person; ``method`` says how.

    :param decision_id: given to the form when it was opened; it works once.
    :param seen_release: release digest on the page the person read.
    :param seen_dossier: dossier digest on that page.
    :raises StaleReview: either is no longer current.
    :raises SelfApproval: the person made, uploaded or submitted the version, or has signed already.
    """
    access.require(actor, Permission.DECIDE)
    approvals.lock_open(session, request)
    person, actor = signer(session, actor)
    if (seen_release, seen_dossier) != (request.release_digest, request.dossier_digest):
        raise StaleReview(
            "what you reviewed is no longer what would be released",
            hint="Read what changed, then decide again; nothing was signed.",
        )
    if refusal := judging.why_not(session, request, actor=actor):
        raise SelfApproval(f"you cannot decide: {refusal}", hint="Ask another reviewer.")
    if session.get(Decision, decision_id) is not None:
        raise Conflict("this decision is recorded already", hint="Reload the page.")
    if outcome is Outcome.APPROVE:
        _require_answers(judging.facts(session, request, ()))
    reason = names.text(reason, what="the reason", pointer="/reason", least=3, most=4000)
    now = clock.now()
    signed = _statement_document(
        request, person, outcome, decision_id=decision_id, at=clock.rfc3339(now), method=method
    )
    decision = Decision(
        id=decision_id,
        request_id=request.id,
        person_id=person.id,
        outcome=outcome,
        reason=reason,
        statement=signed,
        roles=sorted(role.value for role in actor.roles & access.ROLES[Permission.DECIDE]),
        statement_digest=canonical.digest(signed),
        release_digest=request.release_digest,
        dossier_digest=request.dossier_digest,
        method=method,
        decided_at=now,
        person=person,
    )
    session.add(decision)
    session.flush()
    audit.record(
        session,
        audit.Action.DECIDED,
        actor=actor,
        subject=request,
        digest=decision.statement_digest,
        outcome=outcome.value,
        statement=signed,
        reason=reason,
    )
    _conclude(session, request, decision, actor=actor)
    return decision


def signer(session: Session, actor: Actor) -> tuple[Person, Actor]:
    """Who is about to sign, with the roles of this moment.

    :raises Forbidden: they decide no longer, or their account is disabled.
    """
    person = accounts.load_person(session, person_id=actor.person_id)
    actor = accounts.actor_for(person, second_factor=actor.second_factor)
    access.require(actor, Permission.DECIDE)
    if not person.active:
        raise Forbidden("this account is disabled", hint="Ask an administrator.")
    return person, actor


def _require_answers(facts: policies.Facts) -> None:
    if facts.wheels is not None and facts.wheels.blocking:
        raise Blocked(
            f"{', '.join(sorted({item.id for item in facts.wheels.blocking}))} stands against it",
            hint="Compliance can waive it under Advisories; until then you can ask for changes or reject.",
        )
    if facts.unanswered:
        raise Blocked(
            f"not answered yet: {', '.join(notice.title.lower() for notice in facts.unanswered)}",
            hint="The requester's side answers on this page; until then you can ask for changes or reject.",
        )


def _conclude(session: Session, request: ReleaseRequest, decision: Decision, *, actor: Actor) -> None:
    version = request.version
    if decision.outcome is Outcome.REJECT:
        approvals.close(session, request, RequestState.REJECTED)
        versions.move(version, Stage.REJECTED)
        audit.record(
            session,
            audit.Action.VERSION_REJECTED,
            actor=actor,
            subject=version,
            also=[request],
            digest=request.release_digest,
        )
    elif decision.outcome is Outcome.REQUEST_CHANGES:
        approvals.close(session, request, RequestState.CHANGES_REQUESTED)
        versions.move(version, Stage.READY)
        approvals.void(session, request, actor=actor, reason="changes were requested")
        audit.record(session, audit.Action.CHANGES_REQUESTED, actor=actor, subject=request, also=[version])
    else:
        standing = session.scalars(
            select(Decision).where(Decision.request_id == request.id).options(joinedload(Decision.person))
        ).all()
        if policies.passed(policies.evaluate(request.policy.body, judging.facts(session, request, standing))):
            _approve(session, request)


def _approve(session: Session, request: ReleaseRequest) -> None:
    """The last needed signature: stage, pointers, audit and build requests in the caller's one transaction."""
    version, model = request.version, request.version.model
    lock(session, model)  # another version of it may be approved at this moment
    approvals.close(session, request, RequestState.APPROVED)
    versions.move(version, Stage.APPROVED)
    version.approved_until = clock.now() + timedelta(days=int(request.policy.body["validity_days"]))
    model.latest_approved = max(version.number, model.latest_approved or 0)
    model.updated_at = clock.now()
    audit.record(
        session,
        audit.Action.VERSION_APPROVED,
        actor=SYSTEM,
        subject=version,
        also=[request, model],
        digest=request.release_digest,
        uses=request.uses,
        environments=request.environments,
        until=clock.rfc3339(version.approved_until),
    )
    session.flush()
    bundles.after_approval(session, version)


def _statement_document(
    request: ReleaseRequest, person: Person, outcome: Outcome, *, decision_id: UUID, at: str, method: str
) -> dict[str, Any]:
    return {
        "schema": "countersign.decision/1",
        "id": str(decision_id),
        "nonce": decision_id.hex,
        "ref": f"{request.version.model.full_name}:{request.version.number}",
        "release_digest": request.release_digest,
        "dossier_digest": request.dossier_digest,
        "uses": list(request.uses),
        "environments": list(request.environments),
        "meaning": MEANINGS[outcome],
        "outcome": outcome.value,
        "person": person.audit_ref(),
        "printed_name": person.name,
        "at": at,
        "policy": {"name": request.policy.name, "revision": request.policy.revision, "digest": request.policy.digest},
        "method": method,
        "statement": statement(request, person=person, outcome=outcome),
    }
