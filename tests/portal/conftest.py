"""A real portal on a database of its own, and browsers that sign in through the real forms."""

import copy
import html
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from flask import Config, Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from portal import create_app
from portal.installation import KEY, Installation
from registry import accounts, audit, clock, vault
from registry.access import Actor
from registry.db import Database
from registry.orm.account import Person, Role, RoleGrant, Team, TeamMember
from registry.settings import Settings
from tests import databases, windows
from tests.factories import World

PASSWORD = "a long enough password"
PASSWORD_HASH = vault.hash_password(PASSWORD)
SECRET_KEY = "k" * 48


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, secret_key=SECRET_KEY, public_url="http://127.0.0.1:5000")


@pytest.fixture
def database(request: pytest.FixtureRequest, places_of: Callable[[str], databases.Places]) -> Iterator[Database]:
    """Migrated, on SQLite; with the people of the shared ``world`` where the test asks for it.

    test_portal_both_databases.py repeats on PostgreSQL what could differ there.
    """
    places = places_of("sqlite")
    yield places.take("world" if "world" in request.fixturenames else "empty")
    places.give_back()


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """A portal with routes, templates and files prepared, which is most of what making one takes."""
    folder = tmp_path_factory.mktemp("portal")
    return create_app(Settings(data_dir=folder, secret_key=SECRET_KEY), Database(f"sqlite:///{folder}/none.db"))


@pytest.fixture
def app(_built: Flask, settings: Settings, database: Database) -> Flask:
    """A portal on this test's settings and database. Tests that want routes more give ``_built`` of their own."""
    made = copy.copy(_built)
    made.config = Config(_built.config.root_path, _built.config)
    made.config["SECRET_KEY"] = settings.secret_key
    made.extensions = {**_built.extensions, KEY: Installation.of(settings, database, _built.extensions[KEY].assets)}
    return made


class Browser(FlaskClient):
    """A client that fills in forms as a browser does: it reads the CSRF token and hidden fields of the page first."""

    def open(self, *args: object, buffered: bool = True, **named: object) -> TestResponse:
        """As ever, but the whole answer is read, so that what streams it has ended."""
        return super().open(*args, buffered=buffered, **named)  # type: ignore[arg-type]

    def submit(
        self, path: str, data: dict[str, object] | None = None, *, page: str = "", **named: object
    ) -> TestResponse:
        """Open ``page`` (default: ``path``), then POST its hidden fields and ``data`` to ``path``."""
        text = self.get(page or path).text
        return self.post(path, data={**hidden_fields(text), **(data or {})}, **named)

    def token(self) -> str:
        """A CSRF token of this browser's session."""
        return hidden_fields(self.get("/settings/profile", follow_redirects=True).text)["csrf_token"]

    def act(self, path: str, **data: object) -> TestResponse:
        """Press a button that has no page of its own."""
        return self.post(path, data={"csrf_token": self.token(), **data})


def hidden_fields(text: str) -> dict[str, str]:
    """The hidden inputs of a page."""
    found = {}
    for tag in re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", text):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "back":
            found.setdefault(name[1], html.unescape(value[1]) if value else "")
    return found


@pytest.fixture
def browser(app: Flask) -> Callable[[], Browser]:
    """Makes a browser nobody is signed in at."""
    app.test_client_class = Browser
    return app.test_client  # type: ignore[return-value]


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Where the portal answers, for a real browser."""
    with windows.served(app) as address:
        yield address


@pytest.fixture
def client(browser: Callable[[], Browser]) -> Browser:
    """A browser nobody is signed in at."""
    return browser()


@pytest.fixture
def make_person(app: Flask, database: Database) -> Callable[..., Person]:
    """``make_person("ana", roles=["scientist"], teams=["payments"])``: with a password, and a second factor if needed."""

    def make(
        username: str = "ana",
        *,
        roles: tuple[str, ...] | list[str] = (),
        teams: tuple[str, ...] | list[str] = (),
        totp: bool | None = None,
    ) -> Person:
        kinds = {Role(role) for role in roles}
        with database.write() as session:
            person = Person(
                username=username, name=username.title(), password_hash=PASSWORD_HASH, active=True, failed_logins=0
            )
            if totp if totp is not None else accounts.needs_second_factor(kinds):
                person.totp_sealed = app.extensions["countersign"].vault.seal(secret_of(username))
            session.add(person)
            session.flush()
            for role in kinds:
                session.add(
                    RoleGrant(person_id=person.id, role=role, proposed_by="system:test", confirmed_by="system:test")
                )
            made = []
            for slug in teams:
                team = session.query(Team).filter_by(slug=slug).one_or_none()
                if team is None:
                    team = Team(slug=slug, name=slug.title())
                    session.add(team)
                    session.flush()
                session.add(TeamMember(team_id=team.id, person_id=person.id))
                made.append(team)
            actor = Actor(ref="system:test", name="test")
            audit.record(session, audit.Action.PERSON_ADDED, actor=actor, subject=person, also=made)
        with database.read() as session:
            return accounts.load_person(session, username=username)

    return make


def secret_of(username: str) -> str:
    """The authenticator secret ``make_person`` gave them: base32 of their name, repeated to a usual length."""
    return "".join(letter for letter in (username.upper() * 32) if letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")[:32]


def code_for(username: str, *, ahead: int = 0) -> str:
    """A one-time code; ``ahead`` steps into the future, for a second one within 30 seconds."""
    return pyotp.TOTP(secret_of(username)).at(clock.now() + timedelta(seconds=30 * ahead))


@pytest.fixture
def sign_in(browser: Callable[[], Browser]) -> Callable[..., Browser]:
    """Signs an existing person in, through the real forms, in a browser of their own."""

    def enter(person: Person, *, ahead: int = 0) -> Browser:
        client = browser()
        answer = client.submit("/login", {"signin-username": person.username, "signin-password": PASSWORD})
        if person.totp_sealed:
            assert "One-time code" in answer.text
            data = {**hidden_fields(answer.text), "signin-code": code_for(person.username, ahead=ahead)}
            answer = client.post("/login", data=data)
        assert answer.status_code == 303, answer.text
        return client

    return enter


@pytest.fixture
def visit(app: Flask, database: Database, world: World, sign_in: Callable[..., Browser]) -> Callable[[str], Browser]:
    """``visit("cora")``: a browser in which that person of the ``world`` is signed in."""

    def enter(username: str) -> Browser:
        with database.write() as session:
            person = accounts.load_person(session, username=username)
            if person.password_hash is None or person.password_hash != PASSWORD_HASH:
                person.password_hash = PASSWORD_HASH
                if accounts.needs_second_factor(accounts.actor_for(person).roles):
                    person.totp_sealed = app.extensions["countersign"].vault.seal(secret_of(username))
                audit.record(session, audit.Action.PASSWORD_SET, actor=world.root, subject=person)
        return sign_in(person)

    return enter


@pytest.fixture
def login(make_person: Callable[..., Person], sign_in: Callable[..., Browser]) -> Callable[..., Browser]:
    """``login("scientist")``: a browser in which somebody with these roles, in team payments, is signed in."""

    def enter(*roles: str, username: str = "", teams: tuple[str, ...] = ("payments",)) -> Browser:
        return sign_in(make_person(username or f"{'-'.join(roles) or 'nobody'}-1", roles=roles, teams=teams))

    return enter
