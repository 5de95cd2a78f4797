"""Files of a version on their way out: whole, in parts, and only for those who may have them."""

import base64
import hashlib

import pytest

from registry import accounts, catalog
from registry.errors import Unavailable
from tests import factories
from tests.portal.api.api_support import FIRST, MODEL, problem

DATABASES = ["sqlite"]
BYTES = bytes(range(256)) * 5_000
DIGEST = "sha256:" + hashlib.sha256(BYTES).hexdigest()
PATH = f"{FIRST}/files/model.joblib"
END = len(BYTES)


@pytest.fixture(autouse=True)
def version(world):
    with world.write() as session:
        return factories.ready_version(session, world, content=BYTES)


def test_whole(ana):
    answer = ana.get(PATH)
    assert answer.status_code == 200
    assert answer.data == BYTES
    assert answer.headers["ETag"] == f'"{DIGEST}"'
    assert answer.headers["Content-Length"] == str(END)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename=model.joblib"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Accept-Ranges"] == "bytes"
    encoded = answer.headers["Repr-Digest"].removeprefix("sha-256=:").removesuffix(":")
    assert base64.b64decode(encoded) == hashlib.sha256(BYTES).digest()


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, END),
        ("bytes=10-19", 10, 20),
        (f"bytes={END - 1}-", END - 1, END),
        ("bytes=-5", END - 5, END),
        (f"bytes=1048570-{END + 99}", 1_048_570, END),
        (f"bytes=-{END * 2}", 0, END),
    ],
)
def test_a_range(ana, asked, start, end):
    answer = ana.get(PATH, headers={"Range": asked, "If-Range": f'"{DIGEST}"'})
    assert answer.status_code == 206
    assert answer.data == BYTES[start:end]
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{END}"
    assert answer.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,5-6"},
        {"Range": "pages=1-2"},
        {"Range": "bytes=5-1"},
        {"Range": "bytes=x"},
        {"Range": "bytes=10-19", "If-Range": '"sha256:other"'},
        {"Range": "bytes=10-19", "If-Range": "Mon, 23 Nov 2026 00:00:00 GMT"},
    ],
)
def test_what_is_no_range_of_this_gives_the_whole(ana, headers):
    answer = ana.get(PATH, headers=headers)
    assert (answer.status_code, len(answer.data)) == (200, END)


def test_a_range_behind_the_end(ana):
    answer = ana.get(PATH, headers={"Range": f"bytes={END}-"})
    problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{END}"


def test_who_has_it_gets_nothing(ana):
    answer = ana.get(PATH, headers={"If-None-Match": f'"{DIGEST}"', "Range": "bytes=1-2"})
    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", f'"{DIGEST}"')


def test_head_tells_the_size(ana):
    answer = ana("HEAD", PATH)
    assert (answer.status_code, answer.headers["Content-Length"], answer.data) == (200, str(END), b"")


def test_artifacts_are_for_the_team_and_for_declared_users(world, ana, lea, cora, caller):
    kim = caller(world.kim)
    for other in (lea, kim, cora):
        body = problem(other.get(PATH), 403, "forbidden")
        assert "Declare" in body["hint"]
    with world.write() as session:
        model = catalog.get_model(session, factories.MODEL, actor=world.kim)
        team = accounts.get_team(session, "lending")
        catalog.declare_use(session, model, team, actor=world.kim, purpose="routing of loans")
    assert kim.get(PATH).status_code == lea.get(PATH).status_code == 200
    problem(cora.get(PATH), 403, "forbidden")
    problem(caller(world.ana, "push").get(PATH), 403, "missing-scope")


def test_no_such_file(ana):
    assert "model.joblib, sample.jsonl" in problem(ana.get(f"{FIRST}/files/model.pkl"), 404, "not-found")["hint"]
    problem(ana.get(f"{FIRST}/files/../../secret"), 404, "not-found")
    problem(ana.get(f"{MODEL}/versions/9/files/model.joblib"), 404, "not-found")


def test_damaged_bytes_do_not_come_out_whole(ana, store):
    path = store.path(DIGEST)
    path.chmod(0o600)
    path.write_bytes(BYTES[:-1] + b"!")
    received: list[bytes] = []
    answer = ana.get(PATH, buffered=False)
    with pytest.raises(Unavailable, match="damaged"):
        received.extend(answer.response)
    assert sum(map(len, received)) < END


def test_missing_bytes_are_a_fault_of_ours(ana, store):
    store.path(DIGEST).unlink()
    assert problem(ana.get(PATH), 503, "unavailable")["hint"] == "Tell an operator."


def test_an_empty_file(world, ana):
    with world.write() as session:
        version = factories.ready_version(session, world, content=b"")
    path = f"{MODEL}/versions/{version.number}/files/model.joblib"
    assert ana.get(path).data == b""
    problem(ana.get(path, headers={"Range": "bytes=0-"}), 416, "range-not-satisfiable")
