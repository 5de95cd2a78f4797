"""Pulling: verified, whole or not at all, approved or explicitly not."""

import json

import pytest
from client_folder import NAME

from countersign import errors, refs
from countersign.formats import digest as digests


@pytest.fixture
def pushed(client, portal, folder):
    (folder / "model.joblib").write_bytes(b"\x80\x04" + bytes(3 << 20) + b".")
    version = client.push(folder, name=NAME)
    portal.move(NAME, 1, "approved")
    return version


def leftovers(place):
    return [entry.name for entry in place.iterdir() if entry.name not in {"model", ".git"}]


def test_a_pull_brings_files_card_and_record(client, pushed, tmp_path, folder):
    done = client.download(NAME, tmp_path / "out")
    assert (done.folder / "model.joblib").read_bytes() == (folder / "model.joblib").read_bytes()
    assert (done.folder / "card.md").read_text() == (folder / "card.md").read_text()
    assert json.loads((done.folder / "countersign.json").read_text())["ref"] == f"{NAME}:1"
    assert not done.was_there


def test_pulling_again_finds_the_folder_and_then_the_cache(client, portal, pushed, tmp_path):
    client.download(NAME, tmp_path / "out")
    assert client.download(NAME, tmp_path / "out").was_there
    client.download(NAME, tmp_path / "second")
    assert len(portal.calls("GET", "/files/")) == 2


def test_a_damaged_cache_is_not_believed(client, portal, pushed, tmp_path, home):
    client.download(NAME, tmp_path / "out")
    for cached in (home / "cache" / "countersign" / "blobs").glob("*"):
        if cached.suffix != ".lock":
            cached.write_bytes(b"changed")
    done = client.download(NAME, tmp_path / "second")
    assert digests.of_file(done.folder / "model.joblib")[0] == pushed.files[0].digest
    assert len(portal.calls("GET", "/files/")) == 4


@pytest.mark.parametrize("ref", [f"{NAME}:1", f"{NAME}:champion", "artifact", NAME])
def test_every_kind_of_reference(client, portal, pushed, tmp_path, ref):
    portal.version(NAME, 1)["aliases"] = ["champion"]
    wanted = f"{NAME}@{pushed.artifact_digest}" if ref == "artifact" else ref
    assert client.download(wanted, tmp_path / "out").version.ref == f"{NAME}:1"


def test_what_nobody_approved_needs_a_word(client, portal, pushed, tmp_path):
    portal.move(NAME, 1, "revoked")
    with pytest.raises(errors.NotApproved, match="revoked") as caught:
        client.download(f"{NAME}:1", tmp_path / "out")
    assert (caught.value.exit_code, (tmp_path / "out").exists()) == (5, False)
    assert client.download(f"{NAME}:1", tmp_path / "out", allow_unapproved=True).folder.is_dir()


def test_a_cut_download_goes_on_where_it_stopped(client, portal, pushed, tmp_path, pauses):
    portal.fail("GET", r"/files/model\.joblib", cut_answer=300_000)
    client.download(NAME, tmp_path / "out")
    first, second = portal.calls("GET", r"/files/model\.joblib")
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=262144-"
    assert second.headers["if-range"] == f'"{pushed.files[0].digest}"'
    assert len(pauses) == 1


def test_other_bytes_than_promised_are_refused_and_nothing_is_left(client, portal, pushed, tmp_path):
    size = pushed.files[0].size
    portal.blobs[pushed.files[0].digest] = b"\x80" * size
    with pytest.raises(errors.VerificationError, match="arrived as sha256") as caught:
        client.download(NAME, tmp_path / "work" / "out")
    assert caught.value.exit_code == 10
    assert leftovers(tmp_path / "work") == []


def test_more_bytes_than_promised_are_refused(client, portal, pushed, tmp_path):
    portal.blobs[pushed.files[0].digest] += b"more"
    with pytest.raises(errors.VerificationError, match="longer than"):
        client.download(NAME, tmp_path / "work" / "out")
    assert leftovers(tmp_path / "work") == []


def test_a_file_list_that_contradicts_its_digest_is_refused(client, portal, pushed, tmp_path):
    portal.version(NAME, 1)["files"] = portal.version(NAME, 1)["files"][:1]
    with pytest.raises(errors.VerificationError, match="the server says"):
        client.download(NAME, tmp_path / "out")


def test_a_path_that_leaves_the_folder_is_refused(client, portal, pushed, tmp_path):
    portal.version(NAME, 1)["files"][0] = {**portal.version(NAME, 1)["files"][0], "path": "../../evil"}
    with pytest.raises(errors.VerificationError, match="not valid"):
        client.download(NAME, tmp_path / "out")
    assert not portal.calls("GET", "/files/")


def test_another_version_than_the_digest_asked_for_is_refused(client, portal, pushed, tmp_path):
    asked = "sha256:" + "5" * 64
    portal.version(NAME, 1)["release_digest"] = asked
    assert client.download(f"{NAME}@{asked}", tmp_path / "out").version.release_digest == asked
    portal.version(NAME, 1)["aliases"] = [asked]
    portal.version(NAME, 1)["release_digest"] = None
    with pytest.raises(errors.VerificationError, match="was asked for"):
        client.download(f"{NAME}@{asked}", tmp_path / "out2")


def test_a_folder_with_other_things_is_left_alone(client, portal, pushed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(errors.Unusable, match="holds something else"):
        client.download(NAME, tmp_path / "out")
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    assert not portal.calls("GET", "/files/")


def test_a_cut_that_lasts_leaves_no_folder_but_keeps_what_came(client, portal, pushed, tmp_path):
    portal.fail("GET", r"/files/model\.joblib", times=9, cut_answer=300_000)
    with pytest.raises(errors.Trouble):
        client.download(NAME, tmp_path / "work" / "out")
    assert leftovers(tmp_path / "work") == []
    portal.faults.clear()
    client.download(NAME, tmp_path / "work" / "out")
    assert portal.calls("GET", r"/files/model\.joblib")[-1].headers["range"] == f"bytes={5 * 262144}-"


@pytest.mark.parametrize(
    "text", ["feedback", "Payments/x", "a/b:", "a/b:no spaces", "a/b@sha256:12", "a/b/c", "-a/b", ""]
)
def test_malformed_references_are_refused_before_asking(text):
    with pytest.raises(errors.Unusable) as caught:
        refs.parse(text)
    assert caught.value.hint


def test_references_are_read_back_as_written():
    digest = f"a/b@sha256:{'0' * 64}"
    assert [str(refs.parse(text)) for text in ("a/b:3", digest, "a/b")] == ["a/b:3", digest, "a/b:approved"]
