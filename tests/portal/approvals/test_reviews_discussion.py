"""Comments and withdrawing: who may, what is kept when it is refused."""

import html

import pytest
from sqlalchemy import update

from registry import approvals, clock
from registry.orm.account import LoginSession
from tests import factories
from tests.portal.approvals.conftest import path_of, state, words
from tests.portal.conftest import PASSWORD, code_for, hidden_fields
from tests.portal.test_portal_ended_session import kept_fields
from tests.support import nothing_changes


def said_beside(world, request_id) -> list[str]:
    with world.read() as session:
        dossier = approvals.get_request(session, request_id, actor=world.cora).dossier
        return [entry.text for entry in dossier if entry.kind == "comment"]


@pytest.mark.parametrize("username", ["ana", "ben", "vic", "cora"])
def test_team_and_reviewers_discuss(world, visit, asked, username) -> None:
    browser = visit(username)
    text = "Line one.\n\nLine <two>."
    answer = browser.submit(f"{path_of(asked)}/comments", {"text": text}, page=path_of(asked))
    assert (answer.status_code, answer.location) == (303, f"{path_of(asked)}#discussion")
    assert said_beside(world, asked) == [text]
    page = browser.get(path_of(asked))
    assert html.escape(text, quote=False) in page.text
    assert "1 comment" in words(page.text)


@pytest.mark.parametrize("username", ["lea", "kim", "aud", "ops", "root"])
def test_others_read_only(world, visit, asked, username) -> None:
    browser = visit(username)
    assert 'name="text"' not in browser.get(path_of(asked)).text
    with nothing_changes(world.database):
        answer = browser.act(f"{path_of(asked)}/comments", text="Me too.")
    assert answer.status_code == 403
    assert "Me too." in answer.text


@pytest.mark.parametrize(("text", "says"), [("  ", "Write something."), ("x" * 8001, "At most 8,000 characters.")])
def test_a_comment_that_does_not_fit(world, visit, asked, text, says) -> None:
    browser = visit("ana")
    answer = browser.submit(f"{path_of(asked)}/comments", {"text": text}, page=path_of(asked))
    assert answer.status_code == 422
    assert says in answer.text
    assert said_beside(world, asked) == []


def test_a_comment_after_the_end_is_not_lost(world, visit, asked) -> None:
    browser = visit("vic")
    fields = hidden_fields(browser.get(path_of(asked)).text)
    with world.write() as session:
        approvals.withdraw(session, world.request(session), actor=world.ana, reason="wrong file")
    answer = browser.post(f"{path_of(asked)}/comments", data={**fields, "text": "My long analysis."})
    assert answer.status_code == 409
    assert "This request is withdrawn." in words(answer.text)
    assert "My long analysis." in answer.text


@pytest.mark.parametrize(("act", "field"), [("comments", "text"), ("withdraw", "reason")])
def test_a_session_that_ended_keeps_the_text(world, visit, asked, act, field) -> None:
    browser = visit("ana")
    address = f"{path_of(asked)}/{act}"
    fields = hidden_fields(browser.get(path_of(asked)).text)
    with world.database.write() as session:
        session.execute(update(LoginSession).values(ended_at=clock.now()))
    page = browser.post(address, data={**fields, field: "Typed before lunch."})
    assert page.status_code == 401
    kept = {**hidden_fields(page.text), **kept_fields(page.text)}
    again = browser.post(address, data={**kept, "signin-username": "ana", "signin-password": PASSWORD})
    if "One-time code" in again.text and "signin-code" in again.text:
        kept = {**hidden_fields(again.text), **kept_fields(again.text)}
        again = browser.post(address, data={**kept, "signin-code": code_for("ana", ahead=1)})
    assert again.status_code == 200
    assert "Typed before lunch." in again.text
    assert state(world, asked)[0] == "open"
    assert said_beside(world, asked) == []


def test_the_addresses_of_the_forms_lead_back(visit, asked) -> None:
    browser = visit("ana")
    assert browser.get(f"{path_of(asked)}/comments").location == f"{path_of(asked)}#discussion"
    assert browser.get(f"{path_of(asked)}/withdraw").location == f"{path_of(asked)}#withdraw"


def test_the_team_takes_it_back_and_signatures_are_void(world, visit, asked) -> None:
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic)
    browser = visit("ben")
    answer = browser.submit(f"{path_of(asked)}/withdraw", {"reason": "The wrong file."}, page=path_of(asked))
    assert answer.status_code == 303
    assert state(world, asked) == ("withdrawn", "ready", 0)
    said = words(browser.get(path_of(asked)).text)
    assert "Version 1 of voice: withdrawn" in said
    assert "void: the request was withdrawn" in said
    assert "The wrong file." in said


def test_withdrawing_needs_a_reason_and_the_team(world, visit, asked) -> None:
    browser = visit("ana")
    answer = browser.submit(f"{path_of(asked)}/withdraw", {"reason": ""}, page=path_of(asked))
    assert answer.status_code == 422
    assert "Say why." in answer.text
    outsider = visit("lea")
    assert "Withdraw the request" not in outsider.get(path_of(asked)).text
    with nothing_changes(world.database):
        assert outsider.act(f"{path_of(asked)}/withdraw", reason="I want to").status_code == 403
    assert state(world, asked)[0] == "open"
