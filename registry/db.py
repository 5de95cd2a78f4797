"""Engine, sessions and units of work, the same for SQLite and PostgreSQL.

Units that read have connections of their own, which cannot write: SQLite's are ``query_only``, PostgreSQL's are read-only.
A unit that writes takes its lock at once (``BEGIN IMMEDIATE``): a deferred SQLite transaction that turns writer late
fails as busy.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from registry import audit, faults
from registry.errors import Invalid

BUSY_MS = 15_000
RESTED_SECONDS = 1.0
"""A PostgreSQL connection that was idle for longer is tried before it is used."""


class Database:
    """One database: ``with database.write() as session`` commits at the end, ``read()`` cannot write."""

    def __init__(self, url: str) -> None:
        """Open the pool. No connection is made yet.

        :param url: SQLAlchemy URL; ``sqlite:///file`` or ``postgresql://...`` (psycopg 3).
        """
        self.url = sa.make_url(url)
        make = _sqlite_engine if self.is_sqlite else _postgres_engine
        self.engine = make(self.url, reading=False)
        self.readers = make(self.url, reading=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database (one host, one writer at a time)."""
        return self.url.get_backend_name() == "sqlite"

    def session(self, *, write: bool) -> Session:
        """A new session; the caller commits and closes. Prefer :meth:`read` and :meth:`write`."""
        if write:
            return _WritingSession(self.engine, expire_on_commit=False)
        return Session(self.readers, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only unit of work; what was loaded stays readable after it.

        On SQLite all of it sees one moment. On PostgreSQL each statement sees its own, as in READ COMMITTED.
        """
        with self.session(write=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A unit of work: all of it is stored at the end, or nothing is."""
        with self.session(write=True) as session:
            yield session
            commit(session)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()
        self.readers.dispose()


class _WritingSession(Session):
    """Refuses changes that no audit event tells of."""


audit.guard(_WritingSession)


def commit(session: Session) -> None:
    """Commit; a seam for failure tests before and after."""
    faults.reach("before-commit")
    session.commit()
    faults.reach("after-commit")


_TOO_LONG, _OUT_OF_RANGE, _BAD_CHARACTERS = "22001", "22003", ("22021", "22P05")


def _refuse_unstorable(context: ExceptionContext) -> None:
    """A value that no column holds is the sender's fault, whichever door it came through; told without the SQL."""
    error = context.original_exception
    if isinstance(context.sqlalchemy_exception, DataError):
        unstorable = getattr(error, "sqlstate", None) in (None, _TOO_LONG, _OUT_OF_RANGE, *_BAD_CHARACTERS)
    else:
        unstorable = isinstance(error, UnicodeEncodeError | OverflowError)
    if unstorable:
        raise Invalid(
            f"a value cannot be stored: {str(error).splitlines()[0]}",
            hint="Take out NUL and broken characters, and shorten what is very long or large.",
        ) from error


def _sqlite_engine(url: sa.URL, *, reading: bool) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_MS / 1000}, pool_size=8, max_overflow=24)
    event.listen(engine, "handle_error", _refuse_unstorable)
    pragmas = ["journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", f"busy_timeout={BUSY_MS}"]
    if reading:  # for good: turned on and off for each unit, it makes SQLite prepare every statement anew
        pragmas.append("query_only=ON")

    @event.listens_for(engine, "do_connect")
    def keep_private(_dialect: Any, _record: Any, given: list[Any], _named: Any) -> None:
        """SQLite makes a missing file, and its journal after it, so that every user of the host may read them."""
        # One that is there is not opened: closing it again would take SQLite's locks on it from the whole process.
        with suppress(OSError):  # SQLite says itself what is wrong with the name
            os.close(os.open(given[0], os.O_CREAT | os.O_EXCL, 0o600))

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if reading:  # straight to the driver, as every request pays for it; this cannot find the file busy
            driver: Any = connection.connection.dbapi_connection
            driver.execute("BEGIN")
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgres_engine(url: sa.URL, *, reading: bool) -> sa.Engine:
    # One stuck worker must not freeze every writer behind the audit head.
    options = "-c lock_timeout=15s -c idle_in_transaction_session_timeout=60s -c timezone=UTC"
    kept: dict[str, Any] = {}
    if reading:
        # No BEGIN and no COMMIT: two round trips of every request, for nothing that READ COMMITTED would give.
        options += " -c default_transaction_read_only=on"
        kept["isolation_level"] = "AUTOCOMMIT"
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={"options": options},
        pool_size=8,
        max_overflow=24,
        pool_use_lifo=True,  # the connection used last knows the statements prepared last
        **kept,
    )
    event.listen(engine, "handle_error", _refuse_unstorable)

    @event.listens_for(engine, "checkin")
    def rest(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def wake(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        # What pool_pre_ping does, but not for a connection that worked a moment ago: two round trips of every request.
        if time.monotonic() - record.info.get("rests_since", -math.inf) < RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("the connection died while it rested") from error  # the pool opens another

    return engine
