"""What stands between a release request and its approval, read now: the gates of its policy, and who may decide."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from registry import accounts, advisories, checking, notices, policies, rescans
from registry.access import Actor
from registry.orm.account import ApiToken, Role, ServiceAccount
from registry.orm.approval import Decision, DossierEntry, Outcome, ReleaseRequest, RequestState
from registry.orm.catalog import CheckReport


def facts(session: Session, request: ReleaseRequest, decisions: Sequence[Decision]) -> policies.Facts:
    """What the policy looks at, read now."""
    version = request.version
    wheels = advisories.of_version(session, version)
    wanted = to_answer(session, request, wheels)
    deciding = sorted(policies.deciding_roles(request.policy.body))
    found = session.execute(select(CheckReport.step, CheckReport.outcome).where(CheckReport.version_id == version.id))
    reports = {step: outcome for step, outcome in found}  # noqa: C416 - rows are not plain pairs to a type checker
    return policies.Facts(
        reports=reports,
        steps=[*checking.STEPS, *({checking.OWN_CODE} & reports.keys())],
        signed=_signed(decisions),
        candidates=[
            policies.Signer(
                person.id, person.username, frozenset(grant.role for grant in person.roles if grant.in_force)
            )
            for person in accounts.people_with(session, deciding)
        ],
        barred=_barred(session, request, _submitters(session, [request])),
        notices=wanted,
        refused_since=rescans.refusal(session, version.id),
        wheels=wheels,
        answered=_answered(session, request, wanted),
    )


def _answered(session: Session, request: ReleaseRequest, wanted: Sequence[notices.Notice]) -> frozenset[str]:
    """Codes that an answer speaks of: it must have come after what it answers."""
    query = select(DossierEntry.about, func.max(DossierEntry.created_at)).where(
        DossierEntry.request_id == request.id, DossierEntry.about.is_not(None)
    )
    answers = {about: at for about, at in session.execute(query.group_by(DossierEntry.about))}  # noqa: C416 - rows
    return frozenset(
        notice.code
        for notice in wanted
        if notice.code in answers and (notice.since is None or answers[notice.code] >= notice.since)
    )


def to_answer(session: Session, request: ReleaseRequest, wheels: advisories.Standing) -> list[notices.Notice]:
    """What the requester's side must answer: of the one report that holds notices, and of its libraries."""
    query = select(CheckReport).where(
        CheckReport.version_id == request.version_id, CheckReport.step.in_((checking.OWN_CODE, "introspect"))
    )
    noticed = notices.of_all(session.scalars(query), wheels)
    return [notice for notice in noticed if notice.must_answer]


def roles_of(values: Sequence[str]) -> frozenset[Role]:
    """Roles as a decision keeps them."""
    return frozenset(Role(value) for value in values)


def _submitters(session: Session, requests: Sequence[ReleaseRequest]) -> dict[UUID, set[str]]:
    """Who ever asked for the approval of each version: a request that was taken back counts, too."""
    found: dict[UUID, set[str]] = {request.version_id: {request.requested_by} for request in requests}
    query = select(ReleaseRequest.version_id, ReleaseRequest.requested_by).where(ReleaseRequest.version_id.in_(found))
    for version_id, ref in session.execute(query.distinct()):
        found[version_id].add(ref)
    return found


def _acts(request: ReleaseRequest, submitters: Mapping[UUID, set[str]]) -> Sequence[tuple[str, str]]:
    """What was done to the version, and by whom; the last of somebody's acts is what they are told."""
    version = request.version
    submitted = [(ref, "submitted it") for ref in sorted(submitters[request.version_id])]
    return *submitted, (version.uploader, "uploaded it"), (version.author, "made it")


def _signed(decisions: Sequence[Decision]) -> list[policies.Signer]:
    """Whose approval stands."""
    return [
        policies.Signer(decision.person_id, decision.person.username, roles_of(decision.roles))
        for decision in decisions
        if decision.voided_at is None and decision.outcome is Outcome.APPROVE
    ]


def _barred(session: Session, request: ReleaseRequest, submitters: Mapping[UUID, set[str]]) -> dict[UUID, str]:
    """Who may not decide. A pipeline's acts count for whoever made its identity or holds a token of it."""
    barred: dict[UUID, str] = {}
    for ref, what in _acts(request, submitters):
        kind, _, ident = ref.partition(":")
        if kind == "service":
            holders = select(ApiToken.created_by).where(ApiToken.service_id == UUID(ident))
            barred |= {
                _person(holder): f"hold a token of the pipeline that {what}" for holder in session.scalars(holders)
            }
            service = session.get_one(ServiceAccount, UUID(ident))
            barred[_person(service.created_by)] = f"own the pipeline that {what}"
        else:
            barred[_person(ref)] = what
    return barred


def _person(ref: str) -> UUID:
    return UUID(ref.removeprefix("person:"))


def gates(session: Session, request: ReleaseRequest) -> list[policies.Gate]:
    """The gates of the request's policy as they stand."""
    return policies.evaluate(request.policy.body, facts(session, request, request.decisions))


def why_not(session: Session, request: ReleaseRequest, *, actor: Actor) -> str | None:
    """In words why this actor may not decide now, or ``None`` when they may."""
    return why_not_each(session, [request], actor=actor)[0]


def why_not_each(session: Session, requests: Sequence[ReleaseRequest], *, actor: Actor) -> list[str | None]:
    """The same for several requests loaded with version, policy and decisions, in two queries at most."""
    submitters = _submitters(session, requests)
    acting = {ref for request in requests for ref, _ in _acts(request, submitters) if ref.startswith("service:")}
    # Held while the loop runs, so that each is found in the session.
    _services = _services_of(session, acting)
    return [_why_not(session, request, actor, submitters) for request in requests]


def _services_of(session: Session, refs: set[str]) -> list[ServiceAccount]:
    ids = [UUID(ref.partition(":")[2]) for ref in refs]
    return list(session.scalars(select(ServiceAccount).where(ServiceAccount.id.in_(ids)))) if ids else []


def _why_not(
    session: Session, request: ReleaseRequest, actor: Actor, submitters: Mapping[UUID, set[str]]
) -> str | None:
    if request.state is not RequestState.OPEN:
        return f"this request is {request.state.replace('_', ' ')}."
    if actor.via_token or actor.person_id is None:
        return "a token never decides; sign in as yourself."
    reason = policies.bar(
        policies.Signer(actor.person_id, actor.name, actor.roles),
        barred=_barred(session, request, submitters),
        signed=_signed(request.decisions),
        deciding=policies.deciding_roles(request.policy.body),
    )
    # Last: whoever may not decide anyway is not sent to set up a second factor.
    return reason or (None if actor.second_factor else "you signed in without a second factor.")
