"""What every table shares: naming of constraints, types, and the mark of a governed row."""

import enum
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from registry import clock


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite stores no zone, so it is put back on the way out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use registry.clock.now()")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: sa.Dialect,  # noqa: ARG002 - SQLAlchemy passes it; what SQLite gives does not come here
    ) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any] | None:
        return _of_sqlite if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _of_sqlite(text: str | None) -> datetime | None:
    """Read with its zone at one go: putting the zone on afterwards costs five times as much, and lists hold hundreds."""
    return None if text is None else datetime.fromisoformat(text + "+00:00")


uuid_pk = Annotated[UUID, mapped_column(sa.Uuid, primary_key=True, default=clock.new_id)]
# Not JSONB: that would rewrite numbers (1e16 comes back as an integer), and what is read back must hash as written.
Json = Annotated[Any, mapped_column(sa.JSON)]
created = Annotated[datetime, mapped_column(default=clock.now)]


def enum_column(kind: type[enum.StrEnum]) -> sa.Enum:
    """Stores the value (``in_review``), not the name, without a database type that is hard to extend."""
    return sa.Enum(
        kind,
        native_enum=False,
        length=40,
        create_constraint=False,
        values_callable=lambda e: [member.value for member in e],
    )


class Base(DeclarativeBase):
    """Root of all tables."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, UUID: sa.Uuid, bytes: sa.LargeBinary}


class Governed:
    """Mark of a row that may not change without an audit event that names it (see registry/audit.py)."""

    ungoverned: ClassVar[frozenset[str]] = frozenset()
    """Columns that may change without an event: last-use stamps, counters."""

    def audit_ref(self) -> str:
        """The subject an audit event must name to cover a change of this row, e.g. ``version:<hex>``."""
        raise NotImplementedError


@event.listens_for(Base, "init", propagate=True)
def _assign_id(target: Base, _args: Any, kwargs: dict[str, Any]) -> None:
    """Give a new object its id at once: audit events and child rows name it before the first flush."""
    column = getattr(type(target), "id", None)
    if column is not None and isinstance(column.type, sa.Uuid):
        kwargs.setdefault("id", clock.new_id())
