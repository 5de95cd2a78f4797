"""Requests for release as JSON."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from portal.api.documents.base import Digest, Document, FullName, Input, Link, Listing, Moment, Page, name_of, page
from registry import accounts, advisories, approvals, judging, notices
from registry.orm.approval import Decision, DossierEntry, ReleaseRequest

Line = Annotated[str, Field(min_length=1, max_length=300)]
Lines = Annotated[list[Line], Field(max_length=20, default_factory=list)]


class GateDocument(Document):
    """One rule of the policy, and how it stands."""

    code: str
    title: str
    state: Literal["ok", "wait", "stop"]
    why: str


class NoticeDocument(Document):
    """Something that the checks noticed."""

    code: str
    title: str
    message: str
    must_answer: bool
    """Whether the requester's side must answer it before anybody can approve."""


class DecisionDocument(Document):
    """What a person signed."""

    id: str
    person: str
    outcome: Literal["approve", "request_changes", "reject"]
    roles: list[str]
    reason: str
    statement_digest: Digest
    decided_at: Moment
    voided_at: Moment | None
    void_reason: str | None

    @classmethod
    def of(cls, row: Decision) -> "DecisionDocument":
        """From a row with its person."""
        return cls(
            id=str(row.id),
            person=row.person.username,
            outcome=row.outcome.value,
            roles=row.roles,
            reason=row.reason,
            statement_digest=row.statement_digest,
            decided_at=row.decided_at,
            voided_at=row.voided_at,
            void_reason=row.void_reason,
        )


class EntryDocument(Document):
    """Something added to the dossier."""

    position: int
    kind: str
    author: str
    about: str | None
    """Of an answer: the code of the notice."""
    text: str
    digest: Digest
    created_at: Moment

    @classmethod
    def of(cls, row: DossierEntry, names: Mapping[str, str]) -> "EntryDocument":
        """From a row."""
        return cls(
            position=row.position,
            kind=row.kind,
            author=name_of(names, row.author),
            about=row.about,
            text=row.text,
            digest=row.digest,
            created_at=row.created_at,
        )


class ReviewSummary(Document):
    """A request for release as lists show it."""

    id: str
    ref: str
    """The version, `team/model:3`."""
    model: FullName
    number: int
    state: Literal["open", "withdrawn", "changes_requested", "approved", "rejected"]
    release_digest: Digest
    dossier_digest: Digest
    uses: list[str]
    environments: list[str]
    prohibited_uses: list[str]
    limits: list[str]
    decisions: list[DecisionDocument]
    requested_by: str
    requested_at: Moment
    closed_at: Moment | None
    note: str
    url: Link
    """Where people decide."""


class ReviewDocument(ReviewSummary):
    """A request for release with its gates and its dossier. No call of this API decides."""

    gates: list[GateDocument]
    notices: list[NoticeDocument]
    """What the checks noticed beside a clean result."""
    dossier: list[EntryDocument]
    policy: str
    """Name and revision it is judged by."""


class ReviewPage(Page[ReviewSummary]):
    """Open requests, oldest first; ended ones, newest first."""


class ReviewQuery(Listing):
    """Which requests."""

    state: Literal["open", "done"] = "open"


class NewRequest(Input):
    """What release is asked for."""

    note: Annotated[str, Field(max_length=4000)] = ""
    uses: Annotated[list[Line], Field(min_length=1, max_length=20)]
    environments: Annotated[list[Line], Field(min_length=1, max_length=20)]
    prohibited_uses: Lines
    limits: Lines

    def terms(self) -> approvals.Terms:
        """As the domain takes them."""
        return approvals.Terms(self.uses, self.environments, self.prohibited_uses, self.limits)


class Withdrawal(Input):
    """Why a request is taken back."""

    reason: Annotated[str, Field(max_length=1000)] = ""


class NewComment(Input):
    """Something to say beside a request."""

    text: Annotated[str, Field(min_length=1, max_length=8000)]


class NewAnswer(Input):
    """An answer to what the checks noticed."""

    about: Annotated[str, Field(min_length=1, max_length=40)]
    """The code of the notice."""
    text: Annotated[str, Field(min_length=3, max_length=8000)]


def review_document(session: Session, request: ReleaseRequest) -> ReviewDocument:
    """A request loaded with all its parts."""
    authors = {request.requested_by, *(entry.author for entry in request.dossier)}
    names = accounts.display_names(session, authors)
    gates = judging.gates(session, request)
    return ReviewDocument(
        **_common(request, names),
        gates=[GateDocument(code=gate.code, title=gate.title, state=gate.state, why=gate.why) for gate in gates],
        notices=[
            NoticeDocument(code=item.code, title=item.title, message=item.message, must_answer=item.must_answer)
            for item in notices.of_all(request.version.reports, advisories.of_version(session, request.version))
        ],
        dossier=[EntryDocument.of(entry, names) for entry in request.dossier],
        policy=f"{request.policy.name} revision {request.policy.revision}",
    )


def review_page(session: Session, requests: Iterable[ReleaseRequest], following: str | None) -> ReviewPage:
    """A page of requests as the queue loads them."""
    rows = list(requests)
    names = accounts.display_names(session, {request.requested_by for request in rows})
    return ReviewPage(items=[ReviewSummary(**_common(request, names)) for request in rows], next=following)


def _common(request: ReleaseRequest, names: Mapping[str, str]) -> dict[str, Any]:
    version = request.version
    return {
        "id": str(request.id),
        "ref": f"{version.model.full_name}:{version.number}",
        "model": version.model.full_name,
        "number": version.number,
        "state": request.state.value,
        "release_digest": request.release_digest,
        "dossier_digest": request.dossier_digest,
        "uses": request.uses,
        "environments": request.environments,
        "prohibited_uses": request.prohibited_uses,
        "limits": request.limits,
        "decisions": [DecisionDocument.of(decision) for decision in request.decisions],
        "requested_by": name_of(names, request.requested_by),
        "requested_at": request.created_at,
        "closed_at": request.closed_at,
        "note": request.note,
        "url": page(f"/reviews/{request.id}"),
    }
