"""Signing: two people, their password and code, once; and everything that can be wrong with it, text kept."""

import html
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from registry import approvals, clock, signing_in
from registry.access import Actor
from registry.orm.account import LoginSession, Person
from registry.orm.approval import Decision
from registry.orm.image import Build
from tests import factories
from tests.portal.approvals.conftest import REASON, comment, decisions, filled, path_of, state, words
from tests.portal.conftest import PASSWORD, code_for, hidden_fields
from tests.portal.test_portal_ended_session import kept_fields
from tests.support import at_once, nothing_changes


def failures(world, username: str) -> tuple[int, bool]:
    with world.read() as session:
        person = factories.accounts.load_person(session, username=username)
        return person.failed_logins, person.locked_until is not None


def builds(world) -> int:
    with world.read() as session:
        return session.scalar(select(func.count()).select_from(Build)) or 0


def keeps(text: str, reason: str = REASON) -> bool:
    return html.escape(reason, quote=False) in text


# ------------------------------------------------------------------------------------------------ the plain road


def test_two_people_release_a_version_and_its_image_is_asked_for(world, decide, visit, asked) -> None:
    first = decide("vic", asked)
    assert (first.status_code, first.location) == (303, path_of(asked))
    assert state(world, asked) == ("open", "in_review", 1)
    assert builds(world) == 0
    second = decide("cora", asked)
    assert second.status_code == 303
    assert state(world, asked) == ("approved", "approved", 2)
    assert builds(world) == 1
    said = words(visit("aud").get(path_of(asked)).text)
    assert "Version 1 of voice: approved" in said
    signed = decisions(world, asked)
    assert [(d.person.username, d.method, d.roles) for d in signed] == [
        ("vic", "password+totp", ["validator"]),
        ("cora", "password+totp", ["compliance"]),
    ]
    assert (
        signed[1]
        .statement["statement"]
        .startswith("I, Cora (cora), have reviewed version 1 of payments/voice and approve")
    )


def test_what_was_achieved_is_said(decide, visit, asked) -> None:
    browser = visit("vic")
    browser.post(path_of(asked), data=filled(browser.get(path_of(asked)).text, "vic"))
    assert "Another person must sign too" in browser.get(path_of(asked)).text
    browser = visit("cora")
    browser.post(path_of(asked), data=filled(browser.get(path_of(asked)).text, "cora"))
    assert "Yours was the last signature needed" in browser.get(path_of(asked)).text


@pytest.mark.parametrize(("outcome", "after"), [
    ("request_changes", ("changes_requested", "ready", 0)),
    ("reject", ("rejected", "rejected", 2)),
])  # fmt: skip
def test_request_changes_and_reject(world, decide, asked, outcome, after) -> None:
    decide("vic", asked)
    assert decide("cora", asked, outcome=outcome).status_code == 303
    assert state(world, asked) == after
    assert builds(world) == 0


# ------------------------------------------------------------------------------------------------- form at fault


@pytest.mark.parametrize(("overrides", "says"), [
    ({"reason": " "}, "Say what you relied on."),
    ({"reason": "x" * 4001}, "At most 4,000 characters."),
    ({"password": ""}, "Type your password: this is a signature."),
    ({"code": ""}, "Type the current code."),
    ({"code": "12ab56"}, "Six digits."),
    ({"outcome": ""}, "Press one of the buttons."),
    ({"outcome": "sign"}, "Press one of the buttons."),
])  # fmt: skip
def test_a_form_filled_in_wrongly(world, visit, asked, overrides, says) -> None:
    browser = visit("cora")
    text = browser.get(path_of(asked)).text
    with nothing_changes(world.database):
        answer = browser.post(path_of(asked), data=filled(text, "cora", **overrides))
    assert answer.status_code == 422
    assert says in answer.text
    if "reason" not in overrides:
        assert keeps(answer.text)
    assert state(world, asked) == ("open", "in_review", 0)


def test_enter_in_a_field_signs_nothing(visit, asked) -> None:
    """A browser presses the first button of a form on Enter: that one is disabled, so nothing is sent."""
    text = visit("cora").get(path_of(asked)).text
    form = text[text.index('name="seen_dossier"') : text.index("Sign and approve")]
    assert form.index("<button disabled hidden>") < form.index('name="outcome"')


def test_the_password_is_never_in_the_page(visit, asked) -> None:
    browser = visit("cora")
    answer = browser.post(path_of(asked), data=filled(browser.get(path_of(asked)).text, "cora", code="000000"))
    assert PASSWORD not in answer.text
    assert "000000" not in answer.text


# ------------------------------------------------------------------------------------------------ who is it really


def test_a_wrong_password_is_counted_and_the_text_kept(world, visit, asked) -> None:
    browser = visit("cora")
    answer = browser.post(
        path_of(asked), data=filled(browser.get(path_of(asked)).text, "cora", password="not it at all")
    )
    assert answer.status_code == 401
    assert "That is not your password." in words(answer.text)
    assert keeps(answer.text)
    assert failures(world, "cora") == (1, False)
    assert state(world, asked) == ("open", "in_review", 0)


def test_a_wrong_code_is_counted_and_the_text_kept(world, visit, asked) -> None:
    browser = visit("cora")
    wrong = "000000" if code_for("cora") != "000000" else "111111"
    answer = browser.post(path_of(asked), data=filled(browser.get(path_of(asked)).text, "cora", code=wrong))
    assert answer.status_code == 401
    assert "That code does not fit." in words(answer.text)
    assert keeps(answer.text)
    assert failures(world, "cora") == (1, False)


def test_a_code_signs_once(world, visit) -> None:
    with world.write() as session:
        first, second = (factories.request_in_review(session, world).id for _ in range(2))
    browser = visit("cora")
    code = code_for("cora")
    one = browser.post(path_of(first), data=filled(browser.get(path_of(first)).text, "cora", code=code))
    two = browser.post(path_of(second), data=filled(browser.get(path_of(second)).text, "cora", code=code))
    assert (one.status_code, two.status_code) == (303, 401)
    assert "That code was used already." in words(two.text)
    assert keeps(two.text)
    three = browser.post(path_of(second), data={**filled(two.text, "cora"), "code": code_for("cora", ahead=1)})
    assert three.status_code == 303


def test_after_five_failures_one_is_locked_out_and_keeps_the_text(world, visit, asked) -> None:
    browser = visit("cora")
    text = browser.get(path_of(asked)).text
    for _ in range(signing_in.MAX_FAILURES):
        answer = browser.post(path_of(asked), data=filled(text, "cora", password="not it at all"))
        text = answer.text
    answer = browser.post(path_of(asked), data=filled(text, "cora"))
    assert answer.status_code == 429
    assert "You are locked out after too many failures. Try again in 15 minutes. Nothing was signed." in words(
        answer.text
    )
    assert keeps(answer.text)
    assert failures(world, "cora")[1]
    assert state(world, asked) == ("open", "in_review", 0)


@pytest.mark.parametrize("username", ["ana", "aud", "kim"])
def test_who_may_not_decide_cannot_by_hand_either(world, visit, asked, username) -> None:
    browser = visit(username)
    with world.read() as session:
        request = world.request(session)
        forged = {"seen_release": request.release_digest, "seen_dossier": request.dossier_digest}
    data = {"csrf_token": browser.token(), "decision_id": uuid4().hex, **forged, "outcome": "approve"}
    answer = browser.post(path_of(asked), data={**data, "reason": REASON, "password": PASSWORD, "code": "123456"})
    assert answer.status_code in (401, 403)
    assert state(world, asked) == ("open", "in_review", 0)


# ------------------------------------------------------------------------------------------------- what changed


def test_a_comment_since_the_page_was_opened_is_shown_first(world, visit, asked) -> None:
    browser = visit("cora")
    text = browser.get(path_of(asked)).text
    comment(world, asked, "Wait: October was measured\non the wrong rows.")
    answer = browser.post(path_of(asked), data=filled(text, "cora"))
    assert answer.status_code == 409
    said = words(answer.text)
    assert "This changed since you opened it. Nothing was signed. Read what came ; your text is kept." in said
    assert "1 entry was added since you opened it: ana comment, just now Wait: October was measured" in said
    assert said.index("Read what came") < said.index("In short")
    assert said.index("October was measured") < said.index("I, Cora (cora), have reviewed")
    assert keeps(answer.text)
    assert state(world, asked) == ("open", "in_review", 0)
    again = browser.post(path_of(asked), data=filled(answer.text, "cora", code=code_for("cora", ahead=1)))
    assert again.status_code == 303, "what is shown now can be signed"
    assert state(world, asked)[2] == 1


def test_the_code_of_a_stale_page_is_not_spent(world, visit, asked) -> None:
    browser = visit("cora")
    text, code = browser.get(path_of(asked)).text, code_for("cora")
    comment(world, asked, "One more thing.")
    stale = browser.post(path_of(asked), data=filled(text, "cora", code=code))
    assert browser.post(path_of(asked), data=filled(stale.text, "cora", code=code)).status_code == 303


def test_a_page_of_another_request_is_stale(world, visit) -> None:
    with world.write() as session:
        one, two = (factories.request_in_review(session, world).id for _ in range(2))
    browser = visit("cora")
    answer = browser.post(path_of(two), data=filled(browser.get(path_of(one)).text, "cora"))
    assert answer.status_code == 409
    assert "You read another state of it than this page shows." in words(answer.text)
    assert state(world, two)[2] == 0


def test_withdrawn_while_somebody_reads(world, visit, asked) -> None:
    browser = visit("cora")
    text = browser.get(path_of(asked)).text
    with world.write() as session:
        approvals.withdraw(session, world.request(session), actor=world.ana, reason="wrong file")
    answer = browser.post(path_of(asked), data=filled(text, "cora"))
    assert answer.status_code == 409
    said = words(answer.text)
    assert "This request is withdrawn." in said
    assert "Withdrawn from review by ana: “wrong file”" in said
    assert keeps(answer.text)
    assert decisions(world, asked) == []


def test_a_page_without_its_number_signs_nothing(world, visit, asked) -> None:
    browser = visit("cora")
    answer = browser.post(path_of(asked), data=filled(browser.get(path_of(asked)).text, "cora", decision_id="x"))
    assert answer.status_code == 409
    assert keeps(answer.text)
    assert state(world, asked)[2] == 0


# -------------------------------------------------------------------------------------------------- at the same time


def test_a_button_pressed_twice_signs_once_and_says_so_twice(world, visit, asked) -> None:
    browser = visit("cora")
    data = filled(browser.get(path_of(asked)).text, "cora")
    answers = [browser.post(path_of(asked), data=data) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert state(world, asked)[2] == 1
    assert failures(world, "cora") == (0, False)


def test_two_people_press_at_once_and_one_of_them_is_the_last(world, visit, asked) -> None:
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic)
    browsers = {username: visit(username) for username in ("cora", "carl")}
    forms = {username: filled(browser.get(path_of(asked)).text, username) for username, browser in browsers.items()}
    answers = at_once(
        *(
            lambda browser=browsers[username], data=forms[username]: browser.post(path_of(asked), data=data)
            for username in browsers
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    late = next(answer for answer in answers if answer.status_code == 409)
    assert "This request is approved." in words(late.text)
    assert keeps(late.text)
    assert state(world, asked) == ("approved", "approved", 2)
    assert builds(world) == 1


# ------------------------------------------------------------------------------------------------ ended session


def end_sessions(world) -> None:
    with world.database.write() as session:
        session.execute(update(LoginSession).values(ended_at=clock.now()))


def test_a_session_that_ended_meanwhile_keeps_the_reason_and_signs_nothing(world, visit, asked) -> None:
    browser = visit("cora")
    data = filled(browser.get(path_of(asked)).text, "cora")
    end_sessions(world)
    comment(world, asked, "Said while cora was away.")
    page = browser.post(path_of(asked), data=data)
    assert page.status_code == 401
    assert kept_fields(page.text)["reason"] == REASON
    signed_in = {**hidden_fields(page.text), **kept_fields(page.text)}
    page = browser.post(path_of(asked), data={**signed_in, "signin-username": "cora", "signin-password": PASSWORD})
    signed_in = {**hidden_fields(page.text), **kept_fields(page.text), "signin-code": code_for("cora", ahead=1)}
    again = browser.post(path_of(asked), data=signed_in)
    assert again.status_code == 200
    said = words(again.text)
    assert "Nothing was sent" in said
    assert "1 entry was added since you opened it: ana comment" in said
    assert keeps(again.text)
    assert state(world, asked)[2] == 0
    sent = browser.post(path_of(asked), data=filled(again.text, "cora"))
    assert sent.status_code == 303
    assert state(world, asked)[2] == 1


def test_a_disabled_person_does_not_sign(world, visit, asked) -> None:
    browser = visit("cora")
    data = filled(browser.get(path_of(asked)).text, "cora")
    with world.write() as session:
        person = session.scalars(select(Person).filter_by(username="cora")).one()
        person.active = False
        acting = Actor(ref="system:test", name="test")
        factories.audit.record(session, factories.audit.Action.PERSON_DISABLED, actor=acting, subject=person)
    assert browser.post(path_of(asked), data=data).status_code == 401
    with world.read() as session:
        assert session.scalars(select(Decision)).all() == []


def test_deciding_needs_the_token_of_the_page(visit, asked) -> None:
    browser = visit("cora")
    data = filled(browser.get(path_of(asked)).text, "cora")
    answer = browser.post(path_of(asked), data={**data, "csrf_token": "other"})
    assert answer.status_code == 400


def test_an_old_code_is_refused(world, visit, asked) -> None:
    browser = visit("cora")
    old = code_for("cora", ahead=-4)
    answer = browser.post(path_of(asked), data=filled(browser.get(path_of(asked)).text, "cora", code=old))
    assert answer.status_code == 401
    assert timedelta(seconds=signing_in.STEP_SECONDS * 4) > timedelta(minutes=1)
    assert state(world, asked)[2] == 0
