"""The job queue: a table in the same database, so that a job is queued in the transaction that asks for it."""

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from registry.orm.base import Base, Json, created, enum_column, uuid_pk


class JobKind(enum.StrEnum):
    """What a worker can do."""

    CHECK = "check"
    BAKE = "bake"
    REBUILD = "rebuild"
    RESCAN = "rescan"
    ADVISORIES = "advisories"
    MOVE = "move"


class JobState(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Job(Base):
    """A piece of work with a lease. Every write of a worker names the fence; a stale one matches no row."""

    __tablename__ = "jobs"
    __table_args__ = (
        sa.UniqueConstraint("kind", "key"),
        sa.Index("ix_jobs_claim", "state", "run_after"),
    )

    id: Mapped[uuid_pk]
    kind: Mapped[JobKind] = mapped_column(enum_column(JobKind))
    key: Mapped[str] = mapped_column(sa.String(120), comment="digest of the subject: a second request is a no-op")
    subject_id: Mapped[UUID] = mapped_column(
        index=True,
        comment="version to check, build to bake, rebuild, rescan or move to do, bundle of advisories to import",
    )
    state: Mapped[JobState] = mapped_column(enum_column(JobState), default=JobState.QUEUED)
    fence: Mapped[int] = mapped_column(default=0, comment="grows by one with each claim")
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(sa.String(120))
    lease_until: Mapped[datetime | None]
    run_after: Mapped[created]
    error: Mapped[Json | None] = mapped_column(comment="code, message, hint")
    created_at: Mapped[created]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    log_size: Mapped[int] = mapped_column(sa.BigInteger, default=0, comment="bytes of log so far")


class JobStep(Base):
    """A finished step, kept by the digest of its input: a retaken job reuses it."""

    __tablename__ = "job_steps"

    job_id: Mapped[UUID] = mapped_column(sa.ForeignKey("jobs.id"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    input_digest: Mapped[str] = mapped_column(sa.String(71))
    output: Mapped[Json]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]


class JobLog(Base):
    """A piece of a job's log, at its byte offset."""

    __tablename__ = "job_logs"

    job_id: Mapped[UUID] = mapped_column(sa.ForeignKey("jobs.id"), primary_key=True)
    start: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(sa.Text)


class Worker(Base):
    """A worker that reported lately: its isolation and target are what pages and clients are told."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(sa.String(120), primary_key=True)
    isolation: Mapped[str] = mapped_column(sa.String(10))
    note: Mapped[str] = mapped_column(sa.Text, comment="why not containers, when it is a process")
    target: Mapped[Json]
    base: Mapped[str] = mapped_column(sa.String(71))
    seen_at: Mapped[datetime]
