"""Downloads: whole and checked, by range, and only for those who may."""

import pytest

from registry.errors import Unavailable
from tests import factories
from tests.portal.catalog.conftest import VOICE

CONTENT = bytes(range(256)) * 40
FILE = f"{VOICE}/versions/1/files/model.joblib"


@pytest.fixture
def pushed(world):
    with world.write() as session:
        return factories.ready_version(session, world, content=CONTENT)


def digest_of(version) -> str:
    return next(file.digest for file in version.files if file.path == "model.joblib")


def test_a_file_comes_whole_with_its_digest_as_tag(ana, pushed):
    answer = ana.get(FILE)
    assert answer.data == CONTENT
    assert answer.headers["ETag"] == f'"{digest_of(pushed)}"'
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Disposition"] == "attachment; filename=voice-1-model.joblib"
    assert answer.mimetype == "application/octet-stream"
    assert ana.get(FILE, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, len(CONTENT)),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
        ("bytes=10000-99999", 10_000, len(CONTENT)),
    ],
)
def test_a_range_of_it(ana, pushed, asked, begin, end):
    answer = ana.get(FILE, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.data == CONTENT[begin:end]
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(end - begin)


def test_a_range_of_something_else_than_one_has_is_answered_whole(ana, pushed):
    answer = ana.get(FILE, headers={"Range": "bytes=0-9", "If-Range": '"sha256:other"'})
    assert answer.status_code == 200
    assert answer.data == CONTENT
    same = ana.get(FILE, headers={"Range": "bytes=0-9", "If-Range": f'"{digest_of(pushed)}"'})
    assert same.status_code == 206


def test_a_range_behind_the_end_is_refused(ana, pushed):
    assert ana.get(FILE, headers={"Range": f"bytes={len(CONTENT)}-"}).status_code == 416


def test_no_other_file_can_be_reached(ana, pushed):
    for path in ("missing", "../../../../etc/passwd", "sample.jsonl/x"):
        assert ana.get(f"{VOICE}/versions/1/files/{path}").status_code == 404


@pytest.mark.parametrize(
    ("username", "status"),
    [("ben", 200), ("vic", 200), ("cora", 200), ("lea", 403), ("kim", 403), ("aud", 403), ("ops", 403), ("root", 403)],
)
def test_files_are_for_the_team_and_for_those_who_judge(visit, pushed, username, status):
    browser = visit(username)
    assert browser.get(FILE).status_code == status
    assert (FILE in browser.get(f"{VOICE}/versions/1").text) == (status == 200)


def test_damaged_bytes_are_never_sent_to_their_end(world, ana, pushed):
    path = world.store.path(digest_of(pushed))
    path.chmod(0o600)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(Unavailable, match="damaged"):
        ana.get(FILE)


def test_bytes_that_are_gone_are_told(world, ana, pushed):
    path = world.store.path(digest_of(pushed))
    path.unlink()
    for headers in ({}, {"Range": "bytes=0-9"}):
        assert ana.get(FILE, headers=headers).status_code == 503
