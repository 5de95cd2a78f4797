"""Pushing folders and files: what is sent, what is skipped, what survives a cut."""

import json

import pytest
from client_folder import NAME, fill
from fake_portal import TOKEN

import countersign
from countersign import collecting, errors
from countersign.progress import SENT, STORED


def test_a_folder_becomes_a_version(client, portal, folder):
    (folder / "metrics.json").write_text('{"accuracy": 0.93}')
    (folder / "notes.ipynb").write_text("{}")
    version = client.push(
        folder,
        name=NAME,
        label="1.4.0",
        params={"alpha": 0.1},
        tags={"team": "cx"},
        lineage=collecting.lineage(datasets=[f"feedback@sha256:{'a' * 64}"], commit="abc", parent=f"{NAME}:1"),
    )
    assert (version.ref, version.is_new, version.stage) == (f"{NAME}:1", True, "ready")
    assert [file.path for file in version.files] == ["model.joblib", "sample.jsonl"]
    assert version.extra["future"] == {"kept": True}
    assert version.to_dict()["future"] == {"kept": True}
    push = json.loads(portal.calls("POST", "versions")[0].body)
    assert push["metrics"] == [{"name": "accuracy", "value": 0.93}]
    assert push["lineage"] == [
        {"relation": "trained_on", "kind": "dataset", "ref": "feedback", "digest": f"sha256:{'a' * 64}"},
        {"relation": "built_from", "kind": "commit", "ref": "abc"},
        {"relation": "derived_from", "kind": "version", "ref": f"{NAME}:1"},
    ]
    assert (push["label"], push["params"], push["tags"]) == ("1.4.0", {"alpha": 0.1}, {"team": "cx"})
    assert push["environment"]["distributions"]["scikit-learn"]
    assert portal.blobs[version.files[0].digest] == (folder / "model.joblib").read_bytes()


def test_the_same_content_again_sends_nothing_and_returns_the_version(client, portal, folder):
    first = client.push(folder, name=NAME)
    states = []
    again = client.push(folder, name=NAME, on_progress=lambda progress: states.append(progress.state))
    assert (again.ref, first.is_new, again.is_new) == (first.ref, True, False)
    assert len(portal.calls("PUT", "blobs")) == 2
    assert STORED in states
    assert SENT not in states


def test_a_cut_in_mid_upload_is_resumed_with_only_what_is_missing(client, portal, folder, pauses):
    (folder / "model.joblib").write_bytes(b"\x80\x04" + bytes(3 << 20) + b".")
    portal.fail("PUT", "blobs", cut_after=1 << 20)
    version = client.push(folder, name=NAME)
    assert portal.blobs[version.files[0].digest] == (folder / "model.joblib").read_bytes()
    assert [call.body == b"(cut)" for call in portal.calls("PUT", version.files[0].digest)] == [True, False]
    assert len(portal.calls("PUT", version.files[1].digest)) == 1
    assert len(pauses) == 1


def test_an_upload_whose_answer_was_lost_is_not_sent_twice(client, portal, folder):
    portal.fail("PUT", "blobs", cut_answer=3)
    version = client.push(folder, name=NAME)
    assert len(portal.calls("PUT", version.files[0].digest)) == 1


def test_a_busy_store_is_waited_for_during_upload(client, portal, folder, pauses):
    portal.fail("PUT", "blobs", status=429, headers={"Retry-After": "3"})
    assert client.push(folder, name=NAME).is_new
    assert pauses == [3.0]


def test_a_full_store_stops_the_push_at_once(client, portal, folder, pauses):
    portal.fail("PUT", "blobs", times=9, status=507, problem={"code": "storage-full", "detail": "no space left"})
    with pytest.raises(errors.StorageFull):
        client.push(folder, name=NAME)
    assert (pauses, portal.versions) == ([], {})


def test_a_file_that_changes_during_the_push_is_noticed(client, portal, folder):
    def touch(progress):
        if progress.state == "sending" and progress.path == "model.joblib":
            return
        if progress.path == "sample.jsonl":
            (folder / "model.joblib").write_bytes(b"\x80\x04" + b"other" + b".")

    (folder / "model.joblib").write_bytes(b"\x80\x04" + b"first" + b".")
    with pytest.raises(errors.VerificationError, match=r"model\.joblib is not what it was"):
        client.push(folder, name=NAME, on_progress=touch)
    assert portal.versions == {}


def test_an_upload_never_holds_the_file_in_memory(client, portal, folder):
    read = []
    (folder / "model.joblib").write_bytes(b"\x80\x04" + bytes(5 << 20) + b".")
    client.push(
        folder, name=NAME, on_progress=lambda progress: read.append(progress) if progress.state == "sending" else None
    )
    steps = [progress.done for progress in read if progress.path == "model.joblib"]
    assert len(steps) > 15
    assert max(b - a for a, b in zip([0, *steps], steps, strict=False)) <= 1 << 18


def test_an_empty_file_has_a_length_too(client, portal, folder):
    (folder / "requirements.txt").write_text("")
    version = client.push(folder, name=NAME)
    assert "requirements.txt" in [file.path for file in version.files]


def test_a_check_that_fails_sends_nothing(client, portal, folder):
    (folder / "card.md").write_text("no head")
    (folder / "sample.jsonl").unlink()
    with pytest.raises(errors.CheckFailed) as caught:
        client.push(folder, name=NAME)
    assert {finding.code for finding in caught.value.findings} == {"card", "sample-missing"}
    assert not portal.calls("PUT", "blobs")
    assert not portal.calls("HEAD", "blobs")


def test_without_a_token_nothing_is_asked(portal, folder):
    with pytest.raises(errors.NotSignedIn):
        countersign.Client(portal.url).push(folder, name=NAME)
    assert portal.seen == []


def test_a_version_waits_and_tells_why_it_cannot_get_there(client, portal, folder):
    portal.stage_after_push = "checking"
    version = client.push(folder, name=NAME)
    stages = iter(["checking", "checking", "ready"])
    looks = []

    def step(seconds):
        looks.append(seconds)
        portal.move(NAME, 1, next(stages))

    from countersign import transport

    transport.pause, kept = step, transport.pause
    try:
        assert version.wait("ready").stage == "ready"
    finally:
        transport.pause = kept
    assert len(looks) == 3
    with pytest.raises(errors.Conflict, match="nobody has submitted"):
        version.wait("approved")
    portal.move(NAME, 1, "check_failed")
    portal.version(NAME, 1)["checks"] = [{"step": "scan", "outcome": "failed", "summary": "os:system is not allowed."}]
    with pytest.raises(errors.Rejected, match="scan: os:system is not allowed"):
        version.wait("ready")
    portal.move(NAME, 1, "rejected")
    with pytest.raises(errors.Rejected, match="rejected"):
        version.wait("approved")
    portal.move(NAME, 1, "approved_with_conditions")
    assert version.wait("approved").is_approved


def test_waiting_ends_when_its_time_is_over(client, portal, folder):
    portal.stage_after_push = "checking"
    version = client.push(folder, name=NAME)
    with pytest.raises(errors.StillPending) as caught:
        version.wait("ready", timeout=0)
    assert caught.value.exit_code == 8


def test_a_file_is_pushed_with_its_neighbours(client, portal, folder):
    assert client.push(folder / "model.joblib", name=NAME).is_new
    fill(folder, weight=2.0)
    assert client.push(folder, name=NAME).ref == f"{NAME}:2"


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(lambda folder: (folder / "model.joblib").unlink(), "no model file", id="no-model"),
        pytest.param(lambda folder: (folder / "model.pkl").write_bytes(b"\x80\x04."), "2 model files", id="two-models"),
        pytest.param(lambda folder: (folder / "card.md").unlink(), "no card.md", id="no-card"),
        pytest.param(lambda folder: (folder / "metrics.json").write_text("{"), "not JSON", id="broken-metrics"),
        pytest.param(
            lambda folder: (folder / "metrics.json").write_text('{"f1": NaN}'), "metric f1 is nan", id="nan-metric"
        ),
        pytest.param(lambda folder: (folder / "card.md").write_bytes(b"---\n\xff"), "not UTF-8", id="latin-card"),
    ],
)
def test_a_folder_that_is_no_push_is_told_apart(client, portal, folder, prepare, said):
    prepare(folder)
    with pytest.raises(errors.Unusable, match=said):
        client.push(folder, name=NAME)
    assert not portal.calls("PUT", "blobs")


def test_lineage_of_the_folder_is_sent_once(client, portal, folder):
    known = {"relation": "trained_on", "kind": "dataset", "ref": "feedback", "digest": f"sha256:{'a' * 64}"}
    (folder / "lineage.json").write_text(json.dumps([known]))
    again = collecting.lineage(datasets=[f"feedback@sha256:{'a' * 64}"], run="job-7")
    client.push(folder, name=NAME, lineage=again, author="ana")
    push = portal.version(NAME, 1)["push"]
    assert push["lineage"] == [known, {"relation": "produced_by", "kind": "run", "ref": "job-7"}]
    assert push["author"] == "ana"
    (folder / "lineage.json").write_text('[{"ref": "feedback"}]')
    with pytest.raises(errors.Unusable, match="not a list of lineage edges"):
        client.push(folder, name=NAME)


def test_a_local_dataset_is_named_by_its_digest_and_stays_here(tmp_path):
    (tmp_path / "train.csv").write_text("a\n1\n")
    (edge,) = collecting.lineage(datasets=[str(tmp_path / "train.csv")])
    assert edge["ref"] == "train.csv"
    assert edge["digest"].startswith("sha256:")


def test_settings_come_from_the_environment(signed_in, folder):
    assert countersign.Client().push(folder, name=NAME).ref == f"{NAME}:1"
    assert signed_in.seen[-1].headers["authorization"] == f"Bearer {TOKEN}"
