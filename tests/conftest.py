"""Fixtures that every part's tests share: databases of both kinds, a store, and a small company of people."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser
from sqlalchemy.orm import Session

from formats import keys
from registry import vault as vaults
from registry.db import Database
from registry.store import LocalStore
from tests import databases, factories, windows

# A timed test says more of the machine than of the code.
hypothesis.settings.register_profile("ours", deadline=None, print_blob=True)
hypothesis.settings.load_profile("ours")

# Nearly every test of a page signs in, and a real hash takes a tenth of a second; it has a test of its own.
vaults._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

SQLITE = "sqlite"
POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(scope="session")
def places_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], databases.Places]]:
    """Databases by kind, made when first asked for; each worker of a parallel run has its own."""
    made: dict[str, databases.Places] = {}

    def of(kind: str) -> databases.Places:
        if kind not in made:
            made[kind] = databases.places(kind, tmp_path_factory.mktemp(kind))
        return made[kind]

    yield of
    for places in made.values():
        places.close()


@pytest.fixture(params=[SQLITE, POSTGRES])
def databases_of_a_kind(
    request: pytest.FixtureRequest, places_of: Callable[[str], databases.Places]
) -> Iterator[databases.Places]:
    """For tests that need several: ``take("empty")`` has the tables only, ``take("world")`` people and a policy too."""
    places = places_of(request.param)
    yield places
    places.give_back()


@pytest.fixture
def database(request: pytest.FixtureRequest, databases_of_a_kind: databases.Places) -> Database:
    """A database of its own for this test, on SQLite and on PostgreSQL; it holds the world where the test asks for that."""
    return databases_of_a_kind.take("world" if "world" in request.fixturenames else "empty")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def world(database: Database, store: LocalStore) -> factories.World:
    """A company with two administrators, two teams and somebody of every role; see :class:`tests.factories.World`."""
    return factories.World.load(database, store)


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A unit of work that is undone at the end; on SQLite no other unit can write while it is used."""
    with database.session(write=True) as session:
        yield session
        session.rollback()


@pytest.fixture
def signer(tmp_path: Path) -> keys.FileSigner:
    return keys.generate(tmp_path / "key.pem")


@pytest.fixture
def vault() -> vaults.Vault:
    return vaults.Vault("a secret key only for tests, 32 or more")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for a module: while it runs, its thread has an event loop, which other modules' tests want for themselves."""
    with windows.started() as browser:
        yield browser


PROGRAMS = frozenset({"trained", "serve", "server", "dated", "zoned", "process_sandbox"})
"""Fixtures that train models, serve them, or run them in a sandbox."""
FULL_OF_PROGRAMS = [Path(__file__).parent / folder for folder in ("e2e", "examples")]
"""Folders whose tests do, nearly all."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of the engine look at what is on it, so they run one after another; those of a module share one browser.

    What is for a soak only is left out of other runs, not skipped: a skipped test is one that could not run.
    """
    for item in items:
        if not PROGRAMS.isdisjoint(item.fixturenames) or any(map(item.path.is_relative_to, FULL_OF_PROGRAMS)):
            item.add_marker("long")
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.xdist_group("engine"))
        elif item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group(f"browser {item.path.stem}"))
    if not os.environ.get("COUNTERSIGN_SOAK"):
        left_out = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
