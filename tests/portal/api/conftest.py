"""The API over a company with people, on both databases; callers with tokens of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from registry import accounts, signing_in, tokens
from registry.access import ALL_SCOPES, Actor
from registry.db import Database
from registry.settings import Settings
from registry.store import LocalStore
from tests import databases, factories
from tests.portal.api.api_support import Caller

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On both databases, except where a module says that it is about HTTP only: ``DATABASES = ["sqlite"]``."""
    if "database" in metafunc.fixturenames:
        metafunc.parametrize("database", getattr(metafunc.module, "DATABASES", BOTH), indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest, places_of: Callable[[str], databases.Places]) -> Iterator[Database]:
    """Tables, people and a policy."""
    places = places_of(request.param)
    yield places.take("world")
    places.give_back()


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    return LocalStore(settings.store_dir)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, secret_key="k" * 48, public_url="http://cs.test", max_upload_bytes=1 << 20)


@pytest.fixture
def caller(app: Flask, database: Database) -> Callable[..., Caller]:
    """``caller(world.ana)`` or ``caller(world.ana, "read")``: calls as that person, with these scopes (all)."""

    def make(actor: Actor | None = None, *scopes: str, days: int = 30) -> Caller:
        if actor is None:
            return Caller(app.test_client(), None)
        with database.write() as session:
            _, token = tokens.create(session, actor=actor, name="test", scopes=scopes or ALL_SCOPES, days=days)
        return Caller(app.test_client(), token)

    return make


@pytest.fixture
def ana(caller: Callable[..., Caller], world: factories.World) -> Caller:
    """A scientist of team payments."""
    return caller(world.ana)


@pytest.fixture
def cora(caller: Callable[..., Caller], world: factories.World) -> Caller:
    """A compliance officer."""
    return caller(world.cora)


@pytest.fixture
def lea(caller: Callable[..., Caller], world: factories.World) -> Caller:
    """A scientist of another team."""
    return caller(world.lea)


@pytest.fixture
def world(database: Database, store: LocalStore) -> factories.World:
    return factories.World.load(database, store)


@pytest.fixture
def browser(app: Flask, database: Database) -> Callable[[Actor], FlaskClient]:
    """``browser(world.ana)``: somebody signed in at the portal, without a token."""

    def enter(actor: Actor) -> FlaskClient:
        with database.write() as session:
            person = accounts.load_person(session, person_id=actor.person_id)
            limits = app.extensions["countersign"].limits
            secret = signing_in.sign_in(session, person, limits=limits, user_agent="", second_factor=True)
        client = app.test_client()
        with client.session_transaction() as cookie:
            cookie["_user_id"] = secret
        return client

    return enter
