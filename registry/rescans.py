"""When the allow-list loses names, what was accepted under the wider one is scanned again; what fails is held back."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import audit, clock, jobs
from registry.access import SYSTEM
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.job import JobKind
from registry.orm.scanning import AllowListSeen, Rescan

ACCEPTED = (Stage.READY, Stage.IN_REVIEW, Stage.APPROVED, Stage.APPROVED_WITH_CONDITIONS)
USES = ("ref", "new", "call")
"""What a name may be used for, each including the one before."""


def note_list(session: Session, *, digest: str, uses: Mapping[str, str], takes: Mapping[str, Sequence[str]]) -> int:
    """A worker says which list it runs with; returns how many versions are to be scanned again.

    None are when the list is the one before it, or allows more than that.
    """
    before = session.scalars(select(AllowListSeen).order_by(AllowListSeen.seen_at.desc()).limit(1)).first()
    if before is not None and before.digest == digest:
        return 0
    names = {"uses": dict(uses), "takes": {name: sorted(taken) for name, taken in takes.items()}}
    row = session.get(AllowListSeen, digest) or AllowListSeen(digest=digest, names=names)
    row.seen_at = clock.now()
    session.add(row)
    lost = removed(before.names, names) if before is not None else []
    audit.record(
        session, audit.Action.ALLOW_LIST_CHANGED, actor=SYSTEM, subject=row, digest=digest,
        before=before.digest if before is not None else None, removed=lost[:1000],
    )  # fmt: skip
    session.flush()
    return _queue(session, digest) if lost else 0


def removed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names that ``now`` does not have, allows less to, or hands less."""
    uses: Mapping[str, str] = now["uses"]
    narrowed = {
        name for name, use in before["uses"].items() if name not in uses or USES.index(uses[name]) < USES.index(use)
    }
    handed = {name for name, taken in before["takes"].items() if set(taken) - set(now["takes"].get(name, ()))}
    return sorted(narrowed | handed)


def _queue(session: Session, digest: str) -> int:
    known = select(Rescan.version_id).where(Rescan.allow_list == digest)
    query = select(ModelVersion).where(ModelVersion.stage.in_(ACCEPTED), ModelVersion.id.not_in(known))
    count = 0
    for version in session.scalars(query):
        again = Rescan(version_id=version.id, allow_list=digest, findings=[], created_at=clock.now())
        session.add(again)
        session.flush()
        jobs.enqueue(session, JobKind.RESCAN, key=again.id.hex, subject_id=again.id, new=True)
        audit.record(session, audit.Action.RESCAN_REQUESTED, actor=SYSTEM, subject=version, digest=digest)
        count += 1
    return count


def end(session: Session, again: Rescan, *, outcome: str, findings: Sequence[dict[str, Any]]) -> None:
    """Keep what the new scan found."""
    again.outcome, again.findings, again.ended_at = outcome, list(findings), clock.now()
    audit.record(
        session,
        audit.Action.RESCANNED,
        actor=SYSTEM,
        subject=again,
        digest=again.allow_list,
        outcome=outcome,
        codes=sorted({finding["code"] for finding in findings}),
    )


def refusal(session: Session, version_id: UUID) -> str | None:
    """Why the newest list no longer accepts a version, or ``None`` when it does, or nothing was scanned again."""
    query = select(Rescan).where(Rescan.version_id == version_id, Rescan.outcome.is_not(None))
    again = session.scalars(query.order_by(Rescan.ended_at.desc()).limit(1)).first()
    if again is None or again.outcome == "passed":
        return None
    return str(again.findings[0]["message"]) if again.findings else "The file could not be scanned again."
