"""Where a version comes from: typed edges, never edited."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from registry.orm.base import Base, Governed, created, uuid_pk


class LineageEdge(Governed, Base):
    """``version`` was trained on, evaluated on, built from, derived from or produced by something."""

    __tablename__ = "lineage_edges"
    __table_args__ = (sa.Index("ix_lineage_edges_source", "kind", "ref"),)

    id: Mapped[uuid_pk]
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), index=True)
    relation: Mapped[str] = mapped_column(sa.String(20))
    kind: Mapped[str] = mapped_column(sa.String(20), comment="dataset, commit, run or version")
    ref: Mapped[str] = mapped_column(sa.String(300), comment="name, URL, commit or team/model:number")
    digest: Mapped[str | None] = mapped_column(sa.String(71))
    parent_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("model_versions.id"), index=True, comment="set when kind is version"
    )
    asserted_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]

    def audit_ref(self) -> str:
        return f"version:{self.version_id.hex}"
