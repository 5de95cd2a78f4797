"""Artifact manifest, lock, signature and release input: good ones round trip, bad ones are refused by name."""

import copy
import re

import pytest

from formats import artifacts, canonical, lock, release
from formats.artifacts import BadPath, File
from formats.shapes import ShapeError
from formats.signature import Signature


def sha(character):
    return "sha256:" + character * 64


def test_artifacts_are_sorted_and_their_digest_is_canonical():
    files = [File("sample.jsonl", sha("b"), 10), File("model.joblib", sha("a"), 4096)]
    manifest = artifacts.build(files)
    assert manifest == {
        "schema": "countersign.artifacts/1",
        "files": [
            {"path": "model.joblib", "sha256": sha("a"), "size": 4096},
            {"path": "sample.jsonl", "sha256": sha("b"), "size": 10},
        ],
    }
    assert artifacts.digest(manifest) == canonical.digest(manifest)
    assert artifacts.digest(artifacts.build(reversed(files))) == artifacts.digest(manifest)
    assert artifacts.parse(manifest) == tuple(sorted(files, key=lambda file: file.path))


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "../model", "a/../b", "a/./b", ".", "a//b", "a/", "a\\b", "a\nb", "a\x00b", "a\x7fb",
        "cafe\u0301.txt", "x" * 256, "é" * 128, "\ud800",
    ],
)  # fmt: skip
def test_unsafe_paths_are_refused(path):
    with pytest.raises(BadPath):
        artifacts.build([File(path, sha("a"), 1)])


@pytest.mark.parametrize("path", ["model.joblib", "a/b/c.txt", "..hidden", "café.txt", "x" * 255, "with space"])
def test_plain_paths_are_accepted(path):
    assert artifacts.check_path(path) == path


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["a.txt", "a.txt"], "one file where case does not count"),
        (["Model", "model"], "one file where case does not count"),
        (["a", "a/b"], "also the folder of"),
        (["A", "a/b/c"], "also the folder of"),
        ([], "at least one file"),
    ],
)
def test_colliding_or_no_files_are_refused(paths, words):
    with pytest.raises(ValueError, match=words):
        artifacts.build([File(path, sha("a"), 1) for path in paths])


@pytest.mark.parametrize("file", [File("a", "sha256:ab", 1), File("a", sha("a"), -1)])
def test_build_refuses_malformed_files(file):
    with pytest.raises(ValueError, match=r"is not a digest|-1 bytes"):
        artifacts.build([file])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.update(schema="countersign.artifacts/2"), "schema"),
        (lambda d: d.pop("schema"), "schema"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["files"][1].update(mode=1), "files[1].mode"),
        (lambda d: d["files"][1].pop("size"), "files[1].size"),
        (lambda d: d["files"][0].update(size=True), "files[0].size"),
        (lambda d: d["files"][0].update(size=1.0), "files[0].size"),
        (lambda d: d["files"][0].update(sha256="abc"), "files[0].sha256"),
        (lambda d: d["files"][0].update(path="../x"), "files[0].path"),
        (lambda d: d["files"].reverse(), "files"),
        (lambda d: d["files"].append(d["files"][1]), "files"),
        (lambda d: d["files"].clear(), "files"),
        (lambda d: d.update(files={}), "files"),
    ],
)
def test_artifact_manifest_is_read_strictly(change, place):
    manifest = artifacts.build([File("a", sha("a"), 1), File("b", sha("b"), 2)])
    change(manifest)
    with pytest.raises(ShapeError) as caught:
        artifacts.digest(manifest)
    assert caught.value.path == place


def test_lock_round_trip(lock_document):
    read = lock.Lock.from_dict(lock_document)
    assert read.to_dict() == lock_document
    assert read.digest == canonical.digest(lock_document)
    assert lock.environment_id(read.digest) == read.digest[7:19]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.update(schema="countersign.lock/2"), "schema"),
        (lambda d: d["wheels"].reverse(), "wheels"),
        (lambda d: d["wheels"].append(d["wheels"][1]), "wheels"),
        (lambda d: d["wheels"][0].update(name="Num_Py"), "wheels[0].name"),
        (lambda d: d["wheels"][0].update(filename="../numpy.whl"), "wheels[0].filename"),
        (lambda d: d["wheels"][0].update(filename="numpy.tar.gz"), "wheels[0].filename"),
        (lambda d: d["wheels"][0].update(version=""), "wheels[0].version"),
        (lambda d: d["wheels"][0].update(size=0), "wheels[0].size"),
        (lambda d: d["target"].update(os="windows"), "target.os"),
        (lambda d: d["target"].update(python="3"), "target.python"),
        (lambda d: d["target"].update(libc="glibc 2.36"), "target.libc"),
        (lambda d: d["target"].pop("arch"), "target.arch"),
    ],
)
def test_lock_is_read_strictly(lock_document, change, place):
    change(lock_document)
    with pytest.raises(ShapeError) as caught:
        lock.Lock.from_dict(lock_document)
    assert caught.value.path == place


def test_the_host_is_a_target():
    host = lock.Target.host()
    assert lock.Target.from_dict(host.to_dict()) == host
    assert host.python in str(host)


def test_macos_names_its_release_where_linux_names_the_c_library(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("platform.mac_ver", lambda: ("14.5.1", ("", "", ""), "arm64"))
    host = lock.Target.host()
    assert (host.os, host.arch, host.libc) == ("macos", "aarch64", "macos-14.5")


def test_a_c_library_of_unknown_version_still_gives_a_readable_target(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: "cpython-311-x86_64-linux-musl")
    assert lock.Target.from_dict(lock.Target.host().to_dict()).libc == "musl"


def test_signature_round_trip_and_digest(signature_document):
    read = Signature.from_dict(signature_document)
    assert read.to_dict() == signature_document
    assert read.digest == canonical.digest(signature_document)
    assert read.outputs[1].labels == ("card lost", "loan")


def column(name, datatype="FP64", **more):
    return {"name": name, "datatype": datatype, "shape": [-1], "nullable": True, **more}


def test_frame_signature_keeps_column_order_and_categories(signature_document):
    document = {
        **signature_document,
        "layout": "frame",
        "inputs": [column("Tenure", "INT64"), column("age"), column("channel", "BYTES", categories=["app", "branch"])],
    }
    read = Signature.from_dict(document)
    assert read.to_dict() == document
    assert [item.name for item in read.inputs] == ["Tenure", "age", "channel"]
    assert read.inputs[2].categories == ("app", "branch")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.update(layout="image"), "layout"),
        (lambda d: d["inputs"][0].update(name="body"), "inputs"),
        (lambda d: d["inputs"].append(column("b", "BYTES")), "inputs"),
        (lambda d: d.update(layout="matrix"), "inputs"),
        (lambda d: d.update(layout="frame", inputs=[column("a"), column("a")]), "inputs"),
        (lambda d: d.update(layout="frame", inputs=[column("a") | {"shape": [-1, 2]}]), "inputs"),
        (lambda d: d.update(inputs=[]), "inputs"),
        (lambda d: d["inputs"][0].update(nullable=0), "inputs[0].nullable"),
        (lambda d: d["inputs"][0].pop("nullable"), "inputs[0].nullable"),
        (lambda d: d["inputs"][0].update(datatype="STRING"), "inputs[0].datatype"),
        (lambda d: d["inputs"][0].update(shape=[3]), "inputs[0].shape[0]"),
        (lambda d: d["inputs"][0].update(shape=[]), "inputs[0].shape"),
        (lambda d: d["outputs"][0].update(shape=[-1, 0]), "outputs[0].shape[1]"),
        (lambda d: d["outputs"][0].update(name="score"), "outputs[0].name"),
        (lambda d: d["outputs"][1].update(name="predict"), "outputs"),
        (lambda d: d["outputs"][1].update(labels=[]), "outputs[1].labels"),
        (lambda d: d["outputs"][1].update(labels=["a", None]), "outputs[1].labels[1]"),
        (lambda d: d["outputs"][1].update(labels=["a", float("nan")]), "outputs[1].labels[1]"),
    ],
)
def test_signature_is_read_strictly(signature_document, change, place):
    change(signature_document)
    with pytest.raises(ShapeError) as caught:
        Signature.from_dict(signature_document)
    assert caught.value.path == place


def test_matrix_signature(signature_document):
    document = {
        **signature_document,
        "layout": "matrix",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 4], "nullable": False}],
    }
    assert Signature.from_dict(document).inputs[0].shape == (-1, 4)


RELEASE = {
    "artifacts": sha("a"),
    "lock": sha("b"),
    "card": sha("c"),
    "signature": sha("d"),
    "reports": [("scan", sha("1")), ("lock", sha("2"))],
}


def test_release_digest_binds_every_part():
    base = release.digest(release.build(**RELEASE))
    assert base == canonical.digest(
        {
            "schema": "countersign.release/1",
            "artifacts": sha("a"),
            "lock": sha("b"),
            "card": sha("c"),
            "signature": sha("d"),
            "reports": [{"step": "scan", "digest": sha("1")}, {"step": "lock", "digest": sha("2")}],
            "compiled": None,
        }
    )
    changes = [{part: sha("9")} for part in ("artifacts", "lock", "card", "signature", "compiled")]
    changes += [{"reports": RELEASE["reports"][::-1]}, {"reports": RELEASE["reports"][:1]}]
    digests = {release.digest(release.build(**{**RELEASE, **change})) for change in changes}
    assert len(digests | {base}) == len(changes) + 1


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"artifacts": "abc"}, "artifacts"),
        ({"compiled": "none"}, "compiled"),
        ({"reports": []}, "reports"),
        ({"reports": [("scan", sha("1")), ("scan", sha("2"))]}, "reports[1].step"),
        ({"reports": [("Scan", sha("1"))]}, "reports[0].step"),
    ],
)
def test_release_input_is_checked_when_built(change, place):
    with pytest.raises(ShapeError, match=re.escape(place)):
        release.build(**{**RELEASE, **change})


def test_release_input_of_another_version_has_no_digest():
    document = copy.deepcopy(release.build(**RELEASE))
    document["schema"] = "countersign.release/2"
    with pytest.raises(ShapeError, match=r"expected countersign\.release/1"):
        release.digest(document)
    with pytest.raises(ShapeError, match="expected an object"):
        release.digest([])
