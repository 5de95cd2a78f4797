"""Keyset paging: a page begins after the last row of the one before, however long the list is."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from registry.errors import Invalid

T = TypeVar("T")
MAX_LIMIT = 200
DEFAULT_LIMIT = 50


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows and, when there are more, the cursor that continues after them."""

    items: Sequence[T]
    next: str | None


@dataclass(frozen=True)
class Cursor:
    """What a list was asked for: how many rows, after which."""

    limit: int = DEFAULT_LIMIT
    after: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise Invalid(f"limit={self.limit}", hint=f"1 to {MAX_LIMIT}.", errors=[("/limit", f"1-{MAX_LIMIT}")])


def fetch(
    session: Session,
    query: Select[T],
    keys: Sequence[InstrumentedAttribute[Any]],
    cursor: Cursor,
    *,
    descending: bool = True,
) -> Page[T]:
    """Run ``query`` for one page, ordered by ``keys`` (the last of them unique).

    :raises Invalid: a cursor that this list did not give out.
    """
    paged = _paged(query, keys, cursor, descending=descending)
    return _page(list(session.scalars(paged).unique()), keys, cursor)


def fetch_as(
    made: Callable[[Iterable[Any]], T],
    session: Session,
    query: Select[*tuple[Any, ...]],
    keys: Sequence[InstrumentedAttribute[Any]],
    cursor: Cursor,
) -> Page[T]:
    """Like :func:`fetch`, newest first, for columns: each row goes to ``made``, whose results have ``keys``' names.

    The session keeps none of the rows, which halves the cost of a long page.
    """
    paged = _paged(query, keys, cursor, descending=True)
    return _page([made(row) for row in session.connection().execute(paged).all()], keys, cursor)


def _paged(
    query: Select[*tuple[Any, ...]], keys: Sequence[InstrumentedAttribute[Any]], cursor: Cursor, *, descending: bool
) -> Select[*tuple[Any, ...]]:
    """One row more than was asked for: whether there is a next page."""
    if cursor.after:
        query = query.where(_beyond(keys, _decode(cursor.after, keys), descending=descending))
    order = [key.desc() if descending else key.asc() for key in keys]
    return query.order_by(*order).limit(cursor.limit + 1)


def _page(rows: list[T], keys: Sequence[InstrumentedAttribute[Any]], cursor: Cursor) -> Page[T]:
    if len(rows) <= cursor.limit:
        return Page(rows, None)
    rows = rows[: cursor.limit]
    return Page(rows, _encode([getattr(rows[-1], key.key) for key in keys]))


def _beyond(
    keys: Sequence[InstrumentedAttribute[Any]], values: Sequence[Any], *, descending: bool
) -> ColumnElement[bool]:
    """One row-value comparison: both databases start reading their index there.

    Spelled out with OR it is only a filter, and every page reads all the pages before it again.
    """
    row = tuple_(*keys)
    last = tuple_(*(literal(value, key.type) for key, value in zip(keys, values, strict=True)))
    return row < last if descending else row > last


def _encode(values: Sequence[Any]) -> str:
    plain = [
        value.isoformat() if isinstance(value, datetime) else value.hex if isinstance(value, UUID) else value
        for value in values
    ]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _decode(text: str, keys: Sequence[InstrumentedAttribute[Any]]) -> list[Any]:
    try:
        plain = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(plain, list):
            raise TypeError("not a row")
        return [_plain_to(key.type.python_type, value) for key, value in zip(keys, plain, strict=True)]
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise Invalid(
            "that cursor is not one of this list", hint="Start again without a cursor.", errors=[("/cursor", "unknown")]
        ) from error


def _plain_to(kind: type[Any], value: Any) -> Any:
    """The column value that :func:`_encode` wrote; anything else would fail in the database instead of here."""
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment
    if kind is UUID and isinstance(value, str):
        return UUID(value)
    if type(value) is not kind or (kind is int and abs(value) >= 2**63) or (kind is str and "\0" in value):
        raise TypeError("other column")
    return value
