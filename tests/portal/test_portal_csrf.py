"""Forms that our own pages did not send are refused."""

from collections.abc import Callable

import pytest
from sqlalchemy import select

from registry.db import Database
from registry.orm.account import ApiToken
from tests.portal.conftest import Browser


@pytest.mark.parametrize("token", ["", "made-up"])
def test_a_post_without_the_token_changes_nothing(
    login: Callable[..., Browser], database: Database, token: str
) -> None:
    browser = login("scientist")
    data = {"csrf_token": token, "name": "x", "owner": "me", "scopes": ["read"], "days": "7"}
    answer = browser.post("/settings/tokens", data=data)
    assert answer.status_code == 400
    assert "This form could not be trusted" in answer.text
    assert "csrf" in answer.text
    with database.read() as session:
        assert session.scalars(select(ApiToken)).all() == []


def test_a_token_of_somebody_else_is_refused(login: Callable[..., Browser]) -> None:
    ana, ben = login("scientist", username="ana"), login("scientist", username="ben")
    assert ana.post("/logout", data={"csrf_token": ben.token()}).status_code == 400
    assert ana.get("/").status_code == 200


def test_sign_in_itself_is_guarded(client: Browser) -> None:
    assert client.post("/login", data={"signin-username": "x", "signin-password": "y"}).status_code == 400


def test_the_token_also_comes_in_a_header(login: Callable[..., Browser]) -> None:
    browser = login("scientist")
    assert browser.post("/logout", headers={"X-CSRFToken": browser.token()}).status_code == 303


def test_the_token_changes_with_the_sign_in(login: Callable[..., Browser]) -> None:
    browser = login("scientist")
    before = browser.token()
    browser.act("/logout")
    assert browser.post("/login", data={"csrf_token": before}).status_code == 400
