"""The allow-lists that workers ran with, and what scanning again under a shrunken one found."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.base import Base, Governed, Json, created, uuid_pk
from registry.orm.catalog import ModelVersion


class AllowListSeen(Governed, Base):
    """A list that some worker ran with: what the next one is compared with."""

    __tablename__ = "allow_lists"

    digest: Mapped[str] = mapped_column(sa.String(71), primary_key=True)
    names: Mapped[Json] = mapped_column(comment="name -> ref, new or call, and the names that it may be handed")
    seen_at: Mapped[created] = mapped_column(comment="when it last became the one in use")

    def audit_ref(self) -> str:
        return f"allow-list:{self.digest.removeprefix('sha256:')}"


class Rescan(Governed, Base):
    """A version scanned again, because the list lost names after it was accepted."""

    __tablename__ = "rescans"
    __table_args__ = (sa.UniqueConstraint("version_id", "allow_list"),)

    id: Mapped[uuid_pk]
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), index=True)
    allow_list: Mapped[str] = mapped_column(sa.ForeignKey("allow_lists.digest"), index=True)
    outcome: Mapped[str | None] = mapped_column(sa.String(10), comment="passed or failed; empty while it waits")
    findings: Mapped[Json] = mapped_column(comment="of the failed scan: code, message, hint")
    created_at: Mapped[created]
    ended_at: Mapped[datetime | None]
    version: Mapped[ModelVersion] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"version:{self.version_id.hex}"
