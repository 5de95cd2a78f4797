"""A session that ends while somebody fills in a form: the text survives, and nothing is sent by itself."""

import html
import re
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from registry import clock
from registry.db import Database
from registry.orm.account import LoginSession, Person, Team
from tests.portal.conftest import PASSWORD, Browser, code_for, hidden_fields

NEW_TEAM = "/admin/teams/new"
TYPED = {"slug": "payments-labs", "name": 'The "labs" & friends\nof <payments>'}


def end_all(database: Database) -> None:
    with database.write() as session:
        session.execute(update(LoginSession).values(ended_at=clock.now()))


def kept_fields(page: str) -> dict[str, str]:
    found = re.findall(r'<textarea name="([^"]+)" hidden>\n?(.*?)</textarea>', page, re.DOTALL)
    return {name: html.unescape(value) for name, value in found}


def teams(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Team.slug)))


@pytest.fixture
def root(make_person: Callable[..., Person], sign_in: Callable[..., Browser]) -> Browser:
    return sign_in(make_person("root", roles=["administrator"]))


def sign_in_again(browser: Browser, page: str, path: str, username: str = "root"):
    data = {**hidden_fields(page), **kept_fields(page), "signin-username": username, "signin-password": PASSWORD}
    answer = browser.post(path, data=data)
    page = answer.text
    if "One-time code" not in page:
        return answer
    code = {"signin-code": code_for(username, ahead=1)}
    return browser.post(path, data={**hidden_fields(page), **kept_fields(page), **code})


def test_typed_text_is_shown_again_and_not_sent(root: Browser, database: Database) -> None:
    form = hidden_fields(root.get(NEW_TEAM).text)
    end_all(database)
    page = root.post(NEW_TEAM, data={**form, **TYPED})
    assert page.status_code == 401
    assert "What you typed is kept" in page.text
    assert kept_fields(page.text) == {"slug": TYPED["slug"], "name": TYPED["name"]}
    again = sign_in_again(root, page.text, NEW_TEAM)
    assert again.status_code == 200
    assert "Nothing was sent" in again.text
    assert 'value="payments-labs"' in again.text
    assert html.escape(TYPED["name"], quote=False).replace('"', "&#34;") in again.text
    assert teams(database) == []
    sent = root.post(NEW_TEAM, data={**hidden_fields(again.text), "slug": TYPED["slug"], "name": "Labs"})
    assert sent.status_code == 303
    assert teams(database) == ["payments-labs"]


def test_a_mistyped_password_does_not_lose_it(root: Browser, database: Database) -> None:
    form = hidden_fields(root.get(NEW_TEAM).text)
    end_all(database)
    page = root.post(NEW_TEAM, data={**form, **TYPED}).text
    data = {**hidden_fields(page), **kept_fields(page), "signin-username": "root", "signin-password": "wrong"}
    answer = root.post(NEW_TEAM, data=data)
    assert answer.status_code == 401
    assert kept_fields(answer.text)["slug"] == "payments-labs"


def test_a_form_without_a_page_is_shown_to_be_sent(
    root: Browser, database: Database, make_person: Callable[..., Person]
) -> None:
    make_person("ana")
    path = "/admin/people/ana/roles"
    token = root.token()
    end_all(database)
    page = root.post(
        path, data={"csrf_token": token, "role": "scientist"}, headers={"Referer": "http://localhost/admin/people/ana"}
    )
    assert page.status_code == 401
    again = sign_in_again(root, page.text, path)
    assert again.status_code == 200
    assert "Nothing was done yet" in again.text
    assert 'name="role" value="scientist"' in again.text
    with database.read() as session:
        assert session.scalars(select(Person).filter_by(username="ana")).one() is not None
        from registry import accounts

        assert accounts.load_person(session, username="ana").roles == []
    sent = root.post(path, data={**hidden_fields(again.text), "role": "scientist"})
    assert sent.status_code == 303


def test_somebody_else_does_not_see_it(root: Browser, database: Database, make_person: Callable[..., Person]) -> None:
    make_person("rita", roles=["administrator"])
    form = hidden_fields(root.get(NEW_TEAM).text)
    end_all(database)
    page = root.post(NEW_TEAM, data={**form, **TYPED}).text
    answer = sign_in_again(root, page, NEW_TEAM, "rita")
    assert (answer.status_code, answer.location) == (303, "/")
    assert "not kept" in root.get("/").text


def test_another_site_cannot_fill_in_a_form(client: Browser, make_person: Callable[..., Person]) -> None:
    make_person("root", roles=["administrator"])
    answer = client.post(NEW_TEAM, data=TYPED, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, answer.location) == (303, "/login")


def test_a_browser_that_lost_its_cookie_keeps_the_text(client: Browser, make_person: Callable[..., Person]) -> None:
    make_person("root", roles=["administrator"])
    answer = client.post(NEW_TEAM, data=TYPED, headers={"Origin": "http://localhost"})
    assert answer.status_code == 401
    assert kept_fields(answer.text)["slug"] == "payments-labs"
    assert "Nothing was sent" in sign_in_again(client, answer.text, NEW_TEAM).text


def test_passwords_are_never_kept(root: Browser, database: Database) -> None:
    token = root.token()
    end_all(database)
    data = {"csrf_token": token, "reason": "because", "password": "hunter2-hunter2", "code": "123456"}
    page = root.post(NEW_TEAM, data=data).text
    assert kept_fields(page) == {"reason": "because"}
    assert "hunter2" not in page


def test_nothing_can_be_written_while_a_form_is_only_shown(app) -> None:
    from flask import g
    from sqlalchemy.exc import OperationalError

    from portal import db

    with app.test_request_context(NEW_TEAM, method="POST"):
        g.refill = True
        db.session().add(Team(slug="sneaky", name="Sneaky"))
        with pytest.raises(OperationalError, match="readonly"):
            db.session().flush()
