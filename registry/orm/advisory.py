"""Bundles of known vulnerabilities, what they say of packages, the wheels we hold, which of them are affected, and waivers."""

import enum
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.account import Person
from registry.orm.base import Base, Governed, Json, created, enum_column, uuid_pk


class Severity(enum.IntEnum):
    """How bad an advisory is, in the words of CVSS; stored as a number, because it is compared and sorted by."""

    UNRATED = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """``high``."""
        return self.name.lower()


class BundleState(enum.StrEnum):
    """Where an import stands."""

    QUEUED = "queued"
    DONE = "done"
    REFUSED = "refused"


class AdvisoryBundle(Governed, Base):
    """One file of OSV records that an operator brought; its bytes stay in the store, under ``digest``."""

    __tablename__ = "advisory_bundles"

    id: Mapped[uuid_pk]
    digest: Mapped[str] = mapped_column(sa.String(71), unique=True)
    size: Mapped[int] = mapped_column(sa.BigInteger, comment="bytes of the file")
    state: Mapped[BundleState] = mapped_column(enum_column(BundleState), default=BundleState.QUEUED)
    records: Mapped[int | None] = mapped_column(comment="advisories in it that are not withdrawn")
    newest_at: Mapped[datetime | None] = mapped_column(comment="when its newest record was last changed")
    stale_days: Mapped[int] = mapped_column(comment="age of the newest record from which it calls nothing clean")
    block_at: Mapped[int] = mapped_column(comment="severity from which an advisory blocks an approval, 1 to 4")
    error: Mapped[Json | None] = mapped_column(comment="code, message, hint when it was refused")
    imported_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    imported_at: Mapped[datetime | None]

    @property
    def stale_at(self) -> datetime:
        """From when on it is too old to call anything clean; only of a bundle that was imported."""
        assert self.newest_at is not None, "a bundle that was imported has a date"
        return self.newest_at + timedelta(days=self.stale_days)

    def audit_ref(self) -> str:
        return f"advisories:{self.id.hex}"


class AdvisoryHead(Base):
    """The one row that names the bundle in force. Whoever adds wheels or imports locks it, so that none is overlooked."""

    __tablename__ = "advisory_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bundle_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("advisory_bundles.id"))
    bundle: Mapped[AdvisoryBundle | None] = relationship(lazy="raise")


class Advisory(Base):
    """A known vulnerability, as the bundle in force tells it; records that name each other as aliases are one."""

    __tablename__ = "advisories"
    __table_args__ = (sa.Index("ix_advisories_severity", "severity", "id"),)

    id: Mapped[str] = mapped_column(sa.String(80), primary_key=True, comment="GHSA-..., PYSEC-..., as published")
    aliases: Mapped[Json] = mapped_column(comment="its other names")
    summary: Mapped[str] = mapped_column(sa.String(300))
    severity: Mapped[int] = mapped_column(comment="0 unrated, 1 low, 2 medium, 3 high, 4 critical")
    score: Mapped[float | None] = mapped_column(comment="highest CVSS base score that its records give")
    modified_at: Mapped[datetime]


class AffectedPackage(Base):
    """What an advisory says of one package."""

    __tablename__ = "affected_packages"

    name: Mapped[str] = mapped_column(sa.String(200), primary_key=True, comment="normalised")
    advisory_id: Mapped[str] = mapped_column(sa.ForeignKey("advisories.id"), primary_key=True, index=True)
    ranges: Mapped[Json] = mapped_column(comment="[[introduced, fixed or null, last affected or null], ...]")
    versions: Mapped[Json] = mapped_column(comment="versions it names that are in none of the ranges")


class Wheel(Base):
    """A library in an exact version that some lock or image holds."""

    __tablename__ = "wheels"
    __table_args__ = (sa.UniqueConstraint("name", "version"),)

    id: Mapped[uuid_pk]
    name: Mapped[str] = mapped_column(sa.String(200), comment="normalised")
    version: Mapped[str] = mapped_column(sa.String(100))


class VersionWheel(Base):
    """A wheel of a model version's lock."""

    __tablename__ = "version_wheels"

    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), primary_key=True)
    wheel_id: Mapped[UUID] = mapped_column(sa.ForeignKey("wheels.id"), primary_key=True, index=True)


class ImageWheel(Base):
    """A wheel inside an image, by its bill of materials: those of the server, and of models that are not compiled."""

    __tablename__ = "image_wheels"

    image_id: Mapped[UUID] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    wheel_id: Mapped[UUID] = mapped_column(sa.ForeignKey("wheels.id"), primary_key=True, index=True)


class Finding(Base):
    """A wheel that we hold and an advisory that is about it; worked out from the bundle in force."""

    __tablename__ = "advisory_findings"

    advisory_id: Mapped[str] = mapped_column(sa.ForeignKey("advisories.id"), primary_key=True)
    wheel_id: Mapped[UUID] = mapped_column(sa.ForeignKey("wheels.id"), primary_key=True, index=True)
    found_at: Mapped[datetime] = mapped_column(comment="when it was first found; later imports keep it")
    advisory: Mapped[Advisory] = relationship(lazy="raise")
    wheel: Mapped[Wheel] = relationship(lazy="raise")


class Waiver(Governed, Base):
    """Compliance lets an advisory stand for a while: who answers for it, why, and until when."""

    __tablename__ = "advisory_waivers"

    id: Mapped[uuid_pk]
    advisory: Mapped[str] = mapped_column(
        sa.String(80), index=True, comment="id or alias; no foreign key, because later bundles may not have it"
    )
    owner_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), index=True)
    reason: Mapped[str] = mapped_column(sa.Text)
    created_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(comment="when somebody ended it before its time")
    ended_by: Mapped[str | None] = mapped_column(sa.String(80))
    owner: Mapped[Person] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"waiver:{self.id.hex}"
