"""Helpers that every part's tests may use: what a test needs from the machine, and what a refusal must leave alone."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from registry.db import Database
from registry.orm import Base
from registry.orm.audit import AuditEntry, AuditPayload

T = TypeVar("T")

NEEDS = {
    "engine": "a container engine and the base image",
    "browser": "Chromium",
    "postgres": "a PostgreSQL server",
    "index": "a package index",
    "mount": "permission to mount a small file system",
    "namespace": "an empty network namespace",
}


def require(name: Literal["engine", "browser", "postgres", "index", "mount", "namespace"], reason: str) -> NoReturn:
    """This test cannot run here: skip it, or fail where everything must be there (``COUNTERSIGN_TEST_REQUIRE=1``).

    :param reason: what is missing and how to get it.
    """
    message = f"needs {NEEDS[name]}: {reason}"
    if os.environ.get("COUNTERSIGN_TEST_REQUIRE") == "1":
        pytest.fail(f"{message}, and COUNTERSIGN_TEST_REQUIRE=1 skips nothing", pytrace=False)
    pytest.skip(message)


def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Everything stored, table by table."""
    with database.read() as session:
        plain = session.connection().exec_driver_sql  # without turning values into our types: that costs more
        return {
            table.name: sorted((tuple(row) for row in plain(f"SELECT * FROM {table.name}")), key=repr)
            for table in Base.metadata.sorted_tables
        }


@contextmanager
def nothing_changes(database: Database) -> Iterator[None]:
    """Assert that the block leaves every row of every table as it was."""
    before = rows_of(database)
    yield
    after = rows_of(database)
    assert {name for name in before if before[name] != after[name]} == set()


def refused(
    database: Database, error: type[Exception], act: Callable[[Session], object], *, match: str | None = None
) -> Any:
    """Run ``act`` in a unit of work that ``error`` ends, assert that nothing at all was stored; returns the error."""
    with nothing_changes(database), pytest.raises(error, match=match) as caught, database.write() as session:
        act(session)
    return caught.value


def bodies_of(session: Session, action: str) -> list[Any]:
    """What was said with each event of ``action``, oldest first."""
    query = sa.select(AuditPayload.body).join(AuditEntry, AuditEntry.event_id == AuditPayload.event_id)
    return list(session.scalars(query.where(AuditEntry.action == action).order_by(AuditEntry.seq)))


def at_once(*acts: Callable[[], T]) -> list[T | Exception]:
    """Run ``acts`` in threads that start together; each answer, or the exception it raised, in order."""
    start = threading.Barrier(len(acts))
    answers: list[Any] = [None] * len(acts)

    def run(place: int, act: Callable[[], T]) -> None:
        start.wait(10)
        try:
            answers[place] = act()
        except Exception as error:  # noqa: BLE001 - the test looks at what came
            answers[place] = error

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread still waits for a lock after a minute"
    return answers


def kinds(answers: Sequence[Any]) -> list[str]:
    """Names of the types of ``answers``, sorted: which of them were refused, and how."""
    return sorted(type(answer).__name__ for answer in answers)


def schema_faults(schema: str, path: Path, *options: str) -> str:
    """What a published schema, of those that check-jsonschema carries, finds wrong in a file; empty when nothing."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode else ""
