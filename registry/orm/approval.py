"""Policies, release requests, their dossier, and decisions."""

import enum
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.account import Person
from registry.orm.base import Base, Governed, Json, created, enum_column, uuid_pk
from registry.orm.catalog import ModelVersion


class RequestState(enum.StrEnum):
    """Where a release request stands."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"
    CHANGES_REQUESTED = "changes_requested"
    APPROVED = "approved"
    REJECTED = "rejected"


class Outcome(enum.StrEnum):
    """What a person decided."""

    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"


class PolicyRevision(Governed, Base):
    """One revision of a policy; a request keeps the one it was submitted under."""

    __tablename__ = "policy_revisions"
    __table_args__ = (sa.UniqueConstraint("name", "revision"),)

    id: Mapped[uuid_pk]
    name: Mapped[str] = mapped_column(sa.String(63))
    revision: Mapped[int]
    body: Mapped[Json] = mapped_column(comment="countersign.policy/1")
    digest: Mapped[str] = mapped_column(sa.String(71))
    created_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]

    def audit_ref(self) -> str:
        return f"policy:{self.id.hex}"


class ReleaseRequest(Governed, Base):
    """The question put to the reviewers: may this version be released, for these uses, there?"""

    __tablename__ = "release_requests"
    __table_args__ = (
        sa.Index(
            "uq_release_requests_one_open",
            "version_id",
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        ),
        sa.Index("ix_release_requests_state", "state", "id"),
    )

    id: Mapped[uuid_pk]
    version_id: Mapped[UUID] = mapped_column(sa.ForeignKey("model_versions.id"), index=True)
    policy_id: Mapped[UUID] = mapped_column(sa.ForeignKey("policy_revisions.id"))
    state: Mapped[RequestState] = mapped_column(enum_column(RequestState), default=RequestState.OPEN)
    release_digest: Mapped[str] = mapped_column(sa.String(71))
    dossier_digest: Mapped[str] = mapped_column(sa.String(71))
    requested_by: Mapped[str] = mapped_column(sa.String(80))
    note: Mapped[str] = mapped_column(sa.Text, default="")
    uses: Mapped[Json]
    prohibited_uses: Mapped[Json]
    limits: Mapped[Json]
    environments: Mapped[Json]
    created_at: Mapped[created]
    closed_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1)
    version: Mapped[ModelVersion] = relationship(lazy="raise")
    policy: Mapped[PolicyRevision] = relationship(lazy="raise")
    decisions: Mapped[list["Decision"]] = relationship(order_by="Decision.decided_at", lazy="raise", viewonly=True)
    dossier: Mapped[list["DossierEntry"]] = relationship(order_by="DossierEntry.position", lazy="raise", viewonly=True)

    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012

    def audit_ref(self) -> str:
        return f"request:{self.id.hex}"


class DossierEntry(Governed, Base):
    """Something a person added to a request. The list only grows; its digest is what decisions name."""

    __tablename__ = "dossier_entries"
    __table_args__ = (sa.UniqueConstraint("request_id", "position"),)

    id: Mapped[uuid_pk]
    request_id: Mapped[UUID] = mapped_column(sa.ForeignKey("release_requests.id"), index=True)
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(
        sa.String(20), comment="request, comment, answer, evidence, validation, finding, condition"
    )
    author: Mapped[str] = mapped_column(sa.String(80))
    text: Mapped[str] = mapped_column(sa.Text)
    about: Mapped[str | None] = mapped_column(sa.String(40), comment="code of the notice that an answer answers")
    digest: Mapped[str] = mapped_column(sa.String(71), comment="of the canonical entry and the one before it")
    created_at: Mapped[created]

    def audit_ref(self) -> str:
        return f"request:{self.request_id.hex}"


class Decision(Governed, Base):
    """A person's signature under one exact statement. Voided, never deleted, when what it covered changed."""

    __tablename__ = "decisions"
    __table_args__ = (
        sa.Index(
            "uq_decisions_one_standing",
            "request_id",
            "person_id",
            unique=True,
            sqlite_where=sa.text("voided_at IS NULL"),
            postgresql_where=sa.text("voided_at IS NULL"),
        ),
    )

    id: Mapped[uuid_pk] = mapped_column(comment="given to the form when it is opened: works once")
    request_id: Mapped[UUID] = mapped_column(sa.ForeignKey("release_requests.id"), index=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), index=True)
    outcome: Mapped[Outcome] = mapped_column(enum_column(Outcome))
    roles: Mapped[Json] = mapped_column(comment="deciding roles the person held when signing")
    reason: Mapped[str] = mapped_column(sa.Text)
    statement: Mapped[Json] = mapped_column(comment="countersign.decision/1, exactly as shown")
    statement_digest: Mapped[str] = mapped_column(sa.String(71))
    release_digest: Mapped[str] = mapped_column(sa.String(71))
    dossier_digest: Mapped[str] = mapped_column(sa.String(71))
    method: Mapped[str] = mapped_column(sa.String(40), comment="password+totp: the portal attests it")
    decided_at: Mapped[created]
    voided_at: Mapped[datetime | None]
    void_reason: Mapped[str | None] = mapped_column(sa.String(200))
    person: Mapped[Person] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"request:{self.request_id.hex}"
