"""Set-up links, tokens, service accounts, theme."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import select

from registry import accounts, tokens
from registry.db import Database
from registry.orm.account import ApiToken, Person, Role, ServiceAccount
from tests.portal.conftest import Browser, hidden_fields

NEW = "a sentence nobody guesses"


def first_link(database: Database) -> str:
    with database.write() as session:
        return f"/setup/{accounts.open_setup(session)}"


def fill(client: Browser, path: str, **fields: str):
    return client.submit(path, {"username": "root", "name": "Root", "password": NEW, "again": NEW, **fields})


def test_the_first_administrator_sets_up_and_must_enrol(client: Browser, database: Database) -> None:
    link = first_link(database)
    answer = fill(client, link)
    assert (answer.status_code, answer.location) == (303, "/settings/security/second-factor")
    assert client.get("/").location == "/settings/security/second-factor"
    with database.read() as session:
        root = accounts.load_person(session, username="root")
        assert [(grant.role, grant.bootstrap) for grant in root.roles] == [(Role.ADMINISTRATOR, True)]
    assert client.get(link).status_code == 404


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "short", "again": "short"}, "at least 12 characters"),
        ({"again": "something else entirely"}, "do not match"),
        ({"username": "Not A Name!"}, "not a user name"),
        ({"name": ""}, "Type your name"),
    ],
)
def test_a_refused_set_up_keeps_the_link_and_the_text(client: Browser, database: Database, fields, words: str) -> None:
    link = first_link(database)
    answer = fill(client, link, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert 'value="Root"' in answer.text or "name" in fields
    assert NEW not in answer.text
    assert fill(client, link).status_code == 303


def test_two_first_administrators_are_one_too_many(browser: Callable[[], Browser], database: Database) -> None:
    one, two = first_link(database), first_link(database)
    assert fill(browser(), one).status_code == 303
    answer = fill(browser(), two, username="rita")
    assert answer.status_code == 409
    with database.read() as session:
        assert session.scalars(select(Person.username)).all() == ["root"]


@pytest.mark.parametrize("secret", ["unknown", "x" * 43])
def test_an_unknown_link_tells_nothing(client: Browser, secret: str) -> None:
    answer = client.get(f"/setup/{secret}")
    assert answer.status_code == 404
    assert "used up or has expired" in answer.text


def test_a_person_sets_a_password_from_their_link(client: Browser, make_person, database: Database) -> None:
    person = make_person("ana", roles=["scientist"])
    with database.write() as session:
        link = f"/setup/{accounts.open_setup(session, person)}"
    assert "Welcome, Ana" in client.get(link).text
    assert client.submit(link, {"password": NEW, "again": NEW}).status_code == 303
    assert client.get("/").status_code == 200


def test_a_link_does_not_get_past_the_second_factor(client: Browser, make_person, database: Database) -> None:
    person = make_person("cora", roles=["compliance"])
    with database.write() as session:
        link = f"/setup/{accounts.open_setup(session, person)}"
    assert client.submit(link, {"password": NEW, "again": NEW}).location == "/login"
    assert client.get("/").status_code == 303
    answer = client.submit("/login", {"signin-username": "cora", "signin-password": NEW})
    assert "One-time code" in answer.text


def make_token(browser: Browser, **fields: object):
    data = {"name": "my laptop", "owner": "me", "scopes": ["read", "push"], "days": "30", **fields}
    return browser.submit("/settings/tokens", data)


def test_a_token_is_shown_once_and_works(login: Callable[..., Browser], database: Database) -> None:
    browser = login("scientist", username="ana")
    answer = make_token(browser)
    assert answer.status_code == 201
    token = re.search(r"cs_[0-9a-f]{12}_[0-9a-f]{72}", answer.text)[0]
    with database.read() as session:
        _, actor = tokens.authenticate(session, token)
    assert (actor.name, actor.scopes) == ("ana", {"read", "push"})
    page = browser.get("/settings/tokens").text
    assert "my laptop" in page
    assert token not in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"name": ""}, "Give it a name"), ({"scopes": []}, "Choose from"), ({"days": "9999"}, "Not a valid choice")],
)
def test_a_refused_token_says_why(login: Callable[..., Browser], database: Database, fields, words: str) -> None:
    answer = make_token(login("scientist"), **fields)
    assert answer.status_code == 422
    assert words in answer.text
    with database.read() as session:
        assert session.scalars(select(ApiToken)).all() == []


def test_a_token_can_be_ended_by_its_owner_only(login: Callable[..., Browser], database: Database) -> None:
    ana, lea = login("scientist", username="ana"), login("scientist", username="lea", teams=("lending",))
    make_token(ana)
    with database.read() as session:
        row = session.scalars(select(ApiToken)).one()
    assert lea.act(f"/settings/tokens/{row.id}/revoke").status_code == 404
    assert ana.act(f"/settings/tokens/{row.id}/revoke").status_code == 303
    assert "Ended" in ana.get("/settings/tokens").text


def test_a_service_account_and_its_token(login: Callable[..., Browser], database: Database) -> None:
    ana = login("scientist", username="ana")
    assert ana.submit("/settings/services", {"team": "payments", "service": "nightly"}).status_code == 303
    answer = ana.submit("/settings/services", {"team": "payments", "service": "nightly"})
    assert answer.status_code == 409
    assert "exists" in answer.text or "already" in answer.text
    with database.read() as session:
        service = session.scalars(select(ServiceAccount)).one()
    assert make_token(ana, owner=service.id.hex, name="ci").status_code == 201
    with database.read() as session:
        assert session.scalars(select(ApiToken)).one().service_id == service.id


def test_a_service_of_a_foreign_team_is_not_offered(login: Callable[..., Browser], database: Database) -> None:
    ana, lea = login("scientist", username="ana"), login("scientist", username="lea", teams=("lending",))
    ana.submit("/settings/services", {"team": "payments", "service": "nightly"})
    with database.read() as session:
        service = session.scalars(select(ServiceAccount)).one()
    assert make_token(lea, owner=service.id.hex).status_code == 422
    assert lea.submit("/settings/services", {"team": "payments", "service": "mine"}).status_code == 422


@pytest.mark.parametrize(
    ("chosen", "attribute"), [("dark", 'data-bs-theme="dark"'), ("light", 'data-bs-theme="light"')]
)
def test_a_theme_is_remembered_without_a_script(client: Browser, chosen: str, attribute: str) -> None:
    page = client.get("/login").text
    assert "data-bs-theme" not in page
    data = {**hidden_fields(page), "theme": chosen, "back": "/login"}
    assert client.post("/settings/theme", data=data).location == "/login"
    page = client.get("/login").text
    assert attribute in page
    client.post("/settings/theme", data={**hidden_fields(page), "theme": "system", "back": "https://evil.example"})
    assert "data-bs-theme" not in client.get("/login").text
