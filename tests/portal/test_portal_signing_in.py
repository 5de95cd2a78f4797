"""Sign-in through the real forms: password, code, lock-out, `next`, sign-out, sessions that end."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from registry import access, accounts, audit, clock
from registry.db import Database
from registry.orm.account import LoginSession, Person
from registry.orm.audit import AuditEntry
from tests.portal.conftest import PASSWORD, Browser, code_for, hidden_fields

Maker = Callable[..., Person]
SignIn = Callable[..., Browser]


def try_password(client: Browser, username: str, password: str = PASSWORD, path: str = "/login"):
    return client.submit(path, {"signin-username": username, "signin-password": password})


def try_code(client: Browser, page: str, code: str, path: str = "/login"):
    return client.post(path, data={**hidden_fields(page), "signin-code": code})


def sessions(database: Database) -> list[LoginSession]:
    with database.read() as session:
        return list(session.scalars(select(LoginSession)))


def test_password_alone_for_roles_that_need_no_more(client: Browser, make_person: Maker, database: Database) -> None:
    make_person("ana", roles=["scientist"])
    answer = try_password(client, "ana")
    assert (answer.status_code, answer.location) == (303, "/")
    assert client.get("/").status_code == 200
    assert [login.second_factor_at for login in sessions(database)] == [None]


def test_code_is_the_second_step(client: Browser, make_person: Maker, database: Database) -> None:
    make_person("cora", roles=["compliance"])
    page = try_password(client, "cora")
    assert page.status_code == 200
    assert "One-time code" in page.text
    assert client.get("/").location.startswith("/login"), "the password alone opened a door"
    page = try_password(client, "cora")
    assert try_code(client, page.text, code_for("cora")).status_code == 303
    assert client.get("/").status_code == 200
    assert sessions(database)[0].second_factor_at is not None


def test_a_code_signs_in_once(browser: Callable[[], Browser], make_person: Maker) -> None:
    make_person("cora", roles=["compliance"])
    with time_machine.travel(clock.now(), tick=False):
        code = code_for("cora")
        first, second = browser(), browser()
        assert try_code(first, try_password(first, "cora").text, code).status_code == 303
        answer = try_code(second, try_password(second, "cora").text, code)
        assert answer.status_code == 401
        assert "used already" in answer.text
        assert second.get("/").status_code == 303


@pytest.mark.parametrize(("username", "password"), [("ana", "not the password"), ("nobody", PASSWORD)])
def test_wrong_name_and_wrong_password_look_the_same(
    client: Browser, make_person: Maker, username: str, password: str
) -> None:
    make_person("ana", roles=["scientist"])
    answer = try_password(client, username, password)
    assert answer.status_code == 401
    assert "That name and password do not belong together." in answer.text
    assert f'value="{username}"' in answer.text
    assert password not in answer.text


def test_five_failures_lock_for_a_while(client: Browser, make_person: Maker, database: Database) -> None:
    make_person("ana", roles=["scientist"])
    for _ in range(5):
        assert try_password(client, "ana", "wrong password").status_code == 401
    answer = try_password(client, "ana")
    assert answer.status_code == 429
    assert "minutes" in answer.text
    with database.read() as session:
        failures = session.scalars(select(AuditEntry).filter_by(action=audit.Action.SIGN_IN_FAILED.value)).all()
    assert len(failures) == 5
    with time_machine.travel(clock.now() + timedelta(minutes=16)):
        assert try_password(client, "ana").status_code == 303


def test_wrong_codes_lock_too(client: Browser, make_person: Maker) -> None:
    make_person("cora", roles=["compliance"])
    page = try_password(client, "cora").text
    for _ in range(5):
        answer = try_code(client, page, "000000")
        assert answer.status_code == 401
        page = answer.text
    answer = try_code(client, page, code_for("cora"))
    assert answer.status_code == 429
    assert client.get("/").status_code == 303


def test_the_second_step_must_follow_soon(client: Browser, make_person: Maker) -> None:
    make_person("cora", roles=["compliance"])
    page = try_password(client, "cora").text
    with time_machine.travel(clock.now() + timedelta(minutes=6)):
        answer = try_code(client, page, code_for("cora"))
        assert answer.status_code == 401
        assert "five minutes" in answer.text
        assert client.get("/").status_code == 303


@pytest.mark.parametrize("target", ["/settings/tokens", "/settings/tokens?a=1&b=2"])
def test_next_leads_back(client: Browser, make_person: Maker, target: str) -> None:
    make_person("ana", roles=["scientist"])
    location = client.get(target).location
    assert location == f"/login?next={quote(target, safe='/?')}"
    assert try_password(client, "ana", path=location).location == target


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", "/\r\nx"]
)
def test_next_never_leads_elsewhere(client: Browser, make_person: Maker, target: str) -> None:
    make_person("ana", roles=["scientist"])
    assert try_password(client, "ana", path="/login?next=" + quote(target)).location == "/"


def test_signing_out_ends_the_session_on_the_server(login: Callable[..., Browser], database: Database) -> None:
    browser = login("scientist")
    cookie = browser.get_cookie("countersign")
    assert browser.act("/logout").location == "/login"
    assert all(row.ended_at for row in sessions(database))
    browser.set_cookie("countersign", cookie.value)  # a copy of the cookie is worth nothing now
    assert browser.get("/").status_code == 303


def test_ending_another_session_signs_that_browser_out(make_person: Maker, sign_in: SignIn, database: Database) -> None:
    person = make_person("ana", roles=["scientist"])
    here, there = sign_in(person), sign_in(person)
    oldest = min(sessions(database), key=lambda row: row.id)
    assert there.act(f"/settings/security/sessions/{oldest.id}/end").status_code == 303
    assert here.get("/").location.startswith("/login")
    assert there.get("/").status_code == 200
    assert there.get("/settings/security").text.count("This one") == 1


def test_nobody_ends_somebody_elses_session(make_person: Maker, sign_in: SignIn, database: Database) -> None:
    ana, ben = sign_in(make_person("ana")), sign_in(make_person("ben"))
    first = min(sessions(database), key=lambda row: row.id)
    assert ben.act(f"/settings/security/sessions/{first.id}/end").status_code == 404
    assert ana.get("/").status_code == 200


@pytest.mark.parametrize("away", [timedelta(minutes=61), timedelta(hours=13)])
def test_a_session_ends_by_itself(login: Callable[..., Browser], away: timedelta) -> None:
    browser = login("scientist")
    with time_machine.travel(clock.now() + away):
        answer = browser.get("/settings/profile")
        assert answer.location == "/login?next=/settings/profile"
        assert "Your session has ended" in browser.get(answer.location).text


def test_use_keeps_a_session_alive_up_to_its_limit(login: Callable[..., Browser]) -> None:
    browser = login("scientist")
    start = clock.now()
    for minutes in range(30, 12 * 60, 30):
        with time_machine.travel(start + timedelta(minutes=minutes)):
            assert browser.get("/settings/profile").status_code == 200, f"after {minutes} minutes"
    with time_machine.travel(start + timedelta(hours=12, minutes=1)):
        assert browser.get("/settings/profile").status_code == 303


def test_last_seen_is_stamped_at_most_once_a_minute(login: Callable[..., Browser], database: Database) -> None:
    browser = login("scientist")
    first = sessions(database)[0].last_seen_at
    browser.get("/")
    assert sessions(database)[0].last_seen_at == first
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        browser.get("/")
    assert sessions(database)[0].last_seen_at > first


def test_a_disabled_person_is_out_at_once(login: Callable[..., Browser], database: Database) -> None:
    browser = login("scientist", username="ana")
    root = access.Actor("system:test", "t", roles=frozenset({accounts.Role.ADMINISTRATOR}), second_factor=True)
    with database.write() as session:
        accounts.disable_person(session, accounts.load_person(session, username="ana"), actor=root)
    assert browser.get("/").status_code == 303
    answer = try_password(browser, "ana")
    assert answer.status_code == 401


def test_cookies_are_kept_from_scripts_and_other_sites(client: Browser, make_person: Maker) -> None:
    make_person("ana")
    cookie = try_password(client, "ana").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_production_cookies_are_bound_to_the_host(settings, database: Database) -> None:
    from dataclasses import replace

    from portal import create_app

    app: Flask = create_app(replace(settings, env="production", public_url="https://models.example"), database)
    answer = app.test_client().get("/login")
    assert answer.headers["Set-Cookie"].startswith("__Host-countersign=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
