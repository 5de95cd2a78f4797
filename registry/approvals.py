"""Requests for release: asking, taking back, what is said about them, and finding them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from formats import canonical
from formats.card import NOT_STATED
from registry import (
    access,
    advisories,
    audit,
    catalog,
    clock,
    judging,
    names,
    paging,
    policies,
    references,
    versions,
)
from registry.access import SYSTEM, Actor, Permission
from registry.errors import Blocked, Forbidden, Invalid, NotFound, WrongStage
from registry.locking import lock
from registry.orm.approval import Decision, DossierEntry, PolicyRevision, ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, RegisteredModel, Stage

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
    lock_open(session, request)
    close(session, request, RequestState.WITHDRAWN)
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
    lock_open(session, request)
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
    lock_open(session, request)
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


def close(session: Session, request: ReleaseRequest, state: RequestState) -> None:
    """End a request; what follows of it is the caller's."""
    request.state, request.closed_at = state, clock.now()
    session.flush()


def lock_open(session: Session, request: ReleaseRequest) -> None:
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


# -------------------------------------------------------------------------------------------------------- finding


REQUEST_PARTS = (
    joinedload(ReleaseRequest.policy),
    joinedload(ReleaseRequest.version).options(*references.VERSION_PARTS),
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
    return session.scalars(
        query.options(*references.VERSION_PARTS).order_by(ModelVersion.number.desc()).limit(1)
    ).first()
