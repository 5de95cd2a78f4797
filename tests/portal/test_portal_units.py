"""The unit of work of a request: what is stored, what is not, and what may run beside it."""

from collections.abc import Callable

import pytest
from flask import Flask, Response
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from portal import access, create_app, db
from registry import audit
from registry.access import SYSTEM
from registry.db import Database
from registry.errors import Conflict
from registry.orm.account import Team
from registry.settings import Settings
from tests.portal.conftest import Browser


def add_team(slug: str) -> None:
    team = Team(slug=slug, name=slug)
    db.session().add(team)
    audit.record(db.session(), audit.Action.TEAM_ADDED, actor=SYSTEM, subject=team, slug=slug)


def slugs(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Team.slug)))


@pytest.fixture
def app(settings: Settings, database: Database) -> Flask:
    """One of each test's own: it gets routes more."""
    return create_app(settings, database)


@pytest.fixture
def poster(app: Flask, login: Callable[..., Browser]) -> Callable[[Callable[[], object]], int]:
    """Runs a function as the view of a POST, and of a GET; returns the status."""

    def run(view: Callable[[], object], method: str = "POST") -> int:
        app.view_functions["trial"] = access.before_second_factor(view)
        token = browser.token()
        return browser.open("/trial", method=method, data={"csrf_token": token}).status_code

    app.add_url_rule("/trial", "trial", lambda: "", methods=["GET", "POST"])
    browser = login("scientist")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return run


def test_below_400_is_stored(poster, database: Database) -> None:
    def view() -> str:
        add_team("kept")
        return "done"

    assert poster(view) == 200
    assert slugs(database) == {"payments", "kept"}


@pytest.mark.parametrize("outcome", ["status", "refusal", "crash"])
def test_everything_else_is_undone(poster, database: Database, outcome: str) -> None:
    def view() -> tuple[str, int]:
        add_team("lost")
        db.session().flush()
        if outcome == "refusal":
            raise Conflict("no")
        if outcome == "crash":
            raise ZeroDivisionError
        return "form again", 422

    assert poster(view) == {"status": 422, "refusal": 409, "crash": 500}[outcome]
    assert slugs(database) == {"payments"}


def test_a_get_cannot_write(poster, database: Database) -> None:
    seen = []

    def view() -> str:
        add_team("sneaky")
        with pytest.raises(OperationalError, match="readonly"):
            db.session().flush()
        seen.append(True)
        return "tried"

    assert poster(view, "GET") == 200
    assert seen == [True]
    assert slugs(database) == {"payments"}


def test_an_unaudited_change_is_an_error_page_and_not_stored(poster, database: Database) -> None:
    def view() -> str:
        db.session().add(Team(slug="quiet", name="Quiet"))
        return "looks fine"

    assert poster(view) == 500
    assert slugs(database) == {"payments"}


def test_release_stores_and_lets_bytes_flow_without_a_transaction(poster, database: Database) -> None:
    others = []

    def view() -> Response:
        add_team("before")
        db.release()

        def stream():
            with database.write() as session:  # would wait for ever if the request held the writer's lock
                others.append(session.scalars(select(Team.slug)).all())
                yield b"bytes"

        return Response(stream())

    assert poster(view) == 200
    assert "before" in others[0]


def test_a_separate_unit_survives_the_refusal(poster, database: Database) -> None:
    def view() -> str:
        with db.separate() as session:
            team = Team(slug="apart", name="Apart")
            session.add(team)
            audit.record(session, audit.Action.TEAM_ADDED, actor=SYSTEM, subject=team)
        add_team("lost")
        raise Conflict("no")

    assert poster(view) == 409
    assert slugs(database) == {"payments", "apart"}


def test_a_separate_unit_inside_a_writing_one_is_a_bug_said_at_once(poster) -> None:
    seen = []

    def view() -> str:
        db.session().scalars(select(Team)).all()
        with pytest.raises(RuntimeError, match="before a separate one"), db.separate():
            pass
        seen.append(True)
        return "ok"

    assert poster(view) == 200
    assert seen == [True]


def test_rows_stay_readable_after_a_rollback(poster) -> None:
    def view() -> tuple[str, int]:
        team = db.session().scalars(select(Team)).one()
        db.rollback()
        return team.slug, 200

    assert poster(view) == 200
