"""What a split or a shadow is there to find out, until when, and what came of it."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.base import Base, Governed, created, uuid_pk
from registry.orm.image import Bundle


class Experiment(Governed, Base):
    """A question put to one route for a time. Once it has ended, its conclusion is all that is still added."""

    __tablename__ = "experiments"
    __table_args__ = (sa.CheckConstraint("starts_at < ends_at", name="lasts"),)

    id: Mapped[uuid_pk]
    bundle_id: Mapped[UUID] = mapped_column(sa.ForeignKey("bundles.id"), index=True)
    route: Mapped[str] = mapped_column(sa.String(63))
    hypothesis: Mapped[str] = mapped_column(sa.Text, comment="what is expected, in words")
    metric: Mapped[str] = mapped_column(sa.String(200), comment="what is looked at to tell")
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(comment="moved to the moment when somebody ended it before its time")
    ended_by: Mapped[str | None] = mapped_column(sa.String(80), comment="who ended it before its time")
    result: Mapped[str | None] = mapped_column(sa.Text, comment="what came of it, once concluded")
    concluded_at: Mapped[datetime | None]
    concluded_by: Mapped[str | None] = mapped_column(sa.String(80))
    created_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    bundle: Mapped[Bundle] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"experiment:{self.id.hex}"
