"""Registered models, their versions, files, metrics, aliases and check reports."""

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.account import Team
from registry.orm.base import Base, Governed, Json, created, enum_column, uuid_pk


class Visibility(enum.StrEnum):
    """Who sees that a model exists: all signed-in staff, or (the exception) its team only."""

    INTERNAL = "internal"
    PRIVATE = "private"


class Stage(enum.StrEnum):
    """Where a version is in governance. Moved by domain functions only, one audit entry per edge."""

    CHECKING = "checking"
    CHECK_FAILED = "check_failed"
    READY = "ready"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    APPROVED_WITH_CONDITIONS = "approved_with_conditions"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    REVOKED = "revoked"
    RETIRED = "retired"


RELEASED = (Stage.APPROVED, Stage.APPROVED_WITH_CONDITIONS)
"""Stages in which a version may be baked."""


class RegisteredModel(Governed, Base):
    """The named line ``team/name`` that versions belong to."""

    __tablename__ = "registered_models"
    __table_args__ = (
        sa.UniqueConstraint("team_id", "name"),
        sa.Index("ix_registered_models_updated", "updated_at", "id"),
    )

    id: Mapped[uuid_pk]
    team_id: Mapped[UUID] = mapped_column(sa.ForeignKey("teams.id"))
    name: Mapped[str] = mapped_column(sa.String(63))
    full_name: Mapped[str] = mapped_column(sa.String(127), unique=True, comment="team/name")
    purpose: Mapped[str] = mapped_column(sa.Text, default="", comment="one sentence in plain words")
    task: Mapped[str] = mapped_column(sa.String(63), default="", index=True)
    contact: Mapped[str] = mapped_column(sa.String(128), default="")
    owner_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("people.id"))
    visibility: Mapped[Visibility] = mapped_column(enum_column(Visibility), default=Visibility.INTERNAL)
    tier: Mapped[str | None] = mapped_column(sa.String(16), comment="low, medium, high; empty counts as high")
    versions_made: Mapped[int] = mapped_column(default=0, comment="last number given; numbers are never reused")
    latest_approved: Mapped[int | None] = mapped_column(comment="newest approved number")
    created_at: Mapped[created]
    updated_at: Mapped[created]
    revision: Mapped[int] = mapped_column(default=1, comment="ETag")
    team: Mapped[Team] = relationship(lazy="raise")
    versions: Mapped[list["ModelVersion"]] = relationship(back_populates="model", lazy="raise", viewonly=True)

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012 - SQLAlchemy reads it as a plain dict

    def audit_ref(self) -> str:
        return f"model:{self.id.hex}"


class ModelTerm(Base):
    """One word by which a model is found; an index that both databases have."""

    __tablename__ = "model_terms"

    term: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    model_id: Mapped[UUID] = mapped_column(sa.ForeignKey("registered_models.id"), primary_key=True, index=True)


class ModelVersion(Governed, Base):
    """One version of a registered model. Its artifact never changes; only its stage moves."""

    __tablename__ = "model_versions"
    __table_args__ = (
        sa.UniqueConstraint("model_id", "number"),
        sa.UniqueConstraint("model_id", "content_digest"),
        sa.CheckConstraint("number >= 1", name="number_positive"),
        sa.Index("ix_model_versions_stage", "stage", "id"),
    )

    id: Mapped[uuid_pk]
    model_id: Mapped[UUID] = mapped_column(sa.ForeignKey("registered_models.id"), index=True)
    number: Mapped[int] = mapped_column(comment="1, 2, 3 ... within the model; never reused")
    label: Mapped[str] = mapped_column(sa.String(63), default="", comment="free text such as 1.4.0")
    stage: Mapped[Stage] = mapped_column(enum_column(Stage), default=Stage.CHECKING)
    format: Mapped[str] = mapped_column(sa.String(16), comment="joblib or pickle: fixes scan mode and loader")
    artifact: Mapped[str] = mapped_column(sa.String(255), comment="path of the model file among the files")
    artifact_digest: Mapped[str] = mapped_column(sa.String(71), index=True, comment="of the artifact manifest")
    content_digest: Mapped[str] = mapped_column(
        sa.String(71), comment="of artifact manifest and card: what a retry is judged by"
    )
    release_digest: Mapped[str | None] = mapped_column(
        sa.String(71), index=True, comment="everything that decides what runs"
    )
    size: Mapped[int] = mapped_column(sa.BigInteger, comment="bytes of all files")
    card: Mapped[str] = mapped_column(sa.Text, comment="Markdown with its YAML head, as uploaded")
    card_head: Mapped[Json]
    environment: Mapped[Json] = mapped_column(comment="what the client said of its Python: version and distributions")
    lock: Mapped[Json | None] = mapped_column(comment="countersign.lock/1, once resolved")
    signature: Mapped[Json | None] = mapped_column(comment="tensor schema, once introspected")
    params: Mapped[Json]
    author: Mapped[str] = mapped_column(sa.String(80), comment="actor who trained it, e.g. person:<hex>")
    uploader: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    stage_since: Mapped[created]
    approved_until: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1, comment="ETag")
    model: Mapped[RegisteredModel] = relationship(back_populates="versions", lazy="raise")
    files: Mapped[list["VersionFile"]] = relationship(order_by="VersionFile.path", lazy="raise", viewonly=True)
    metrics: Mapped[list["Metric"]] = relationship(order_by="Metric.name", lazy="raise", viewonly=True)
    tags: Mapped[list["VersionTag"]] = relationship(order_by="VersionTag.key", lazy="raise", viewonly=True)
    aliases: Mapped[list["Alias"]] = relationship(order_by="Alias.name", lazy="raise", viewonly=True)
    reports: Mapped[list["CheckReport"]] = relationship(order_by="CheckReport.position", lazy="raise", viewonly=True)

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012

    def audit_ref(self) -> str:
        return f"version:{self.id.hex}"


class VersionFile(Governed, Base):
    """A file of a version, by digest."""

    __tablename__ = "version_files"

    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), primary_key=True)
    path: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(sa.String(71), index=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)

    def audit_ref(self) -> str:
        return f"version:{self.version_id.hex}"


class Metric(Governed, Base):
    """A number somebody says of a version, or that Countersign measured; which of the two is always told."""

    __tablename__ = "metrics"

    id: Mapped[uuid_pk]
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), index=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    value: Mapped[float]
    dataset: Mapped[str] = mapped_column(sa.String(200), default="")
    higher_is_better: Mapped[bool | None]
    declared_by: Mapped[str] = mapped_column(sa.String(80), comment="actor; countersign when measured")
    measured: Mapped[bool] = mapped_column(default=False)

    def audit_ref(self) -> str:
        return f"version:{self.version_id.hex}"


class VersionTag(Governed, Base):
    """A free key and value on a version; not bound by approvals."""

    __tablename__ = "version_tags"

    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(63), primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(500))

    def audit_ref(self) -> str:
        return f"version:{self.version_id.hex}"


class Alias(Governed, Base):
    """A movable pointer such as ``champion``."""

    __tablename__ = "aliases"

    model_id: Mapped[UUID] = mapped_column(sa.ForeignKey("registered_models.id"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(63), primary_key=True)
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), index=True)
    moved_by: Mapped[str] = mapped_column(sa.String(80))
    moved_at: Mapped[datetime]
    revision: Mapped[int] = mapped_column(default=1)
    version: Mapped[ModelVersion] = relationship(lazy="raise")

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012

    def audit_ref(self) -> str:
        return f"model:{self.model_id.hex}"


class CheckReport(Governed, Base):
    """What one check step found, kept with its digest; the release digest covers it."""

    __tablename__ = "check_reports"

    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), primary_key=True)
    step: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    position: Mapped[int]
    outcome: Mapped[str] = mapped_column(sa.String(10), comment="passed or failed")
    isolation: Mapped[str] = mapped_column(sa.String(10), comment="none, process or container")
    summary: Mapped[str] = mapped_column(sa.Text)
    body: Mapped[Json] = mapped_column(comment="countersign.report/1")
    digest: Mapped[str] = mapped_column(sa.String(71))
    created_at: Mapped[created]

    def audit_ref(self) -> str:
        return f"version:{self.version_id.hex}"


class DeclaredUse(Governed, Base):
    """A team says what it uses a model for; it may then read artifacts and hears of changes."""

    __tablename__ = "declared_uses"

    model_id: Mapped[UUID] = mapped_column(sa.ForeignKey("registered_models.id"), primary_key=True)
    team_id: Mapped[UUID] = mapped_column(sa.ForeignKey("teams.id"), primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(500))
    declared_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    team: Mapped[Team] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"model:{self.model_id.hex}"


class Blob(Base):
    """Bytes in the store. A row without an object, or an object without a row, is reported, never mended silently."""

    __tablename__ = "blobs"

    digest: Mapped[str] = mapped_column(sa.String(71), primary_key=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[created]


class Upload(Base):
    """Who sent which bytes: only they, and those who may read a version that holds them, may refer to them."""

    __tablename__ = "uploads"

    digest: Mapped[str] = mapped_column(sa.ForeignKey("blobs.digest"), primary_key=True)
    actor: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    created_at: Mapped[created]
