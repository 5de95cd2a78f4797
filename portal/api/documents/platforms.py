"""Platforms, changes of them and the images of a wave as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from portal.api.documents.account import TargetDocument
from portal.api.documents.base import Digest, Document, FullName, Input, Link, Listing, Moment, Page, name_of, page
from registry.orm.approval import Outcome as Decided
from registry.orm.platform import MoveState, Platform, PlatformChange, PlatformDecision, PlatformMove
from registry.platforms import Difference
from registry.policies import Gate

Outcome = Literal["waiting", "queued", "equal", "not_equal", "failed", "overtaken"]


class PlatformDocument(Document):
    """What images stand on beside their models: base, serving runtime and serving code, for one target."""

    digest: Digest
    in_force: bool
    """Whether checks and bakes of its line use it."""
    base: str
    """Digest of the base image, or `host`."""
    runtime: Digest
    """Of the lock of the serving runtime."""
    target: TargetDocument
    wheels: dict[str, str]
    """Of the serving runtime: name to version."""
    offered_by: str
    offered_at: Moment
    in_force_at: Moment | None
    """Since when it is, or was last put, in force."""

    @classmethod
    def of(cls, row: Platform, *, in_force: bool) -> "PlatformDocument":
        """From a row."""
        return cls(
            digest=row.digest,
            in_force=in_force,
            base=row.body["base"],
            runtime=row.body["runtime"],
            target=row.body["target"],
            wheels=row.wheels,
            offered_by=row.worker,
            offered_at=row.created_at,
            in_force_at=row.in_force_at,
        )


class PlatformList(Document):
    """The platforms that were offered last, newest first."""

    items: list[PlatformDocument]


class DifferenceDocument(Document):
    """One part that the proposed platform has otherwise; empty where it is not there."""

    part: Literal["base", "wheel", "code"]
    name: str
    before: str
    after: str


class GateDocument(Document):
    """Whose signature is still needed."""

    code: str
    title: str
    state: Literal["ok", "wait", "stop"]
    why: str


class SignatureDocument(Document):
    """A decision of a person."""

    person: str
    outcome: Literal["approve", "reject"]
    reason: str
    method: str
    statement_digest: Digest
    decided_at: Moment

    @classmethod
    def of(cls, row: PlatformDecision) -> "SignatureDocument":
        """From a row with its person."""
        return cls(
            person=row.person.username,
            outcome="approve" if row.outcome is Decided.APPROVE else "reject",
            reason=row.reason,
            method=row.method,
            statement_digest=row.statement_digest,
            decided_at=row.decided_at,
        )


class PlatformChangeSummary(Document):
    """The question whether images may stand on another platform, and how its wave stands."""

    id: str
    digest: Digest
    """Of both platforms and the list of images: what is signed."""
    state: Literal["proposed", "running", "paused", "done", "refused", "withdrawn"]
    """`running` and `paused` are those of the wave."""
    platform: Digest
    replaces: Digest
    reason: str
    images: int
    """How many the list has."""
    outcomes: dict[Outcome, int]
    """How many of them stand where."""
    proposed_by: str
    created_at: Moment
    closed_at: Moment | None
    url: Link

    @classmethod
    def members(cls, row: PlatformChange, counts: Mapping[MoveState, int], names: Mapping[str, str]) -> dict[str, Any]:
        """From a row with both platforms."""
        return {
            "id": str(row.id),
            "digest": row.digest,
            "state": row.state.value,
            "platform": row.platform.digest,
            "replaces": row.replaces.digest,
            "reason": row.reason,
            "images": row.images,
            "outcomes": {state.value: count for state, count in counts.items()},
            "proposed_by": name_of(names, row.proposed_by),
            "created_at": row.created_at,
            "closed_at": row.closed_at,
            "url": page(f"/platform/changes/{row.id}"),
        }


class PlatformChangeDocument(PlatformChangeSummary):
    """A change with what differs and who signed."""

    differences: list[DifferenceDocument]
    gates: list[GateDocument]
    """While it is proposed."""
    decisions: list[SignatureDocument]

    @classmethod
    def of(
        cls,
        row: PlatformChange,
        counts: Mapping[MoveState, int],
        names: Mapping[str, str],
        differences: Sequence[Difference],
        gates: Sequence[Gate],
    ) -> "PlatformChangeDocument":
        """From a row with both platforms and its decisions."""
        return cls(
            **cls.members(row, counts, names),
            differences=[DifferenceDocument(**vars(found)) for found in differences],
            gates=[GateDocument(code=gate.code, title=gate.title, state=gate.state, why=gate.why) for gate in gates],
            decisions=[SignatureDocument.of(decision) for decision in row.decisions],
        )


class PlatformChangePage(Page[PlatformChangeSummary]):
    """Changes, newest first."""


class MoveDocument(Document):
    """One image of a change's list, and what came of it."""

    image_digest: Digest
    bundle: FullName
    outcome: Outcome
    summary: str | None
    """How the new image answered the approved rows."""
    error: dict[str, Any] | None
    """Why there is no new image: `code`, `message` and `hint`."""
    new_image_digest: Digest | None
    ended_at: Moment | None

    @classmethod
    def of(cls, row: PlatformMove) -> "MoveDocument":
        """From a row with its images and bundle."""
        return cls(
            image_digest=row.image.digest,
            bundle=row.image.bundle.full_name,
            outcome=row.state.value,
            summary=row.report["summary"] if row.report else None,
            error=row.error,
            new_image_digest=row.new_image.digest if row.new_image else None,
            ended_at=row.ended_at,
        )


class MovePage(Page[MoveDocument]):
    """Images in the order of the list."""


class MoveQuery(Listing):
    """Which images."""

    outcome: Outcome | None = None
    """Only those that ended so."""


class Proposal(Input):
    """A platform change to be."""

    platform: Digest
    """One that a worker offered."""
    reason: str
