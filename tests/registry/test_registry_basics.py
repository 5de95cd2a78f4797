"""Small things everything stands on: ids, times, names, locks, units of work, and the seam for killing."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from registry import accounts, audit, clock, errors, faults, names, schema
from registry.access import SYSTEM
from registry.db import Database
from registry.errors import Invalid
from registry.locking import lock
from registry.orm.account import Person, Team
from registry.orm.base import UtcDateTime
from registry.settings import Settings
from registry.store import LocalStore
from tests.support import at_once, refused

ROOT = Path(__file__).resolve().parents[2]

# --------------------------------------------------------------------------------------------------- ids and times


def test_ids_are_version_7_and_sort_by_creation():
    made = [clock.new_id() for _ in range(2000)]
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    assert len(set(made)) == len(made)
    ticks = [one.int >> 64 for one in made]
    assert ticks == sorted(ticks), "also within one millisecond"
    assert abs((made[-1].int >> 80) / 1000 - time.time()) < 1


def test_moments_are_told_in_utc():
    moment = datetime(2026, 11, 22, 10, 41, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert clock.rfc3339(moment) == "2026-11-22T09:41:00Z"
    assert clock.now().tzinfo is UTC


FIRST, LAST = datetime(1970, 1, 2), datetime(2100, 1, 1)  # noqa: DTZ001 - the zone is what varies
ZONES = [UTC, timezone(timedelta(hours=-11)), timezone(timedelta(hours=5, minutes=45))]


@given(st.datetimes(FIRST, LAST, timezones=st.sampled_from(ZONES)))
def test_a_stored_moment_comes_back_as_the_same_one(moment):
    kind = UtcDateTime()
    for dialect in (sa.dialects.sqlite.dialect(), sa.dialects.postgresql.dialect()):
        stored = kind.process_bind_param(moment, dialect)
        assert kind.process_result_value(stored, dialect) == moment


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        UtcDateTime().process_bind_param(FIRST, sa.dialects.sqlite.dialect())


# --------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("text", ["a", "1", "a-b", "x" * 63, "feedback-voice-2"])
def test_names_that_fit(text):
    assert names.slug(text, what="model") == text


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a.b", "ä", "x" * 64, "a\n", " a", "a/b", "\x00"])
def test_names_that_do_not_fit(text):
    with pytest.raises(Invalid) as caught:
        names.slug(text, what="model", pointer="/here")
    assert caught.value.hint
    assert caught.value.errors[0][0] == "/here"


@given(st.text())
def test_any_text_is_a_name_or_refused(text):
    for check in (lambda: names.slug(text, what="x"), lambda: names.username(text), lambda: names.split_model(text)):
        try:
            check()
        except Invalid:
            continue
        assert text == text.lower().strip()


def test_free_text_is_stripped_and_measured():
    assert names.text("  a ", what="x", pointer="/x", most=1) == "a"
    for value in ("ab", "\x00", "\ud800"):
        with pytest.raises(Invalid):
            names.text(value, what="x", pointer="/x", most=1)
    with pytest.raises(Invalid, match="0 characters"):
        names.text("  ", what="x", pointer="/x", least=1, most=9)


# --------------------------------------------------------------------------------------------------- errors


def all_errors(root=errors.RegistryError):
    return [root, *(found for child in root.__subclasses__() for found in all_errors(child))]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_every_error_has_a_code_and_a_title_that_people_read(error):
    assert error.code == error.code.lower().strip()
    assert " " not in error.code
    assert error.title[0].isupper()
    assert not error.title.endswith(".")


# --------------------------------------------------------------------------------------------------- units of work


def add(session, slug):
    team = Team(slug=slug, name="x")
    session.add(team)
    audit.record(session, audit.Action.TEAM_ADDED, actor=SYSTEM, subject=team)
    return team


def test_a_unit_is_stored_whole_or_not_at_all(database):
    def breaks(session):
        add(session, "kept-not")
        session.flush()
        raise KeyError

    refused(database, KeyError, breaks)
    with database.write() as session:
        add(session, "kept")
    with database.read() as session:
        assert list(session.scalars(sa.select(Team.slug))) == ["kept"]


def test_what_was_loaded_stays_readable_after_its_unit(world):
    with world.read() as session:
        person = accounts.load_person(session, username="ana")
    assert person.name == "Ana"
    assert [team.slug for team in person.teams] == ["payments"]


def test_who_locks_a_row_second_sees_what_the_first_left(world):
    held, go = threading.Event(), threading.Event()

    def first():
        with world.write() as session:
            row = accounts.get_team(session, "payments")
            lock(session, row)
            held.set()
            go.wait(10)
            row.name = "Renamed"
            audit.record(session, audit.Action.TEAM_ADDED, actor=SYSTEM, subject=row)

    def second():
        held.wait(10)
        threading.Timer(0.2, go.set).start()
        with world.write() as session:
            row = accounts.get_team(session, "payments")
            lock(session, row)
            return row.name

    assert at_once(first, second)[1] == "Renamed"


def test_a_locked_row_can_still_be_referred_to(world):
    """A row that refers to a locked one is inserted meanwhile: else two services would wait for each other."""
    if world.database.is_sqlite:
        assert world.database.engine.dialect.name == "sqlite", "here one unit writes at a time in any case"
        return
    with world.write() as session:
        lock(session, accounts.get_team(session, "payments"))
        with world.write() as other:
            person = accounts.load_person(other, username="nil")
            accounts.add_member(other, accounts.get_team(other, "payments"), person, actor=world.root)
    with world.read() as session:
        assert accounts.load_person(session, username="nil").teams


def test_readers_are_not_held_up_by_a_writer(world):
    with world.write() as session:
        add(session, "risk")
        session.flush()
        with world.read() as other:
            assert other.scalar(sa.select(sa.func.count()).select_from(Person)) == len(world.actors)
            assert other.scalars(sa.select(Team).where(Team.slug == "risk")).first() is None


def test_foreign_keys_are_kept(world):
    def orphan(session):
        session.execute(sa.text("INSERT INTO uploads (digest, actor, created_at) VALUES ('x', 'y', '2026-01-01')"))

    refused(world.database, sa.exc.IntegrityError, orphan)


def test_the_embedded_database_survives_power_cuts_by_its_settings(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    database.close()
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15_000}


def test_another_process_that_closes_the_file_leaves_us_our_journal(tmp_path):
    """The last one to close it removes the journal: our lock, which any ``close()`` of the file would drop, says we are there."""
    file = tmp_path / "x.db"
    database = Database(f"sqlite:///{file}")
    schema.upgrade(database)
    with database.engine.connect(), database.readers.connect():
        pass  # both stay open in their pools
    other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM teams'); c.close()"
    subprocess.run([sys.executable, "-c", other, file], check=True)
    assert Path(f"{file}-wal").exists()
    database.close()


def test_other_users_of_the_host_cannot_read_database_and_store(tmp_path):
    usual = os.umask(0o022)
    try:
        database = Database(f"sqlite:///{tmp_path / 'x.db'}")
        schema.upgrade(database)
        LocalStore(tmp_path / "data" / "store")
        Settings.load({"COUNTERSIGN_DATA_DIR": str(tmp_path / "new")})
    finally:
        os.umask(usual)
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("x.db*")} == dict.fromkeys(
        ("x.db", "x.db-shm", "x.db-wal"), 0
    )
    database.close()
    assert not (tmp_path / "data" / "store").stat().st_mode & 0o077
    assert not (tmp_path / "new" / "keys").stat().st_mode & 0o077


@pytest.mark.parametrize(
    ("url", "sqlite"),
    [
        ("sqlite:////tmp/x.db", True),
        ("postgresql://u:p@h/d", False),
        ("postgresql+psycopg://u:p@h/d", False),
    ],
)
def test_a_url_says_which_database_it_is(url, sqlite):
    database = Database(url)
    assert database.is_sqlite is sqlite
    assert "p@h" not in repr(database.url)
    database.close()


# --------------------------------------------------------------------------------------------------- faults

PROGRAM = "from registry import faults\nfor point in ('a', 'b', 'a', 'a'):\n    faults.reach(point)\nprint('alive')"


def run(tmp_path, **environ):
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=False)


def test_a_process_can_be_killed_at_a_point(tmp_path):
    log = tmp_path / "log"
    done = run(tmp_path, COUNTERSIGN_FAULT="a:2", COUNTERSIGN_FAULT_LOG=str(log))
    assert done.returncode == -signal.SIGKILL
    assert log.read_text().split() == ["a:1", "b:1", "a:2"]
    assert run(tmp_path, COUNTERSIGN_FAULT="a:9").stdout == "alive\n"


def test_without_the_setting_nothing_happens(tmp_path):
    assert run(tmp_path).stdout == "alive\n"
    faults.reach("nowhere")
    assert not faults._seen


# ------------------------------------------------------------------------------------------------------- passwords


def test_a_password_is_stored_as_argon2id_at_its_full_cost():
    """In a process of its own: these tests hash cheaply."""
    program = "from registry import vault; print(vault.hash_password('correct horse'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    kind, version, cost = done.stdout.split("$")[1:4]
    assert (kind, version) == ("argon2id", "v=19")
    spent = {name: int(value) for name, value in (part.split("=") for part in cost.split(","))}
    assert spent["m"] >= 64 * 1024  # KiB
    assert spent["t"] >= 3
