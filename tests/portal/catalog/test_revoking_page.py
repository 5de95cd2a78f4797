"""Revoking in the browser: what is touched, a reason, password and code; and what the pages say afterwards."""

import pytest

from registry import references
from registry.orm.catalog import Stage
from tests import factories
from tests.portal.approvals.conftest import EVIL, words
from tests.portal.conftest import PASSWORD, code_for, hidden_fields
from tests.portal.images.test_images_pages import bake
from tests.support import nothing_changes

PAGE = "/models/payments/voice/versions/1"


@pytest.fixture
def released(world):
    with world.write() as session:
        factories.approved_version(session, world)
    return bake(world)


def stage(world):
    with world.read() as session:
        return references.get_version(session, "payments/voice", 1, actor=world.ana).stage


def typed(page, **overrides):
    plain = {"reason": f"It leaks names {EVIL}", "password": PASSWORD, "code": code_for("cora")}
    return {**hidden_fields(page), **plain, **overrides}


def test_it_is_signed_told_and_shown(world, visit, released):
    browser = visit("cora")
    assert "Revoke" in words(browser.get(PAGE).text)
    page = browser.get(f"{PAGE}/revoke").text
    assert "payments/voice, of team payments: its current image" in words(page)
    answer = browser.post(f"{PAGE}/revoke", data=typed(page))
    assert (answer.status_code, answer.location) == (303, PAGE)
    assert stage(world) is Stage.REVOKED
    text = browser.get(PAGE).text
    said = words(text)
    assert "Its approval was revoked on" in said
    assert "Held by payments/voice, of team payments: its current image" in said
    assert "Revoked by cora: “It leaks names" in said
    assert EVIL not in text
    assert "which was revoked" in words(visit("ana").get("/").text)
    again = browser.get(f"{PAGE}/revoke")
    assert (again.status_code, "is revoked" in words(again.text)) == (409, True)


@pytest.mark.parametrize(("overrides", "status", "says"), [
    ({"password": "wrong"}, 401, "That is not your password"),
    ({"code": "000000"}, 401, "That code does not fit"),
    ({"reason": " "}, 422, "Say why."),
])  # fmt: skip
def test_whoever_does_not_sign_revokes_nothing(world, visit, released, overrides, status, says):
    browser = visit("cora")
    page = browser.get(f"{PAGE}/revoke").text
    answer = browser.post(f"{PAGE}/revoke", data=typed(page, **overrides))
    assert (answer.status_code, says in words(answer.text)) == (status, True)
    assert stage(world) is Stage.APPROVED


def test_others_have_no_such_page(world, visit, released):
    for username in ("ana", "vic", "ops", "aud"):
        browser = visit(username)
        assert "Revoke" not in words(browser.get(PAGE).text)
        with nothing_changes(world.database):
            assert browser.get(f"{PAGE}/revoke").status_code == 403
