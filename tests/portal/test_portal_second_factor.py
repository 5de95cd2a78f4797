"""People whose role needs a second factor set it up before anything else."""

from collections.abc import Callable

import pyotp
import pytest

from registry import accounts, audit
from registry.access import Actor
from registry.db import Database
from registry.orm.account import Person, Role, RoleGrant
from tests.portal.conftest import Browser, hidden_fields

HERE = "/settings/security/second-factor"


def shown_secret(page: str) -> str:
    import re

    return re.search(r'data-copy="([A-Z2-7]{32})"', page)[1]


@pytest.fixture
def cora(make_person: Callable[..., Person], sign_in: Callable[..., Browser]) -> Browser:
    return sign_in(make_person("cora", roles=["compliance"], totp=False))


def test_everything_leads_to_setting_it_up(cora: Browser) -> None:
    for path in ("/", "/settings/tokens", "/settings/profile"):
        answer = cora.get(path)
        assert (answer.status_code, answer.location) == (303, HERE)
    page = cora.get(HERE).text
    assert "Your role can decide" in page
    assert "<svg" in page
    assert 'class="qr"' in page


def test_enrolling_opens_the_doors_and_renews_the_session(cora: Browser, database: Database) -> None:
    before = cora.get_cookie("countersign").value
    page = cora.get(HERE).text
    code = pyotp.TOTP(shown_secret(page)).now()
    answer = cora.post(HERE, data={**hidden_fields(page), "code": code})
    assert (answer.status_code, answer.location) == (303, "/")
    assert cora.get("/").status_code == 200
    assert cora.get_cookie("countersign").value != before
    with database.read() as session:
        assert accounts.load_person(session, username="cora").totp_sealed
    assert cora.get(HERE).location == "/settings/security", "it is not set twice"


def test_a_wrong_code_keeps_the_same_secret_on_the_page(cora: Browser) -> None:
    page = cora.get(HERE).text
    answer = cora.post(HERE, data={**hidden_fields(page), "code": "000000"})
    assert answer.status_code == 401
    assert "does not fit" in answer.text
    assert shown_secret(answer.text) == shown_secret(page)


def test_a_foreign_sealed_secret_is_refused(
    cora: Browser, make_person: Callable[..., Person], sign_in: Callable[..., Browser]
) -> None:
    vic = sign_in(make_person("vic", roles=["validator"], totp=False))
    theirs = hidden_fields(vic.get(HERE).text)["sealed_secret"]
    answer = cora.post(HERE, data={**hidden_fields(cora.get(HERE).text), "sealed_secret": theirs, "code": "123456"})
    assert answer.status_code == 422


def test_optional_for_others(login: Callable[..., Browser]) -> None:
    browser = login("scientist")
    assert browser.get("/").status_code == 200
    assert "beside the password" in browser.get(HERE).text


def test_a_role_given_later_asks_for_it(login: Callable[..., Browser], database: Database) -> None:
    browser = login("scientist", username="ana")
    with database.write() as session:
        person = accounts.load_person(session, username="ana")
        session.add(RoleGrant(person_id=person.id, role=Role.OPERATOR, proposed_by="system:t", confirmed_by="system:t"))
        audit.record(session, audit.Action.ROLE_GRANTED, actor=Actor("system:t", "t"), subject=person)
    assert browser.get("/").location == HERE
