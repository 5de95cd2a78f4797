"""Bytes on their way in, without a server between: digests, limits, and no telling of what others sent."""

import hashlib
import io
import threading

import pytest

from portal import db
from registry import accounts, catalog
from registry.orm.catalog import Blob, Upload
from tests import factories
from tests.portal.api.api_support import problem

BYTES = b"some model" * 100


def address(data=BYTES):
    return "/blobs/sha256:" + hashlib.sha256(data).hexdigest()


def incoming(store):
    return list((store.path("sha256:" + "0" * 64).parents[2] / "incoming").iterdir())


def test_put_once_and_again(world, ana, store):
    assert ana("HEAD", address()).status_code == 404
    made = ana.put(address(), data=BYTES)
    digest = address().removeprefix("/blobs/")
    assert (made.status_code, made.get_json()) == (201, {"digest": digest, "size": len(BYTES)})
    assert ana("HEAD", address()).status_code == 200
    assert b"".join(store.chunks(digest)) == BYTES
    again = ana.put(address(), data=BYTES)
    assert (again.status_code, again.get_json()) == (200, made.get_json())
    with world.read() as session:
        assert (session.query(Blob).count(), session.query(Upload).count()) == (1, 1)


def test_nothing_and_much(ana):
    assert ana.put(address(b""), environ_overrides={"CONTENT_LENGTH": "0"}).status_code == 201
    exactly = b"x" * (1 << 20)
    assert ana.put(address(exactly), data=exactly).status_code == 201
    problem(ana.put(address(exactly + b"x"), data=exactly + b"x"), 413, "too-large")


def test_other_bytes_than_said(ana, store):
    body = problem(ana.put(address(), data=BYTES[:-1]), 422, "digest-mismatch")
    assert body["hint"]
    assert ana("HEAD", address()).status_code == 404
    assert not store.has(address().removeprefix("/blobs/"))
    assert incoming(store) == []


@pytest.mark.parametrize("digest", ["sha256:xyz", "md5:00", "sha256:" + "A" * 64, "sha256:" + "0" * 65])
def test_an_address_that_is_no_digest(ana, digest):
    problem(ana.put(f"/blobs/{digest}", data=b"x"), 422, "invalid")
    assert ana("HEAD", f"/blobs/{digest}").status_code == 422


def test_a_body_without_an_end_is_refused(ana):
    answer = ana.put(address(), input_stream=io.BytesIO(BYTES), environ_overrides={"CONTENT_LENGTH": ""})
    problem(answer, 411, "length-required")


def test_a_body_that_the_server_ends_itself(ana):
    answer = ana.put(
        address(),
        input_stream=io.BytesIO(BYTES),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    )
    assert answer.status_code == 201


def test_a_body_cut_off_leaves_nothing(ana, store):
    cut = io.BytesIO(BYTES[:50])
    answer = ana.put(address(), input_stream=cut, environ_overrides={"CONTENT_LENGTH": str(len(BYTES))})
    problem(answer, 400, "bad-request")
    assert not store.has(address().removeprefix("/blobs/"))
    assert incoming(store) == []


def test_no_transaction_is_open_while_bytes_flow(app, ana, store, monkeypatch):
    seen = []

    class Watched(io.BytesIO):
        def read(self, size=-1):
            seen.append(db.g.get("unit"))
            return super().read(size)

    answer = ana.put(address(), input_stream=Watched(BYTES))
    assert answer.status_code == 201
    assert seen
    assert set(seen) == {None}


def test_what_others_sent_is_not_told(world, ana, lea, caller):
    ana.put(address(), data=BYTES)
    assert lea("HEAD", address()).status_code == 404
    mine = lea.put(address(), data=BYTES)
    assert mine.status_code == 201
    assert lea("HEAD", address()).status_code == 200


def test_bytes_of_a_version_are_there_for_those_who_may_read_it(world, ana, lea, caller):
    with world.write() as session:
        version = factories.ready_version(session, world, content=BYTES)
    ben = caller(world.ben)
    assert ben("HEAD", address()).status_code == 200
    assert lea("HEAD", address()).status_code == 404
    with world.write() as session:
        model = catalog.get_model(session, factories.MODEL, actor=world.lea)
        team = accounts.get_team(session, "lending")
        catalog.declare_use(session, model, team, actor=world.lea, purpose="routing of loans")
    assert lea("HEAD", address()).status_code == 200
    assert version.number == 1


def test_who_may_not(world, caller):
    problem(caller(world.kim).put(address(), data=BYTES), 403, "missing-role")
    problem(caller(world.ana, "read").put(address(), data=BYTES), 403, "missing-scope")
    problem(caller(None).put(address(), data=BYTES), 401, "not-signed-in")


def test_the_upload_page_sends_with_its_session_and_token_of_the_form(app, world, browser):
    client = browser(world.ana)
    refused = client.put("/api/v1" + address(), data=BYTES)
    problem(refused, 400, "csrf")
    page = client.get("/settings/profile").text
    token = page.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
    assert client.put("/api/v1" + address(), data=BYTES, headers={"X-CSRFToken": token}).status_code == 201
    assert client.head("/api/v1" + address()).status_code == 200


def test_the_same_bytes_twice_at_once(world, caller):
    callers = [caller(world.ana), caller(world.ana), caller(world.ben)]
    gate, answers = threading.Barrier(3), []

    def send(asking):
        gate.wait()
        answers.append(asking.put(address(), data=BYTES).status_code)

    threads = [threading.Thread(target=send, args=(each,)) for each in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 201, 201]
    with world.read() as session:
        assert (session.query(Blob).count(), session.query(Upload).count()) == (1, 2)
