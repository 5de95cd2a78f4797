"""Importing a bundle of advisories: asked for by an operator, done by a worker, in force as a whole or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from registry import access, advisories, approvals, audit, clock, jobs, paging, uploads
from registry.access import SYSTEM, Actor, Permission
from registry.errors import Blocked, NotFound
from registry.matching import Range
from registry.orm.advisory import (
    Advisory,
    AdvisoryBundle,
    AffectedPackage,
    BundleState,
    Finding,
    Severity,
    VersionWheel,
    Wheel,
)
from registry.orm.approval import ReleaseRequest, RequestState
from registry.orm.job import JobKind
from registry.settings import Settings

T = TypeVar("T")
MAX_FILE = 512 << 20
"""Bytes of a bundle; that of osv.dev for PyPI has some tens of MB."""
AHEAD = timedelta(days=1)
"""How far the newest record may lie in the future: a bundle of next year would never be stale."""
SLICE = 2000
"""Rows of one statement."""


@dataclass(frozen=True)
class Affected:
    """What an advisory says of one package: a version is affected when a range covers it, or it is named."""

    ranges: tuple[Range, ...]
    versions: frozenset[str]
    """Named versions that no range covers."""


@dataclass(frozen=True)
class Record:
    """One advisory, reduced to what is evaluated and shown."""

    id: str
    aliases: frozenset[str]
    summary: str
    severity: Severity
    score: float | None
    modified_at: datetime
    packages: Mapping[str, Affected]
    """By normalised name."""


@dataclass(frozen=True)
class Contents:
    """What a bundle says; ``records`` counts those that are not withdrawn, before aliases were merged."""

    records: int
    newest_at: datetime
    advisories: Sequence[Record]


def request(session: Session, *, actor: Actor, digest: str, size: int, settings: Settings) -> AdvisoryBundle:
    """Ask for the import of a file that is in the store; again when it was refused, or when a limit has changed.

    Both limits are kept with the bundle, so that the audit log says who put them into force.
    """
    access.require(actor, Permission.IMPORT_ADVISORIES)
    uploads.keep(session, digest=digest, size=size)
    limits = settings.advisory_stale_days, int(Severity[settings.advisory_block.upper()])
    bundle = session.scalars(select(AdvisoryBundle).where(AdvisoryBundle.digest == digest).with_for_update()).first()
    if bundle is not None and bundle.state is not BundleState.REFUSED:
        if bundle.state is BundleState.DONE and advisories.in_force(session) is not bundle:
            raise Blocked(f"{digest} was imported before, and a newer bundle is in force", hint="Send a newer one.")
        if (bundle.stale_days, bundle.block_at) == limits:
            return bundle
    if bundle is None:
        bundle = AdvisoryBundle(digest=digest, size=size, created_at=clock.now())
        session.add(bundle)
    bundle.state, bundle.error, bundle.imported_by = BundleState.QUEUED, None, actor.ref
    bundle.stale_days, bundle.block_at = limits
    session.flush()
    jobs.enqueue(session, JobKind.ADVISORIES, key=bundle.id.hex, subject_id=bundle.id)
    audit.record(
        session, audit.Action.ADVISORIES_SENT, actor=actor, subject=bundle, digest=digest, size=size,
        stale_days=bundle.stale_days, block=settings.advisory_block,
    )  # fmt: skip
    return bundle


def load(session: Session, bundle_id: UUID) -> AdvisoryBundle:
    """The bundle of a job."""
    return session.get_one(AdvisoryBundle, bundle_id)


def get(session: Session, digest: str, *, actor: Actor) -> AdvisoryBundle:
    """A bundle, imported or not.

    :raises NotFound: nobody sent one with this digest.
    """
    access.require(actor, Permission.READ)
    bundle = session.scalars(select(AdvisoryBundle).where(AdvisoryBundle.digest == digest)).one_or_none()
    if bundle is None:
        raise NotFound(f"there is no bundle of advisories {digest}")
    return bundle


def listing(session: Session, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[AdvisoryBundle]:
    """Bundles, newest first."""
    access.require(actor, Permission.READ)
    return paging.fetch(session, select(AdvisoryBundle), (AdvisoryBundle.id,), cursor)


def take_over(session: Session, bundle: AdvisoryBundle, contents: Contents) -> int:
    """Put a bundle into force and evaluate every wheel that a lock or an image holds; returns how many are newly affected.

    :raises Blocked: it is older than the one in force, or from the future.
    """
    head = advisories.lock_head(session)
    before = session.get(AdvisoryBundle, head.bundle_id) if head.bundle_id else None
    if before is not None and before.newest_at is not None and contents.newest_at < before.newest_at:
        raise Blocked(
            f"its newest record is of {clock.rfc3339(contents.newest_at)}, that of the bundle in force of "
            f"{clock.rfc3339(before.newest_at)}",
            hint="Send a newer bundle: going back would hide what is known.",
        )
    if contents.newest_at > clock.now() + AHEAD:
        raise Blocked(
            f"its newest record is of {clock.rfc3339(contents.newest_at)}, which lies in the future",
            hint="Check this machine's clock, and where the bundle comes from.",
        )
    known = {(row.advisory_id, row.wheel_id): row.found_at for row in session.execute(_KNOWN)}
    for table in (Finding, AffectedPackage, Advisory):
        session.execute(delete(table).execution_options(synchronize_session=False))
    _store(session, contents.advisories)
    bundle.state, bundle.records, bundle.newest_at = BundleState.DONE, contents.records, contents.newest_at
    bundle.imported_at, head.bundle_id = clock.now(), bundle.id
    found = advisories.evaluate(session, session.scalars(select(Wheel)).all(), known=known)
    fresh = found - known.keys()
    audit.record(
        session, audit.Action.ADVISORIES_IMPORTED, actor=SYSTEM, subject=bundle, digest=bundle.digest,
        records=contents.records, newest_at=clock.rfc3339(contents.newest_at), findings=len(found),
        new=sorted({advisory for advisory, _ in fresh})[:1000], gone=sorted({key[0] for key in known.keys() - found})[:1000],
    )  # fmt: skip
    _void(session, {wheel for _, wheel in fresh})
    return len(fresh)


def refuse(session: Session, bundle: AdvisoryBundle, error: dict[str, str]) -> None:
    """The bundle is not taken over; the one before stays in force."""
    bundle.state, bundle.error = BundleState.REFUSED, error
    audit.record(
        session, audit.Action.ADVISORIES_REFUSED, actor=SYSTEM, subject=bundle, digest=bundle.digest, error=error
    )


_KNOWN = select(Finding.advisory_id, Finding.wheel_id, Finding.found_at)


def _store(session: Session, records: Sequence[Record]) -> None:
    for some in _sliced(records):
        rows = [
            {
                "id": record.id, "aliases": sorted(record.aliases), "summary": record.summary, "severity": int(record.severity),
                "score": record.score, "modified_at": record.modified_at,
            }
            for record in some
        ]  # fmt: skip
        packages = [
            {"name": name, "advisory_id": record.id, "ranges": affected.ranges, "versions": sorted(affected.versions)}
            for record in some
            for name, affected in record.packages.items()
        ]
        session.execute(insert(Advisory), rows)
        session.execute(insert(AffectedPackage), packages)


def _sliced(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]


def _void(session: Session, wheel_ids: set[Any]) -> None:
    """What was signed before something became known of a wheel is signed anew."""
    open_ones = select(ReleaseRequest).where(ReleaseRequest.state == RequestState.OPEN)
    for some in _sliced(sorted(wheel_ids)):
        holding = select(VersionWheel.version_id).where(VersionWheel.wheel_id.in_(some))
        for asked in session.scalars(open_ones.where(ReleaseRequest.version_id.in_(holding))):
            approvals.void(session, asked, actor=SYSTEM, reason="an advisory about one of its libraries came in")
