"""Every route against the role table, and what every answer must carry."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, url_for
from sqlalchemy import select
from werkzeug.routing import Rule

from portal import headers
from registry.orm.image import Build
from tests import factories
from tests.factories import World
from tests.portal.conftest import Browser
from tests.portal.role_table import ROUTES, Row

PEOPLE = {
    "scientist": "ana",
    "validator": "vic",
    "compliance": "cora",
    "consumer": "kim",
    "auditor": "aud",
    "operator": "ops",
    "administrator": "root",
    "none": "nil",
}


def rules(app: Flask) -> Iterator[tuple[Rule, str]]:
    """Every route of the pages with one method to try it with; the API has a table of its own."""
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith(("/api/", "/.well-known/")):
            yield rule, next(method for method in ("GET", "POST", "PUT", "HEAD") if method in (rule.methods or ()))


def address(app: Flask, rule: Rule, row: Row, scene: dict[str, Any]) -> str:
    arguments = row.args(scene) if callable(row.args) else row.args
    with app.test_request_context():
        return url_for(rule.endpoint, **(arguments or {}))


@pytest.fixture
def scene(world: World) -> dict[str, Any]:
    """What rows with arguments refer to: an approved version 1, a version 2 in review, and a build."""
    with world.write() as session:
        factories.approved_version(session, world)
    with world.write() as session:
        request = factories.request_in_review(session, world)
        build = session.scalars(select(Build)).first()
        return {"request_id": request.id, "build_id": build.id, "model": {"team": "payments", "name": "voice"}}


def test_every_route_has_a_row_and_every_row_a_route(app: Flask) -> None:
    endpoints = {rule.endpoint for rule, _ in rules(app)}
    assert endpoints - ROUTES.keys() == set(), "add a row to tests/portal/role_table.py"
    assert ROUTES.keys() - endpoints == set(), "these rows name no route"


def test_nobody_gets_in_without_signing_in(app: Flask, client: Browser, scene: dict[str, Any]) -> None:
    for rule, method in rules(app):
        row = ROUTES[rule.endpoint]
        if row.args is None and row.who is None:
            continue
        if rule.arguments and row.args is None:
            continue  # no example address; the gate does not look at addresses
        answer = client.open(address(app, rule, row, scene), method=method)
        if row.who is None:
            assert answer.status_code < 400, rule
        else:
            assert answer.status_code == 303, rule
            assert answer.location.startswith("/login"), rule


def test_no_closed_view_is_marked_public(app: Flask) -> None:
    for rule, _ in rules(app):
        public = getattr(app.view_functions[rule.endpoint], "is_public", False)
        assert public == (ROUTES[rule.endpoint].who is None), rule


@pytest.mark.parametrize("role", PEOPLE)
def test_role_table(app: Flask, visit: Callable[[str], Browser], scene: dict[str, Any], role: str) -> None:
    browser = visit(PEOPLE[role])
    token = browser.token()
    wrong = []
    for rule, method in rules(app):
        row = ROUTES[rule.endpoint]
        if row.who is None or row.args is None:
            continue
        path = address(app, rule, row, scene)
        if role in row.who and method == "GET":
            answer = browser.get(path)
            wrong += [f"may open {path}: {answer.status_code}"] if answer.status_code >= 400 else []
        elif role not in row.who:
            answer = browser.open(path, method=method, data={"csrf_token": token} if method == "POST" else None)
            wrong += [f"must not open {path}: {answer.status_code}"] if answer.status_code not in (403, 404) else []
    assert wrong == []


def test_every_answer_is_hardened(app: Flask, visit: Callable[[str], Browser], scene: dict[str, Any]) -> None:
    browser = visit("root")
    for rule, method in rules(app):
        row = ROUTES[rule.endpoint]
        if method != "GET" or (row.args is None and rule.arguments):
            continue
        answer = browser.get(address(app, rule, row, scene))
        assert answer.headers["Content-Security-Policy"] == headers.POLICY, rule
        assert answer.headers["X-Content-Type-Options"] == "nosniff", rule
        assert answer.headers["X-Request-Id"], rule
        if rule.endpoint.partition(".")[0] != "assets":
            assert answer.headers["Cache-Control"] == "no-store" or answer.headers.get("ETag"), rule
