"""People, teams, roles, sessions and tokens."""

import enum
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.orm.base import Base, Governed, Json, created, enum_column, uuid_pk


class Role(enum.StrEnum):
    """What a person does here. Roles add up; none of them exempts anyone from four eyes."""

    SCIENTIST = "scientist"
    VALIDATOR = "validator"
    COMPLIANCE = "compliance"
    CONSUMER = "consumer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


class Person(Governed, Base):
    """Somebody who signs in. The audit log names them by id only; the name is here and can be erased."""

    __tablename__ = "people"
    ungoverned: ClassVar = frozenset({"failed_logins", "locked_until", "last_login_at"})

    id: Mapped[uuid_pk]
    username: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str] = mapped_column(sa.String(128), comment="as printed under a signature")
    password_hash: Mapped[str | None] = mapped_column(
        sa.String(200), comment="argon2id; empty until the person set one"
    )
    totp_sealed: Mapped[str | None] = mapped_column(sa.String(400), comment="second factor, sealed with the secret key")
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[created]
    last_login_at: Mapped[datetime | None]
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    roles: Mapped[list["RoleGrant"]] = relationship(foreign_keys="RoleGrant.person_id", lazy="raise", viewonly=True)
    teams: Mapped[list["Team"]] = relationship(secondary="team_members", lazy="raise", viewonly=True)

    def audit_ref(self) -> str:
        return f"person:{self.id.hex}"


class Team(Governed, Base):
    """Owns models, bundles and service accounts; the first half of ``team/model``."""

    __tablename__ = "teams"

    id: Mapped[uuid_pk]
    slug: Mapped[str] = mapped_column(sa.String(63), unique=True)
    name: Mapped[str] = mapped_column(sa.String(128))
    created_at: Mapped[created]

    def audit_ref(self) -> str:
        return f"team:{self.id.hex}"


class TeamMember(Governed, Base):
    """A person's membership of a team."""

    __tablename__ = "team_members"

    team_id: Mapped[UUID] = mapped_column(sa.ForeignKey("teams.id"), primary_key=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), primary_key=True, index=True)
    added_at: Mapped[created]

    def audit_ref(self) -> str:
        return f"team:{self.team_id.hex}"


class RoleGrant(Governed, Base):
    """A role given to a person. A deciding role is pending until a second administrator confirms it."""

    __tablename__ = "role_grants"
    __table_args__ = (sa.UniqueConstraint("person_id", "role"),)

    id: Mapped[uuid_pk]
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), index=True)
    role: Mapped[Role] = mapped_column(enum_column(Role))
    proposed_by: Mapped[str] = mapped_column(sa.String(80), comment="actor who asked for it")
    confirmed_by: Mapped[str | None] = mapped_column(sa.String(80), comment="second administrator; empty while pending")
    bootstrap: Mapped[bool] = mapped_column(
        default=False, comment="granted alone, before a second administrator existed"
    )
    created_at: Mapped[created]

    @property
    def in_force(self) -> bool:
        """Whether the role counts."""
        return self.confirmed_by is not None or self.bootstrap

    def audit_ref(self) -> str:
        return f"person:{self.person_id.hex}"


class ServiceAccount(Governed, Base):
    """A pipeline's identity, owned by a team. It can push and submit, never decide."""

    __tablename__ = "service_accounts"
    __table_args__ = (sa.UniqueConstraint("team_id", "name"),)

    id: Mapped[uuid_pk]
    team_id: Mapped[UUID] = mapped_column(sa.ForeignKey("teams.id"))
    name: Mapped[str] = mapped_column(sa.String(63))
    active: Mapped[bool] = mapped_column(default=True)
    created_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    team: Mapped[Team] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"service:{self.id.hex}"


class ApiToken(Governed, Base):
    """A bearer token. Only the hash of its secret is kept; it always expires."""

    __tablename__ = "api_tokens"
    __table_args__ = (sa.CheckConstraint("(person_id IS NULL) <> (service_id IS NULL)", name="one_owner"),)
    ungoverned: ClassVar = frozenset({"last_used_at"})

    id: Mapped[uuid_pk]
    handle: Mapped[str] = mapped_column(sa.String(16), unique=True, comment="public part of the token")
    secret_hash: Mapped[str] = mapped_column(sa.String(64), comment="hex SHA-256 of the secret part (256 random bits)")
    name: Mapped[str] = mapped_column(sa.String(80))
    scopes: Mapped[Json]
    person_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("people.id"), index=True)
    service_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("service_accounts.id"), index=True)
    created_by: Mapped[str] = mapped_column(sa.String(80))
    created_at: Mapped[created]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    person: Mapped[Person | None] = relationship(lazy="raise")
    service: Mapped[ServiceAccount | None] = relationship(lazy="raise")

    def audit_ref(self) -> str:
        return f"token:{self.id.hex}"


class LoginSession(Base):
    """A browser's sign-in, kept on the server so that it can be ended from there."""

    __tablename__ = "login_sessions"

    id: Mapped[uuid_pk]
    secret_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), index=True)
    user_agent: Mapped[str] = mapped_column(sa.String(200), default="")
    created_at: Mapped[created]
    last_seen_at: Mapped[created]
    expires_at: Mapped[datetime]
    second_factor_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    person: Mapped[Person] = relationship(lazy="raise")


class UsedCode(Base):
    """A one-time code that was accepted: the primary key is what makes it one-time."""

    __tablename__ = "used_codes"

    person_id: Mapped[UUID] = mapped_column(sa.ForeignKey("people.id"), primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    step: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False, comment="Unix time / 30 s")


class SetupLink(Base):
    """A one-time link: the first administrator's, or a person's to set password and second factor."""

    __tablename__ = "setup_links"

    id: Mapped[uuid_pk]
    secret_hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    person_id: Mapped[UUID | None] = mapped_column(
        sa.ForeignKey("people.id"), comment="empty: makes the first administrator"
    )
    created_at: Mapped[created]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class IdempotencyKey(Base):
    """The answer already given to a POST with this key, kept for a day."""

    __tablename__ = "idempotency_keys"

    actor: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    request_digest: Mapped[str] = mapped_column(sa.String(71))
    status: Mapped[int | None] = mapped_column(comment="empty while the first request runs")
    headers: Mapped[Json]
    body: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(index=True)
