"""Known vulnerabilities in exact wheels: which wheels a lock or an image holds, what is known of them, and how it stands.

Worked out when a lock is made, an image is released or a bundle is imported; pages and gates only read it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote
from uuid import UUID

from packaging.utils import canonicalize_name
from sqlalchemy import Select, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, contains_eager, joinedload

from registry import clock, waivers
from registry.matching import Range, covers, names
from registry.orm.advisory import (
    Advisory,
    AdvisoryBundle,
    AdvisoryHead,
    AffectedPackage,
    Finding,
    ImageWheel,
    Severity,
    VersionWheel,
    Waiver,
    Wheel,
)
from registry.orm.catalog import ModelVersion
from registry.orm.image import Image

State = Literal["clean", "vulnerable", "stale", "unknown"]
SLICE = 500
"""Names or rows of one statement; SQLite takes 32,766 values."""


@dataclass(frozen=True)
class Known:
    """One advisory about one wheel."""

    id: str
    severity: Severity
    summary: str
    wheel: str
    """``pillow 9.0.0``."""
    found_at: datetime
    waiver: Waiver | None
    """In force, when there is one."""


@dataclass(frozen=True)
class Standing:
    """How a version or an image stands, by the bundle in force."""

    state: State
    bundle: AdvisoryBundle | None
    known: Sequence[Known] = ()
    """Worst first, waived ones too."""

    @property
    def open(self) -> list[Known]:
        """What is not waived."""
        return [known for known in self.known if known.waiver is None]

    @property
    def blocking(self) -> list[Known]:
        """Of that, what is as bad as the limit or worse."""
        return [known for known in self.open if self.bundle is not None and known.severity >= self.bundle.block_at]

    @property
    def since(self) -> datetime | None:
        """When the newest part of it came in: what was said before does not speak of it."""
        if self.state == "vulnerable":
            return max(known.found_at for known in self.open)
        return self.bundle.imported_at if self.state == "stale" and self.bundle else None


# ------------------------------------------------------------------------------------------------------ reading


def in_force(session: Session) -> AdvisoryBundle | None:
    """The bundle that counts; ``None`` before the first import."""
    query = select(AdvisoryBundle).join(AdvisoryHead, AdvisoryHead.bundle_id == AdvisoryBundle.id)
    return session.scalars(query).one_or_none()


def of_version(session: Session, version: ModelVersion) -> Standing:
    """How the wheels of a version's lock stand; ``unknown`` without bundle or lock."""
    bundle = in_force(session)
    if bundle is None or version.lock is None:
        return Standing("unknown", bundle)
    query = _findings().join(VersionWheel, VersionWheel.wheel_id == Finding.wheel_id)
    return _standing(session, bundle, session.scalars(query.where(VersionWheel.version_id == version.id)).all())


def of_image(session: Session, image: Image) -> Standing:
    """How the wheels inside an image stand; ``unknown`` without bundle, or when its bill of materials names no wheel."""
    bundle = in_force(session)
    holds = select(ImageWheel.wheel_id).where(ImageWheel.image_id == image.id).limit(1)
    if bundle is None or session.scalars(holds).first() is None:
        return Standing("unknown", bundle)
    query = _findings().join(ImageWheel, ImageWheel.wheel_id == Finding.wheel_id)
    return _standing(session, bundle, session.scalars(query.where(ImageWheel.image_id == image.id)).all())


def _findings() -> Select[Finding]:
    return (
        select(Finding)
        .join(Advisory, Advisory.id == Finding.advisory_id)
        .options(contains_eager(Finding.advisory), joinedload(Finding.wheel, innerjoin=True))
        .order_by(Advisory.severity.desc(), Advisory.id)
    )


def _standing(session: Session, bundle: AdvisoryBundle, findings: Sequence[Finding]) -> Standing:
    waived = waivers.covering(session, [finding.advisory for finding in findings])
    known = [
        Known(
            id=finding.advisory_id,
            severity=Severity(finding.advisory.severity),
            summary=finding.advisory.summary,
            wheel=f"{finding.wheel.name} {finding.wheel.version}",
            found_at=finding.found_at,
            waiver=waived.get(finding.advisory_id),
        )
        for finding in findings
    ]
    if any(item.waiver is None for item in known):
        return Standing("vulnerable", bundle, known)
    return Standing("stale" if clock.now() >= bundle.stale_at else "clean", bundle, known)


# -------------------------------------------------------------------------------------------------- what is held


def lock_head(session: Session, *, sharing: bool = False) -> AdvisoryHead:
    """Wait for an import that is under way, and let none begin; ``sharing`` lets others add wheels meanwhile.

    Without it a wheel added beside an import would be evaluated by neither.
    """
    query = select(AdvisoryHead).where(AdvisoryHead.id == 1)
    return session.scalars(query.with_for_update(read=sharing).execution_options(populate_existing=True)).one()


def note_version(session: Session, version: ModelVersion) -> None:
    """Evaluate the wheels of a version whose lock was just made."""
    wheels = [(wheel["name"], wheel["version"]) for wheel in (version.lock or {}).get("wheels", ())]
    _note(session, VersionWheel, {"version_id": version.id}, wheels)


def note_image(session: Session, image: Image) -> None:
    """Evaluate the wheels of an image that was just released, as its bill of materials names them."""
    _note(session, ImageWheel, {"image_id": image.id}, wheels_of(image.sbom))


def wheels_of(sbom: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and version of every wheel of a CycloneDX document."""
    begins = "pkg:pypi/"
    purls = [component.get("purl", "") for component in sbom.get("components", ())]
    found = [purl.removeprefix(begins).partition("@") for purl in purls if purl.startswith(begins)]
    return [(name, unquote(version)) for name, _, version in found]


def _note(
    session: Session,
    table: type[VersionWheel | ImageWheel],
    owner: Mapping[str, UUID],
    named: Iterable[tuple[str, str]],
) -> None:
    wanted = sorted({(canonicalize_name(name), version) for name, version in named})
    if not wanted:
        return
    session.flush()
    lock_head(session, sharing=True)
    _insert(session, Wheel, [{"id": clock.new_id(), "name": name, "version": version} for name, version in wanted])
    held = _wheels(session, wanted)
    _insert(session, table, [{**owner, "wheel_id": wheel.id} for wheel in held])
    evaluate(session, held, known={})


def _wheels(session: Session, wanted: Sequence[tuple[str, str]]) -> list[Wheel]:
    found = []
    for start in range(0, len(wanted), SLICE):
        some = wanted[start : start + SLICE]
        query = select(Wheel).where(Wheel.name.in_({name for name, _ in some}))
        found += [wheel for wheel in session.scalars(query) if (wheel.name, wheel.version) in some]
    return found


def evaluate(
    session: Session, wheels: Collection[Wheel], *, known: Mapping[tuple[str, UUID], datetime]
) -> set[tuple[str, UUID]]:
    """Compare wheels with what is known of their packages, and keep what is found; returns (advisory, wheel) of each.

    :param known: since when findings were there before.
    """
    by_name: dict[str, list[Wheel]] = {}
    for wheel in wheels:
        by_name.setdefault(wheel.name, []).append(wheel)
    listed, now = sorted(by_name), clock.now()
    found: set[tuple[str, UUID]] = set()
    for start in range(0, len(listed), SLICE):
        query = select(AffectedPackage).where(AffectedPackage.name.in_(listed[start : start + SLICE]))
        for affected in session.scalars(query.execution_options(yield_per=SLICE)):
            ranges = [Range(*bounds) for bounds in affected.ranges]
            found |= {
                (affected.advisory_id, wheel.id)
                for wheel in by_name[affected.name]
                if covers(ranges, wheel.version) or names(affected.versions, wheel.version)
            }
    rows = [{"advisory_id": key[0], "wheel_id": key[1], "found_at": known.get(key, now)} for key in sorted(found)]
    _insert(session, Finding, rows)
    return found


def _insert(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert what is not there yet: two workers may find the same at once."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for start in range(0, len(rows), SLICE):
        session.execute(insert(table).on_conflict_do_nothing(), rows[start : start + SLICE])
