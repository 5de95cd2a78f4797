"""Who asks: discovery, whoami, tokens, and every way in which a token is not accepted."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from registry import accounts, clock, jobs, tokens
from registry.access import ALL_SCOPES
from registry.orm.account import ApiToken
from tests import factories
from tests.portal.api.api_support import Caller, problem


def test_discovery_is_open_and_tells_limits_and_targets(app, world, settings):
    target = factories.lock_document()["target"]
    with world.write() as session:
        for name in ("one", "two"):
            jobs.report_worker(session, name=name, isolation="process", note="", target=target, base="host")
    answer = Caller(app.test_client(), None).get("/.well-known/countersign.json")
    assert answer.status_code == 200
    assert answer.get_json() == {
        "api": "http://cs.test/api/v1",
        "version": "0.1.0",
        "client_minimum": "0.1.0",
        "max_upload_bytes": settings.max_upload_bytes,
        "targets": [target],
        "formats": ["joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost"],
    }


def test_whoami_of_a_person(world, caller):
    me = caller(world.ana, "read", "push").get("/whoami").get_json()
    assert me["actor"] == world.ana.ref
    assert (me["name"], me["kind"], me["teams"], me["roles"]) == ("ana", "person", ["payments"], ["scientist"])
    assert me["token"]["scopes"] == ["push", "read"]
    assert me["token"]["expires_at"].endswith("Z")


def test_whoami_of_a_pipeline(app, world):
    with world.write() as session:
        service = factories.service(session, world)
        session.flush()
        _, secret = tokens.create(session, actor=world.ana, name="ci", scopes=["push"], days=1, service=service)
    me = Caller(app.test_client(), secret).get("/whoami").get_json()
    assert (me["actor"], me["kind"], me["teams"]) == (f"service:{service.id.hex}", "service", ["payments"])


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer nonsense", "Basic YW5hOnB3", "Bearer cs_000000000000_" + "0" * 72, "Bearer \x00"],
)
def test_who_does_not_show_a_token_is_turned_away(app, header):
    headers = {"Authorization": header} if header else {}
    answer = app.test_client().get("/api/v1/whoami", headers=headers)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_ended_tokens_are_refused(world, caller, database, monkeypatch):
    revoked, expired, disabled = caller(world.ana), caller(world.ana, days=1), caller(world.ben)
    ident = revoked.get("/whoami").get_json()["token"]["id"]
    assert revoked.delete(f"/tokens/{ident}", headers={"If-Match": "*"}).status_code == 204
    with database.write() as session:
        accounts.disable_person(session, accounts.load_person(session, username="ben"), actor=world.root)
    problem(revoked.get("/whoami"), 401, "token-refused")
    problem(disabled.get("/whoami"), 401, "token-refused")
    later = clock.now() + timedelta(days=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    problem(expired.get("/whoami"), 401, "token-refused")


def test_a_browsers_session_is_no_token(browser, world):
    problem(browser(world.ana).get("/api/v1/whoami"), 401, "not-signed-in")


def test_last_use_is_stamped_once_a_minute(world, caller, database, monkeypatch):
    ana = caller(world.ana)

    def stamp():
        with database.read() as session:
            return session.scalar(sa.select(ApiToken.last_used_at).order_by(ApiToken.id.desc()).limit(1))

    assert stamp() is None
    ana.get("/whoami")
    first = stamp()
    assert first is not None
    ana.get("/whoami")
    assert stamp() == first
    later = first + timedelta(seconds=61)
    monkeypatch.setattr(clock, "now", lambda: later)
    ana.get("/whoami")
    assert stamp() == later


def test_a_token_makes_another_that_is_shown_once(world, caller, app):
    ana = caller(world.ana)
    sent = {"name": "laptop", "scopes": ["read", "push"], "days": 7}
    key = {"Idempotency-Key": "once"}
    made = ana.post("/tokens", sent, headers=key)
    assert made.status_code == 201
    document = made.get_json()
    assert Caller(app.test_client(), document["token"]).get("/whoami").get_json()["token"]["id"] == document["id"]
    shown = ana.get(made.headers["Location"])
    assert shown.get_json() == {**document, "token": None, "last_used_at": shown.get_json()["last_used_at"]}
    again = ana.post("/tokens", sent, headers=key)
    assert again.get_json() == {**document, "token": None}
    assert [row["id"] for row in ana.get("/tokens").get_json()["items"]].count(document["id"]) == 1


def test_a_token_cannot_give_what_it_has_not(world, caller):
    reader = caller(world.ana, "read", "tokens")
    problem(reader.post("/tokens", {"name": "more", "scopes": ["push"], "days": 1}), 403, "forbidden")
    problem(caller(world.ana, "read").get("/tokens"), 403, "missing-scope")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes"),
        ({"days": 0}, "/days"),
        ({"days": 366}, "/days"),
        ({"days": "30"}, "/days"),
        ({"name": ""}, "/name"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_a_token_that_does_not_fit_is_not_made(ana, change, pointer):
    body = problem(ana.post("/tokens", {"name": "t", "scopes": ["read"], "days": 1} | change), 422, "invalid")
    assert pointer in {error["pointer"] for error in body["errors"]}


def test_revoking_asks_what_was_seen(ana):
    made = ana.post("/tokens", {"name": "t", "scopes": ["read"], "days": 1})
    path = made.headers["Location"]
    problem(ana.delete(path), 428, "precondition-missing")
    problem(ana.delete(path, headers={"If-Match": '"9"'}), 412, "stale")
    assert ana.delete(path, headers={"If-Match": ana.get(path).headers["ETag"]}).status_code == 204
    assert ana.get(path).get_json()["revoked_at"] is not None
    problem(ana.delete(path, headers={"If-Match": made.headers["ETag"]}), 412, "stale")


def test_nobody_sees_or_ends_the_tokens_of_others(app, world, caller, ana, lea):
    with world.write() as session:
        service = factories.service(session, world)
        session.flush()
        row, secret = tokens.create(session, actor=world.ana, name="ci", scopes=ALL_SCOPES, days=1, service=service)
        lending = accounts.add_service(session, accounts.get_team(session, "lending"), actor=world.lea, name="pipe")
        session.flush()
        tokens.create(session, actor=world.lea, name="theirs", scopes=ALL_SCOPES, days=1, service=lending)
    problem(lea.get(f"/tokens/{row.id}"), 404, "not-found")
    problem(lea.delete(f"/tokens/{row.id}", headers={"If-Match": "*"}), 404, "not-found")
    assert "ci" in {token["name"] for token in ana.get("/tokens").get_json()["items"]}
    pipeline = Caller(app.test_client(), secret)
    assert {token["name"] for token in pipeline.get("/tokens").get_json()["items"]} == {"ci"}
