"""Bundles and their routes, builds, and the images that came of them."""

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.account import Team
from registry.orm.base import Base, Governed, Json, created, enum_column, uuid_pk
from registry.orm.catalog import ModelVersion, RegisteredModel


class Rebuild(enum.StrEnum):
    """What an approval does to a bundle that follows the model."""

    AUTO = "auto"
    PROPOSE = "propose"


class MemberRole(enum.StrEnum):
    """What a version does on a route: answer, or be asked a copy of requests whose answers nobody gets."""

    PRIMARY = "primary"
    SHADOW = "shadow"


class BuildState(enum.StrEnum):
    """Where a build stands. ``proposed`` waits for the bundle's owner."""

    PROPOSED = "proposed"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class RebuildState(enum.StrEnum):
    """How a rebuild of a released image ended; ``queued`` until then."""

    QUEUED = "queued"
    EQUAL = "equal"
    DIFFERS = "differs"
    FAILED = "failed"


class Bundle(Governed, Base):
    """A named set of routes baked into one serving container."""

    __tablename__ = "bundles"
    __table_args__ = (sa.UniqueConstraint("team_id", "name"),)

    id: Mapped[uuid_pk]
    team_id: Mapped[UUID] = mapped_column(sa.ForeignKey("teams.id"))
    name: Mapped[str] = mapped_column(sa.String(63))
    full_name: Mapped[str] = mapped_column(sa.String(127), unique=True, comment="team/name")
    rebuild: Mapped[Rebuild] = mapped_column(enum_column(Rebuild), default=Rebuild.AUTO)
    current_image_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("images.id", use_alter=True))
    created_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    changed_at: Mapped[created]
    revision: Mapped[int] = mapped_column(default=1)
    team: Mapped[Team] = relationship(lazy="raise")
    members: Mapped[list["RouteMember"]] = relationship(
        order_by="RouteMember.position", lazy="raise", back_populates="bundle", cascade="all, delete-orphan"
    )
    current_image: Mapped["Image | None"] = relationship(foreign_keys=[current_image_id], lazy="raise", viewonly=True)

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012

    def audit_ref(self) -> str:
        return f"bundle:{self.id.hex}"


class RouteMember(Governed, Base):
    """One member of a route: a pinned version, or whatever version is approved (or aliased) at the time."""

    __tablename__ = "route_members"
    __table_args__ = (
        sa.UniqueConstraint("bundle_id", "position"),
        sa.CheckConstraint("weight BETWEEN min_weight AND max_weight", name="weight_in_bounds"),
        sa.CheckConstraint("min_weight >= 0", name="bounds_positive"),
    )

    id: Mapped[uuid_pk]
    bundle_id: Mapped[UUID] = mapped_column(sa.ForeignKey("bundles.id"), index=True)
    position: Mapped[int] = mapped_column(comment="order within the bundle; sticky choice follows it")
    route: Mapped[str] = mapped_column(sa.String(63), comment="public model name in the container")
    model_id: Mapped[UUID] = mapped_column(sa.ForeignKey("registered_models.id"), index=True)
    version_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("model_versions.id"), comment="pinned")
    follow: Mapped[str | None] = mapped_column(sa.String(63), comment="approved, or an alias; empty when pinned")
    role: Mapped[MemberRole] = mapped_column(
        enum_column(MemberRole), default=MemberRole.PRIMARY, server_default=MemberRole.PRIMARY.value
    )
    weight: Mapped[int] = mapped_column(comment="per cent of the route; of a shadow: of its requests that are copied")
    min_weight: Mapped[int] = mapped_column(default=0)
    max_weight: Mapped[int] = mapped_column(default=100)
    bundle: Mapped[Bundle] = relationship(back_populates="members", lazy="raise")
    model: Mapped[RegisteredModel] = relationship(lazy="raise")
    version: Mapped[ModelVersion | None] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"bundle:{self.bundle_id.hex}"


class Build(Governed, Base):
    """One baking of a bundle: exactly these versions in these shares."""

    __tablename__ = "builds"
    __table_args__ = (sa.Index("ix_builds_state", "state", "id"),)

    id: Mapped[uuid_pk]
    bundle_id: Mapped[UUID] = mapped_column(sa.ForeignKey("bundles.id"), index=True)
    state: Mapped[BuildState] = mapped_column(enum_column(BuildState), default=BuildState.QUEUED)
    recipe: Mapped[Json] = mapped_column(comment="routes, resolved to version ids, numbers, digests and weights")
    recipe_digest: Mapped[str] = mapped_column(sa.String(71), index=True)
    job_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("jobs.id"))
    requested_by: Mapped[str] = mapped_column(sa.String(80))
    reason: Mapped[str] = mapped_column(sa.String(200), comment="what asked for it, in words")
    error: Mapped[Json | None] = mapped_column(comment="code, message, hint of the failure")
    image_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("images.id", use_alter=True))
    created_at: Mapped[created]
    finished_at: Mapped[datetime | None]
    bundle: Mapped[Bundle] = relationship(lazy="raise")
    image: Mapped["Image | None"] = relationship(foreign_keys=[image_id], lazy="raise")

    def audit_ref(self) -> str:
        return f"build:{self.id.hex}"


class Image(Governed, Base):
    """A baked image: its digest is predicted before assembly and names exactly what runs."""

    __tablename__ = "images"

    id: Mapped[uuid_pk]
    bundle_id: Mapped[UUID] = mapped_column(sa.ForeignKey("bundles.id"), index=True)
    digest: Mapped[str] = mapped_column(
        sa.String(71), unique=True, comment="of the OCI manifest over uncompressed layers"
    )
    engine_id: Mapped[str] = mapped_column(sa.String(71), comment="config digest: what an engine reports as image ID")
    isolation: Mapped[str] = mapped_column(sa.String(10), comment="container, or process when the base is the host")
    base: Mapped[str] = mapped_column(sa.String(71), comment="digest of the base image, or host")
    target: Mapped[Json]
    platform: Mapped[str | None] = mapped_column(
        sa.String(71), comment="digest of what it stands on beside its models; empty: baked before platforms were kept"
    )
    size: Mapped[int] = mapped_column(sa.BigInteger, comment="bytes of all layers, uncompressed")
    layers: Mapped[Json] = mapped_column(comment="[{diff_id, size, what}] in order")
    config: Mapped[str] = mapped_column(sa.Text, comment="OCI config, the exact bytes")
    manifest: Mapped[str] = mapped_column(sa.Text, comment="OCI manifest, the exact bytes")
    sealed: Mapped[Json] = mapped_column(comment="the sealed manifest inside the image")
    sbom: Mapped[Json] = mapped_column(comment="CycloneDX ML-BOM")
    provenance: Mapped[Json] = mapped_column(comment="DSSE envelope of the SLSA provenance")
    smoke: Mapped[Json] = mapped_column(comment="report of the smoke test before release")
    key_fingerprint: Mapped[str] = mapped_column(sa.String(71), comment="of the key that sealed the manifest")
    reference: Mapped[str | None] = mapped_column(
        sa.String(300), comment="registry/repository@sha256:..., where a registry is configured"
    )
    model_signatures: Mapped[Json | None] = mapped_column(
        comment="OpenSSF model signature of each version, by its name"
    )
    freed_at: Mapped[datetime | None] = mapped_column(
        comment="since when its layers are not kept; a rebuild brings them back"
    )
    created_at: Mapped[created]
    bundle: Mapped[Bundle] = relationship(foreign_keys=[bundle_id], lazy="raise")
    members: Mapped[list["ImageMember"]] = relationship(lazy="raise", viewonly=True)

    def audit_ref(self) -> str:
        return f"image:{self.id.hex}"


class ImageMember(Governed, Base):
    """A version inside an image: the last edge of lineage, and what recall asks."""

    __tablename__ = "image_members"

    image_id: Mapped[UUID] = mapped_column(sa.ForeignKey("images.id"), primary_key=True)
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), primary_key=True, index=True)
    image: Mapped[Image] = relationship(lazy="raise")
    version: Mapped[ModelVersion] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"image:{self.image_id.hex}"


class ImageRebuild(Governed, Base):
    """One baking of a released image anew from what was recorded, to see whether the same bytes come out."""

    __tablename__ = "image_rebuilds"

    id: Mapped[uuid_pk]
    image_id: Mapped[UUID] = mapped_column(sa.ForeignKey("images.id"), index=True)
    state: Mapped[RebuildState] = mapped_column(enum_column(RebuildState), default=RebuildState.QUEUED)
    requested_by: Mapped[str] = mapped_column(sa.String(80))
    found_digest: Mapped[str | None] = mapped_column(sa.String(71), comment="image digest that came out")
    difference: Mapped[Json | None] = mapped_column(comment="first layer that differs: role, path, expected, found")
    error: Mapped[Json | None] = mapped_column(comment="code, message, hint when nothing came out")
    created_at: Mapped[created]
    finished_at: Mapped[datetime | None]
    image: Mapped[Image] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"image:{self.image_id.hex}"
