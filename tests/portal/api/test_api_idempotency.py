"""A POST with an Idempotency-Key is done once, however often it is sent."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from registry import clock, idempotency
from registry.errors import InFlight
from registry.orm.account import IdempotencyKey
from registry.orm.catalog import RegisteredModel
from tests import factories
from tests.portal.api.api_support import FIRST, problem

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
SENT = {"name": "payments/spam", "purpose": "Finds spam"}


def models(database):
    with database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(RegisteredModel))


def test_the_same_again_is_told_again(ana, database):
    first = ana.post("/models", SENT, headers=KEY)
    again = ana.post("/models", SENT, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert again.get_json() == first.get_json()
    for name in ("Location", "ETag", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert models(database) == 1
    problem(ana.post("/models", SENT), 409, "already-exists")


def test_another_request_under_the_key_is_refused(ana, database):
    ana.post("/models", SENT, headers=KEY)
    problem(ana.post("/models", SENT | {"purpose": "else"}, headers=KEY), 422, "idempotency-key-reused")
    problem(ana.post("/tokens", {"name": "t", "scopes": ["read"]}, headers=KEY), 422, "idempotency-key-reused")
    assert models(database) == 1


def test_keys_of_others_are_others(world, caller, ana):
    assert ana.post("/models", SENT, headers=KEY).status_code == 201
    other = caller(world.ben).post("/models", SENT | {"name": "payments/ham"}, headers=KEY)
    assert other.status_code == 201


def test_a_refusal_is_not_kept(world, ana):
    with world.write() as session:
        factories.checking_version(session, world)
    problem(ana.post(f"{FIRST}/submit", {"uses": ["x"], "environments": ["y"]}, headers=KEY), 409, "wrong-stage")
    with world.write() as session:
        factories.check(session, world.version(session))
    assert ana.post(f"{FIRST}/submit", {"uses": ["x"], "environments": ["y"]}, headers=KEY).status_code == 201


def test_a_scope_is_asked_before_anything_is_told(world, caller, ana):
    ana.post("/models", SENT, headers=KEY)
    problem(caller(world.ana, "read").post("/models", SENT, headers=KEY), 403, "missing-scope")


def test_a_key_is_kept_a_day(ana, database, monkeypatch):
    assert ana.post("/models", SENT, headers=KEY).status_code == 201
    later = clock.now() + timedelta(hours=24, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    other = SENT | {"name": "payments/ham"}
    assert ana.post("/models", other, headers=KEY).get_json()["name"] == "payments/ham"
    assert ana.post("/models", other, headers=KEY).headers["Idempotency-Replayed"] == "true"


def test_expired_keys_are_swept(world, ana, database, monkeypatch):
    for number in range(3):
        ana.post("/models", {"name": f"payments/m{number}"}, headers={"Idempotency-Key": f"old-{number}"})
    later = clock.now() + timedelta(hours=25)
    monkeypatch.setattr(clock, "now", lambda: later)
    for number in range(100):
        with world.write() as session:
            use = idempotency.begin(session, actor=world.ana, key=f"new-{number}", said=str(number).encode())
            idempotency.keep(session, use, idempotency.Kept(200, {}, ""))
    with database.read() as session:
        left = set(session.scalars(sa.select(IdempotencyKey.key)))
    assert len(left) == 100
    assert not any(key.startswith("old") for key in left)


@pytest.mark.parametrize("key", ["", "x" * 201, "with space", "Größe"])
def test_what_is_no_key(ana, key):
    answer = ana.post("/models", SENT, headers={"Idempotency-Key": key.encode().decode("latin-1")})
    problem(answer, 422, "invalid")


def test_sent_twice_at_once_it_is_done_once(world, caller, database):
    callers = [caller(world.ana), caller(world.ana), caller(world.ana)]
    gate, answers = threading.Barrier(3), []

    def send(asking):
        gate.wait()
        answers.append(asking.post("/models", SENT, headers=KEY))

    threads = [threading.Thread(target=send, args=(each,)) for each in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.text for answer in done}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in done) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "in-flight")
    assert models(database) == 1


def test_while_the_first_runs_the_second_waits_or_is_told(world, database):
    """PostgreSQL tells at once; SQLite has one writer, so the second waits and is answered as the first was."""
    answers = []
    with database.write() as first:
        use = idempotency.begin(first, actor=world.ana, key="k", said=b"x")

        def second():
            with database.write() as session:
                try:
                    answers.append(idempotency.begin(session, actor=world.ana, key="k", said=b"x").kept)
                except InFlight as error:
                    answers.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        if not database.is_sqlite:
            thread.join()
        idempotency.keep(first, use, idempotency.Kept(201, {"ETag": '"1"'}, "told"))
    thread.join()
    if database.is_sqlite:
        assert answers == [idempotency.Kept(201, {"ETag": '"1"'}, "told")]
    else:
        assert [type(answer) for answer in answers] == [InFlight]
