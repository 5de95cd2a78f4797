"""Doing a request once however often it is sent: the answer to an Idempotency-Key is kept for a day.

After draft-ietf-httpapi-idempotency-key-header-07. The answer is stored in the transaction of the change it tells of,
so there is no moment at which one exists without the other, and a crash leaves no key that is for ever in flight.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from formats import digest as digests
from registry import clock
from registry.access import Actor
from registry.errors import InFlight, KeyReused
from registry.orm.account import IdempotencyKey

LIFETIME = timedelta(hours=24)
SWEPT = 1000
"""Most expired keys that one sweep takes away."""
_TABLE = cast("sa.Table", IdempotencyKey.__table__)
_KEPT = sa.select(_TABLE).where(_TABLE.c.actor == sa.bindparam("actor"), _TABLE.c.key == sa.bindparam("key"))


def _keeping(insert: Any) -> Any:
    """INSERT that takes the place of an expired answer, in a dialect's words; made once, as making it costs more."""
    row = insert(_TABLE)
    said = [column.name for column in _TABLE.c if not column.primary_key]
    return row.on_conflict_do_update(index_elements=["actor", "key"], set_={name: row.excluded[name] for name in said})


_KEEP = {"postgresql": _keeping(postgresql.insert), "sqlite": _keeping(sqlite.insert)}
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True)
class Kept:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Use:
    """A key in use by this transaction; ``kept`` is what was answered before, if it was."""

    actor: str
    key: str
    request_digest: str
    kept: Kept | None


def is_key(text: str) -> bool:
    """Whether a header's value can be a key."""
    return _KEY.fullmatch(text) is not None


def begin(session: Session, *, actor: Actor, key: str, said: bytes) -> Use:
    """Look a key up, at the start of the transaction that does the work.

    :param said: everything that makes the request what it is: method, address, body.
    :raises KeyReused: the key came with another request.
    :raises InFlight: the first request with this key is still running.
    """
    _hold(session, actor.ref, key)
    digest = digests.of_bytes(said)
    row = session.execute(_KEPT, {"actor": actor.ref, "key": key}).one_or_none()
    if row is None or row.created_at < clock.now() - LIFETIME:
        return Use(actor.ref, key, digest, None)
    if row.request_digest != digest:
        raise KeyReused("this Idempotency-Key came with another request", hint="Use a new key for each request.")
    assert row.status is not None
    return Use(actor.ref, key, digest, Kept(row.status, row.headers, row.body or ""))


def keep(session: Session, use: Use, answer: Kept) -> None:
    """Keep what is about to be answered; takes the place of an expired answer."""
    said = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
    said |= {"request_digest": use.request_digest, "created_at": clock.now()}
    session.connection().execute(_KEEP[session.get_bind().dialect.name], {"actor": use.actor, "key": use.key, **said})
    if use.request_digest.endswith("0"):  # one request in sixteen, and no two of them for the same reason
        _sweep(session)


def _hold(session: Session, actor: str, key: str) -> None:
    """Refuse to run beside another request with the key. SQLite has one writer at a time: there the other one is done."""
    if not _is_postgres(session):
        return
    name = sa.func.hashtextextended(f"{actor} {key}", 0)
    if not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(name))):
        raise InFlight("the first request with this Idempotency-Key is still running", hint="Try again in a second.")


def _is_postgres(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _sweep(session: Session) -> None:
    """Take away some keys that expired; those that somebody else is taking away are left to them."""
    old = sa.select(_TABLE.c.actor, _TABLE.c.key).where(_TABLE.c.created_at < clock.now() - LIFETIME).limit(SWEPT)
    old = old.with_for_update(skip_locked=True)
    session.execute(_TABLE.delete().where(sa.tuple_(_TABLE.c.actor, _TABLE.c.key).in_(old)))
