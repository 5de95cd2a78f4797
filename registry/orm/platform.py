"""Platforms that images stand on, changes of them that two people sign, and the wave that moves the images."""

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.account import Person
from registry.orm.approval import Outcome
from registry.orm.base import Base, Governed, Json, created, enum_column, uuid_pk
from registry.orm.image import Image


class ChangeState(enum.StrEnum):
    """Where a platform change stands. ``running`` and ``paused`` are those of its wave."""

    PROPOSED = "proposed"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class MoveState(enum.StrEnum):
    """What came of one image of the list. ``overtaken``: its bundle has another image in front by now."""

    WAITING = "waiting"
    QUEUED = "queued"
    EQUAL = "equal"
    NOT_EQUAL = "not_equal"
    FAILED = "failed"
    OVERTAKEN = "overtaken"


class Platform(Governed, Base):
    """A base, a serving runtime and a serving code that some worker can bake with."""

    __tablename__ = "platforms"

    id: Mapped[uuid_pk]
    digest: Mapped[str] = mapped_column(sa.String(71), unique=True)
    line: Mapped[str] = mapped_column(
        sa.String(71), index=True, comment="digest of its target, and of whether it is the host's own interpreter"
    )
    body: Mapped[Json] = mapped_column(comment="countersign.platform/1")
    wheels: Mapped[Json] = mapped_column(comment="of the serving runtime: name to version")
    worker: Mapped[str] = mapped_column(sa.String(120), comment="who offered it")
    created_at: Mapped[created]
    in_force_at: Mapped[datetime | None] = mapped_column(
        comment="since when bakes of its line use it; the newest counts"
    )
    first_of: Mapped[str | None] = mapped_column(
        sa.String(71), unique=True, comment="its line, when it was there before there was one to change"
    )

    def audit_ref(self) -> str:
        return f"platform:{self.id.hex}"


class PlatformChange(Governed, Base):
    """The question put to two people: may these images stand on another platform?"""

    __tablename__ = "platform_changes"
    __table_args__ = (
        sa.Index(
            "uq_platform_changes_one_open",
            "line",
            unique=True,
            sqlite_where=sa.text("state IN ('proposed', 'running', 'paused')"),
            postgresql_where=sa.text("state IN ('proposed', 'running', 'paused')"),
        ),
    )

    id: Mapped[uuid_pk]
    platform_id: Mapped[UUID] = mapped_column(sa.ForeignKey("platforms.id"), index=True)
    replaces_id: Mapped[UUID] = mapped_column(sa.ForeignKey("platforms.id"), comment="in force when it was proposed")
    line: Mapped[str] = mapped_column(sa.String(71), comment="that of both platforms")
    state: Mapped[ChangeState] = mapped_column(enum_column(ChangeState), default=ChangeState.PROPOSED)
    reason: Mapped[str] = mapped_column(sa.Text)
    images: Mapped[int] = mapped_column(comment="how many the list has")
    images_digest: Mapped[str] = mapped_column(sa.String(71), comment="of the sorted list of image digests")
    digest: Mapped[str] = mapped_column(sa.String(71), comment="of both platforms' and the list's: what is signed")
    proposed_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    closed_at: Mapped[datetime | None] = mapped_column(comment="refused, withdrawn, or the wave has ended")
    platform: Mapped[Platform] = relationship(foreign_keys=[platform_id], lazy="raise")
    replaces: Mapped[Platform] = relationship(foreign_keys=[replaces_id], lazy="raise")
    decisions: Mapped[list["PlatformDecision"]] = relationship(
        order_by="PlatformDecision.decided_at", lazy="raise", viewonly=True
    )

    def audit_ref(self) -> str:
        return f"platform_change:{self.id.hex}"


class PlatformDecision(Governed, Base):
    """A person's signature under a platform change, or their refusal."""

    __tablename__ = "platform_decisions"
    __table_args__ = (sa.UniqueConstraint("change_id", "person_id"),)

    id: Mapped[uuid_pk] = mapped_column(comment="given to the form when it is opened: works once")
    change_id: Mapped[UUID] = mapped_column(sa.ForeignKey("platform_changes.id"))
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), index=True)
    outcome: Mapped[Outcome] = mapped_column(enum_column(Outcome), comment="approve or reject")
    roles: Mapped[Json] = mapped_column(comment="deciding roles the person held when signing")
    reason: Mapped[str] = mapped_column(sa.Text)
    statement: Mapped[Json] = mapped_column(comment="countersign.platform-decision/1, exactly as shown")
    statement_digest: Mapped[str] = mapped_column(sa.String(71))
    method: Mapped[str] = mapped_column(sa.String(40), comment="password+totp: the portal attests it")
    decided_at: Mapped[created]
    person: Mapped[Person] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"platform_change:{self.change_id.hex}"


class PlatformMove(Governed, Base):
    """One image of a change's list, and what came of it. The list is fixed when the change is proposed."""

    __tablename__ = "platform_moves"
    __table_args__ = (
        sa.UniqueConstraint("change_id", "image_id"),
        sa.Index("ix_platform_moves_state", "change_id", "state", "id"),
    )

    id: Mapped[uuid_pk]
    change_id: Mapped[UUID] = mapped_column(sa.ForeignKey("platform_changes.id"))
    image_id: Mapped[UUID] = mapped_column(sa.ForeignKey("images.id"), index=True)
    state: Mapped[MoveState] = mapped_column(enum_column(MoveState), default=MoveState.WAITING)
    report: Mapped[Json | None] = mapped_column(comment="how the new image answered the approved rows")
    error: Mapped[Json | None] = mapped_column(comment="code, message, hint when there is no new image")
    new_image_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("images.id"), index=True)
    ended_at: Mapped[datetime | None]
    change: Mapped[PlatformChange] = relationship(lazy="raise")
    image: Mapped[Image] = relationship(foreign_keys=[image_id], lazy="raise")
    new_image: Mapped[Image | None] = relationship(foreign_keys=[new_image_id], lazy="raise")

    def audit_ref(self) -> str:
        return f"platform_change:{self.change_id.hex}"
