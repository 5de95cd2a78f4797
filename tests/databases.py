"""Databases for tests: the migrations run once, then every test gets what they made, as fresh and in milliseconds.

A place is a database that tests use one after another, with its engine and the statements that engine has compiled.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg
import sqlalchemy as sa
from psycopg import sql

from registry import schema
from registry.db import Database
from registry.orm import Base
from tests import factories
from tests.support import require

FILLINGS: dict[str, Callable[[Database], object]] = {
    "empty": lambda database: None,
    "world": factories.build_world,
}
"""What a test's database holds at first, beside its tables."""

TABLES = [table.name for table in Base.metadata.sorted_tables]


class Place(Protocol):
    """A database that can be set back."""

    database: Database

    def fill(self, filling: str) -> None:
        """Set it back to what ``filling`` holds."""

    def close(self) -> None:
        """Remove it."""


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Every statement the database gets meanwhile, of units that read and that write."""
    seen: list[str] = []

    def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    for engine in (database.engine, database.readers):
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in (database.engine, database.readers):
            sa.event.remove(engine, "before_cursor_execute", note)


class SqlitePlace:
    """A file; fillings are copies of it that were set aside."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._path = folder / f"{number}.db"
        self.database = Database(f"sqlite:///{self._path}")
        # No test cuts the power of this machine, and waiting for its disk is most of what a commit takes.
        sa.event.listen(self.database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))

    def fill(self, filling: str) -> None:
        self.database.close()  # the last connection folds the -wal file in
        aside = self._folder / f"{filling}.aside"
        if aside.exists():
            shutil.copyfile(aside, self._path)
            return
        self._path.unlink(missing_ok=True)
        schema.upgrade(self.database)
        FILLINGS[filling](self.database)
        self.database.close()
        shutil.copyfile(self._path, aside)

    def close(self) -> None:
        self.database.close()


class PostgresPlace:
    """A database beside the one of ``COUNTERSIGN_TEST_POSTGRES``; fillings are schemas with copies of its rows."""

    def __init__(self, url: str, number: int) -> None:
        self._name = f"countersign_test_{os.getpid()}_{number}"
        self._server = psycopg.connect(url, autocommit=True)
        self._execute(sql.SQL("CREATE DATABASE {}"), sql.Identifier(self._name))
        here = sa.make_url(url).set(database=self._name).render_as_string(hide_password=False)
        self.database = Database(here)
        schema.upgrade(self.database)
        self._rows = psycopg.connect(here, autocommit=True)
        self._kept: set[str] = set()
        self._keep("empty")

    def _execute(self, statement: sql.SQL, *names: sql.Identifier) -> None:
        self._server.execute(statement.format(*names))

    def _keep(self, filling: str) -> None:
        copies = [f"CREATE TABLE {filling}.{table} AS TABLE public.{table}" for table in TABLES]
        self._rows.execute("; ".join([f"CREATE SCHEMA {filling}", *copies]).encode())
        self._kept.add(filling)

    def fill(self, filling: str) -> None:
        self.database.close()
        self._set_back(filling if filling in self._kept else "empty")
        if filling not in self._kept:
            FILLINGS[filling](self.database)
            self._keep(filling)

    def _set_back(self, filling: str) -> None:
        # A test that failed may have left a thread with locks.
        self._server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            (self._name, self._rows.info.backend_pid),
        )
        circular = [
            f"UPDATE public.{table.name} SET {key.parent.name} = NULL"
            for table in Base.metadata.sorted_tables
            for key in table.foreign_keys
            if key.constraint is not None and key.constraint.use_alter
        ]
        emptied = [f"DELETE FROM public.{table}" for table in reversed(TABLES)]
        filled = [f"INSERT INTO public.{table} SELECT * FROM {filling}.{table}" for table in TABLES]
        self._rows.execute("; ".join(["BEGIN", *circular, *emptied, *filled, "COMMIT"]).encode())

    def close(self) -> None:
        self.database.close()
        self._rows.close()
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)"), sql.Identifier(self._name))
        self._server.close()


class Places:
    """All places of one kind in this process."""

    def __init__(self, make: Callable[[int], Place]) -> None:
        self._make = make
        self._places: list[Place] = []
        self._taken = 0

    def take(self, filling: str) -> Database:
        """The next free place, filled; to be given back with :meth:`give_back`."""
        if self._taken == len(self._places):
            self._places.append(self._make(self._taken))
        place = self._places[self._taken]
        self._taken += 1
        place.fill(filling)
        return place.database

    def give_back(self) -> None:
        """Every place is free again."""
        for place in self._places[: self._taken]:
            place.database.close()
        self._taken = 0

    def close(self) -> None:
        for place in self._places:
            place.close()


def places(kind: str, folder: Path) -> Places:
    """Places of ``kind``, ``sqlite`` or ``postgres``; without a server the test is skipped, or fails."""
    if kind == "sqlite":
        return Places(lambda number: SqlitePlace(folder, number))
    url = os.environ.get("COUNTERSIGN_TEST_POSTGRES")
    if not url:
        require("postgres", "run the tests under tools/postgres, which sets COUNTERSIGN_TEST_POSTGRES")
    return Places(lambda number: PostgresPlace(url, number))
