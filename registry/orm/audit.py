"""The audit log: an RFC 6962 Merkle log in our own tables."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from registry.orm.base import Base, Json


class AuditEntry(Base):
    """One leaf: its envelope's exact bytes, and copies of fields to search by."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        sa.Index("ix_audit_entries_subject", "subject", "seq"),
        sa.Index("ix_audit_entries_action", "action", "seq"),
    )

    seq: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    event_id: Mapped[UUID] = mapped_column(unique=True)
    envelope: Mapped[bytes] = mapped_column(comment="canonical JSON; the leaf is its RFC 6962 hash")
    leaf_hash: Mapped[bytes]
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(80), index=True)
    action: Mapped[str] = mapped_column(sa.String(60))
    subject: Mapped[str] = mapped_column(sa.String(80))
    digest: Mapped[str | None] = mapped_column(sa.String(71))


class AuditPayload(Base):
    """What was said, beside the log: erasing salt and body unlinks them and breaks no proof."""

    __tablename__ = "audit_payloads"

    event_id: Mapped[UUID] = mapped_column(sa.ForeignKey("audit_entries.event_id"), primary_key=True)
    salt: Mapped[bytes]
    body: Mapped[Json]
    erased_at: Mapped[datetime | None]


class AuditHead(Base):
    """One row: the size of the log and the frontier of its tree. Locked last in every write."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    frontier: Mapped[bytes]


class AuditCheckpoint(Base):
    """A signed head."""

    __tablename__ = "audit_checkpoints"

    size: Mapped[int] = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    frontier: Mapped[bytes] = mapped_column(comment="of the tree at that size: the next signature continues from it")
    note: Mapped[str] = mapped_column(sa.Text)
    signed_at: Mapped[datetime]
