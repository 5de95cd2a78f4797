"""Empty databases for measuring, removed at the end."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql

from registry import schema
from registry.db import Database

POSTGRES = "COUNTERSIGN_TEST_POSTGRES"


def postgres_url() -> str | None:
    """The server that tools/postgres started."""
    return os.environ.get(POSTGRES)


@contextmanager
def sqlite(parent: Path) -> Iterator[Database]:
    """A file below ``parent``, with today's tables."""
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        database = Database(f"sqlite:///{folder}/bench.db")
        schema.upgrade(database)
        try:
            yield database
        finally:
            database.close()


@contextmanager
def postgres(url: str) -> Iterator[Database]:
    """A database beside the one of ``url``, with today's tables."""
    name = f"countersign_bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        database = Database(sa.make_url(url).set(database=name).render_as_string(hide_password=False))
        try:
            schema.upgrade(database)
            yield database
        finally:
            database.close()
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
