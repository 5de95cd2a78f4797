"""Release requests and decisions: the last needed signature, the stage move, the audit entries and the builds are one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from formats import canonical
from formats.card import NOT_STATED
from registry import (
    access,
    accounts,
    advisories,
    audit,
    bundles,
    catalog,
    clock,
    judging,
    names,
    paging,
    policies,
    versions,
)
from registry.access import SYSTEM, Actor, Permission
from registry.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, SelfApproval, StaleReview, WrongStage
from registry.locking import lock
from registry.orm.account import Person
from registry.orm.approval import Decision, DossierEntry, Outcome, PolicyRevision, ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, RegisteredModel, Stage

MEANINGS = {
    Outcome.APPROVE: "approved",
    Outcome.REQUEST_CHANGES: "requested changes",
    Outcome.REJECT: "rejected",
}
BINDING_KINDS = frozenset({"evidence", "validation", "finding", "condition", "answer"})
"""Dossier entries that void standing decisions; a comment does not."""


@dataclass(frozen=True)
class Terms:
    """What the requester asks to be approved for."""

    uses: Sequence[str]
    environments: Sequence[str]
    prohibited_uses: Sequence[str] = ()
    limits: Sequence[str] = ()


# --------------------------------------------------------------------------------------------------------- policy


def current_policy(session: Session) -> PolicyRevision:
    """The policy revision in force; an installation starts with the standard one."""
    policy = session.scalars(select(PolicyRevision).order_by(PolicyRevision.revision.desc()).limit(1)).first()
    if policy is None:
        raise Blocked(
            "this installation has no policy",
            hint="Run `flask --app wsgi registry db upgrade`: it lays the standard one.",
        )
    return policy


def lay_standard_policy(session: Session) -> None:
    """Store the standard policy when there is none yet; called at start-up."""
    if session.scalars(select(PolicyRevision.id).limit(1)).first() is None:
        body = policies.STANDARD
        policy = PolicyRevision(
            name=body["name"], revision=body["revision"], body=body, digest=policies.digest(body), created_by=SYSTEM.ref
        )
        session.add(policy)
        audit.record(
            session, audit.Action.POLICY_REVISED, actor=SYSTEM, subject=policy, digest=policy.digest, name=policy.name
        )


# --------------------------------------------------------------------------------------------------------- asking


def submit(session: Session, version: ModelVersion, *, actor: Actor, note: str, terms: Terms) -> ReleaseRequest:
    """Ask for release: the version freezes and a request with its dossier opens.

    :raises WrongStage: the checks have not passed, or it is in review already.
    :raises Blocked: nobody could ever decide; which role is missing is said.
    """
    access.require(actor, Permission.SUBMIT, team_id=version.model.team_id)
    lock(session, version)
    if version.stage is not Stage.READY:
        stage = version.stage.replace("_", " ")
        raise WrongStage(
            f"version {version.number} of {version.model.full_name} is in the stage {stage}, only a ready one is submitted",
            hint=_next_act(version.stage),
        )
    if version.card_head.get("purpose") == NOT_STATED:
        raise Invalid(
            f"the card of version {version.number} does not say what {version.model.full_name} is for",
            hint="Push it again with a purpose: people sign for it.",
            errors=[("/card", "purpose")],
        )
    uses = _lines(terms.uses, "uses", least=1)
    environments = _lines(terms.environments, "environments", least=1)
    policy = current_policy(session)
    request = ReleaseRequest(
        version_id=version.id,
        policy_id=policy.id,
        state=RequestState.OPEN,
        release_digest=version.release_digest,
        dossier_digest="",
        requested_by=actor.ref,
        note=names.text(note, what="the note", pointer="/note", most=4000),
        uses=uses,
        environments=environments,
        prohibited_uses=_lines(terms.prohibited_uses, "prohibited_uses"),
        limits=_lines(terms.limits, "limits"),
        created_at=clock.now(),
        version=version,
        policy=policy,
    )
    session.add(request)
    session.flush()
    _append(session, request, actor=actor, kind="request", text=request.note)
    versions.move(version, Stage.IN_REVIEW)
    found = policies.evaluate(policy.body, judging.facts(session, request, []))
    if stopped := [gate for gate in found if gate.state == "stop"]:
        raise Blocked(f"{stopped[0].title}: {stopped[0].why}", hint="Nothing was submitted.")
    audit.record(
        session,
        audit.Action.VERSION_SUBMITTED,
        actor=actor,
        subject=version,
        also=[request],
        digest=request.release_digest,
        request=request.id.hex,
        uses=uses,
        environments=environments,
        note=request.note,
    )
    return request


def _lines(values: Sequence[str], name: str, *, least: int = 0) -> list[str]:
    lines = [text for text in (str(value).strip() for value in values) if text]
    for text in lines:
        names.storable(text, what=name, pointer=f"/{name}")
    if not least <= len(lines) <= 20 or any(len(text) > 300 for text in lines):
        raise Invalid(
            f"{name}: {len(lines)} given",
            hint=f"Give {least} to 20, each at most 300 characters.",
            errors=[(f"/{name}", f"{least}-20 lines")],
        )
    return lines


def _next_act(stage: Stage) -> str:
    return {
        Stage.CHECKING: "Wait for the checks to end.",
        Stage.CHECK_FAILED: "Mend what the checks found and push again.",
        Stage.IN_REVIEW: "It waits for its reviewers already.",
    }.get(stage, "Push a new version.")


def withdraw(session: Session, request: ReleaseRequest, *, actor: Actor, reason: str) -> None:
    """Take a request back: the version thaws, decisions are void, the history stays."""
    access.require(actor, Permission.SUBMIT, team_id=request.version.model.team_id)
    reason = names.text(reason, what="the reason", pointer="/reason", most=4000)
    _lock_open(session, request)
    _close(session, request, RequestState.WITHDRAWN)
    versions.move(request.version, Stage.READY)
    void(session, request, actor=actor, reason="the request was withdrawn")
    audit.record(
        session, audit.Action.VERSION_WITHDRAWN, actor=actor, subject=request.version, also=[request], reason=reason
    )


def comment(session: Session, request: ReleaseRequest, *, actor: Actor, text: str) -> DossierEntry:
    """Say something beside a request."""
    access.require(actor, Permission.COMMENT)
    if not (actor.roles & access.ROLES[Permission.DECIDE] or request.version.model.team_id in actor.teams):
        raise Forbidden("only the model's team and reviewers discuss a request", hint="Write to the model's contact.")
    _lock_open(session, request)
    text = names.text(text, what="the comment", pointer="/text", least=1, most=8000)
    entry = _append(session, request, actor=actor, kind="comment", text=text)
    audit.record(
        session, audit.Action.COMMENTED, actor=actor, subject=request, digest=request.dossier_digest, text=text
    )
    return entry


def answer(session: Session, request: ReleaseRequest, *, actor: Actor, about: str, text: str) -> DossierEntry:
    """Answer what the checks noticed; the requester's side does, and a later answer stands beside the earlier one.

    :param about: the code of a notice that must be answered.
    """
    access.require(actor, Permission.SUBMIT, team_id=request.version.model.team_id)
    _lock_open(session, request)
    wheels = advisories.of_version(session, request.version)
    wanted = [notice.code for notice in judging.to_answer(session, request, wheels)]
    if about not in wanted:
        raise Invalid(
            f"there is nothing to answer under {about!r}",
            hint=f"To be answered: {', '.join(wanted) or 'nothing'}.",
            errors=[("/about", "unknown")],
        )
    text = names.text(text, what="the answer", pointer="/text", least=3, most=8000)
    entry = _append(session, request, actor=actor, kind="answer", text=text, about=about)
    audit.record(
        session,
        audit.Action.NOTICE_ANSWERED,
        actor=actor,
        subject=request,
        digest=request.dossier_digest,
        about=about,
        text=text,
    )
    return entry


def _append(
    session: Session, request: ReleaseRequest, *, actor: Actor, kind: str, text: str, about: str | None = None
) -> DossierEntry:
    """Add to the dossier; its digest chains each entry to the one before."""
    position = session.scalar(select(func.count()).where(DossierEntry.request_id == request.id)) or 0
    body = {
        "schema": "countersign.dossier-entry/1",
        "kind": kind,
        "author": actor.ref,
        "text": text,
        "previous": request.dossier_digest or None,
        **({"about": about} if about else {}),
    }
    entry = DossierEntry(
        request_id=request.id,
        position=position,
        kind=kind,
        author=actor.ref,
        text=text,
        about=about,
        digest=canonical.digest(body),
        created_at=clock.now(),
    )
    session.add(entry)
    request.dossier_digest = entry.digest
    if kind in BINDING_KINDS:
        void(session, request, actor=actor, reason=f"new {kind} was added")
    session.flush()
    return entry


def void(session: Session, request: ReleaseRequest, *, actor: Actor, reason: str) -> None:
    """Void the standing decisions of a request; they stay on record."""
    standing = session.scalars(
        select(Decision).where(Decision.request_id == request.id, Decision.voided_at.is_(None))
    ).all()
    for decision in standing:
        decision.voided_at, decision.void_reason = clock.now(), reason
    if standing:
        audit.record(
            session, audit.Action.DECISIONS_VOIDED, actor=actor, subject=request, count=len(standing), reason=reason
        )


# -------------------------------------------------------------------------------------------------------- finding


REQUEST_PARTS = (
    joinedload(ReleaseRequest.policy),
    joinedload(ReleaseRequest.version).options(*catalog.VERSION_PARTS),
    selectinload(ReleaseRequest.decisions).joinedload(Decision.person),
    selectinload(ReleaseRequest.dossier),
)


def get_request(session: Session, request_id: UUID, *, actor: Actor) -> ReleaseRequest:
    """A request with everything a reviewer reads.

    :raises NotFound: no such request, or its model is not the actor's to see.
    """
    access.require(actor, Permission.READ)
    query = select(ReleaseRequest).where(ReleaseRequest.id == request_id).options(*REQUEST_PARTS)
    request = session.scalars(query).one_or_none()
    reviewer = bool(actor.roles & access.ROLES[Permission.DECIDE])
    if request is None or not (reviewer or catalog.may_see(request.version.model, actor=actor)):
        raise NotFound("there is no such review", hint="Open the review queue.")
    return request


def open_request_of(session: Session, version: ModelVersion) -> ReleaseRequest | None:
    """The version's newest request, open or not."""
    query = select(ReleaseRequest).where(ReleaseRequest.version_id == version.id).options(*REQUEST_PARTS)
    return session.scalars(query.order_by(ReleaseRequest.id.desc()).limit(1)).first()


def queue(
    session: Session, cursor: paging.Cursor, *, actor: Actor, done: bool = False, mine: bool = False
) -> paging.Page[ReleaseRequest]:
    """Open requests, oldest first; or ended ones, newest first.

    :param mine: only those that this person could still sign.
    """
    access.require(actor, Permission.READ)
    query = (
        select(ReleaseRequest)
        .join(ModelVersion, ModelVersion.id == ReleaseRequest.version_id)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(ReleaseRequest.state != RequestState.OPEN if done else ReleaseRequest.state == RequestState.OPEN)
        .options(
            joinedload(ReleaseRequest.policy),
            joinedload(ReleaseRequest.version).options(
                joinedload(ModelVersion.model), selectinload(ModelVersion.reports)
            ),
            selectinload(ReleaseRequest.decisions).joinedload(Decision.person),
        )
    )
    if mine:
        query = query.where(*_could_sign(actor))
    if not actor.roles & access.ROLES[Permission.DECIDE]:
        query = catalog.visible_to(query, actor)
    return paging.fetch(session, query, (ReleaseRequest.id,), cursor, descending=done)


def count_waiting(session: Session, *, actor: Actor) -> int:
    """How many open requests this person could still sign; at most 99 are counted."""
    if actor.person_id is None or not actor.roles & access.ROLES[Permission.DECIDE]:
        return 0
    query = select(ReleaseRequest.id).join(ModelVersion, ModelVersion.id == ReleaseRequest.version_id)
    query = query.where(ReleaseRequest.state == RequestState.OPEN, *_could_sign(actor))
    return len(session.scalars(query.limit(99)).all())


def _could_sign(actor: Actor) -> tuple[ColumnElement[bool], ...]:
    """Of requests joined with their versions: neither signed by this person nor their own work."""
    signed = select(Decision.request_id).where(Decision.person_id == actor.person_id, Decision.voided_at.is_(None))
    return (
        ReleaseRequest.id.not_in(signed),
        ReleaseRequest.requested_by != actor.ref,
        ModelVersion.author != actor.ref,
        ModelVersion.uploader != actor.ref,
    )


def last_approved_before(session: Session, version: ModelVersion) -> ModelVersion | None:
    """The approved version a new one is compared with: the newest with a lower number."""
    query = select(ModelVersion).where(
        ModelVersion.model_id == version.model_id,
        ModelVersion.number < version.number,
        ModelVersion.approved_until.is_not(None),
    )
    return session.scalars(query.options(*catalog.VERSION_PARTS).order_by(ModelVersion.number.desc()).limit(1)).first()


# ------------------------------------------------------------------------------------------------------- deciding


def statement(request: ReleaseRequest, *, person: Person, outcome: Outcome) -> str:
    """The sentence a person signs, exactly as the page shows it."""
    version = request.version
    act = {
        Outcome.APPROVE: f"approve it for {_join(request.uses)} in {_join(request.environments)}",
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
    _lock_open(session, request)
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
        _close(session, request, RequestState.REJECTED)
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
        _close(session, request, RequestState.CHANGES_REQUESTED)
        versions.move(version, Stage.READY)
        void(session, request, actor=actor, reason="changes were requested")
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
    _close(session, request, RequestState.APPROVED)
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


def _close(session: Session, request: ReleaseRequest, state: RequestState) -> None:
    request.state, request.closed_at = state, clock.now()
    session.flush()


def _lock_open(session: Session, request: ReleaseRequest) -> None:
    """Two people may press at once: the second waits here and then sees what the first did.

    :raises WrongStage: the request ended meanwhile.
    """
    lock(session, request)
    lock(session, request.version)
    fresh = session.scalars(
        select(Decision)
        .where(Decision.request_id == request.id)
        .options(joinedload(Decision.person))
        .order_by(Decision.decided_at)
    ).all()
    set_committed_value(request, "decisions", list(fresh))
    if request.state is not RequestState.OPEN:
        raise WrongStage(
            f"this request is {request.state.replace('_', ' ')}", hint="Reload the page to see how it ended."
        )


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


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
