"""Layers: the same content is the same bytes, and a store that never hands out others."""

import io
import os
import stat
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import layers, tarball
from builders.layers import LayerDamaged, LayerMissing, LayerStore, SourceChanged
from builders.tarball import LayerError, UnsafePath
from formats import digest
from formats.artifacts import File


def written(*entries) -> bytes:
    return b"".join(tarball.tar_stream(entries))


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


def test_members_are_sorted_complete_and_without_a_trace_of_this_machine():
    data = written(tarball.file("b/c/d.py", b"x"), tarball.file("b-a", b"y", mode=0o755), tarball.directory("a"))
    found = members(data)
    assert list(found) == ["a", "b", "b/c", "b/c/d.py", "b-a"]
    assert {member.mtime for member in found.values()} == {0}
    assert {(member.uid, member.gid, member.uname, member.gname) for member in found.values()} == {(0, 0, "", "")}
    assert (found["b"].mode, found["b-a"].mode, found["b/c/d.py"].mode) == (0o755, 0o755, 0o644)


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=80)


@given(st.dictionaries(_NAMES.filter(lambda name: name not in (".", "..")), st.binary(max_size=600)), st.randoms())
def test_any_names_survive_and_the_order_they_come_in_does_not_matter(contents, chance):
    entries = [tarball.file(f"root/{name}", data) for name, data in contents.items()]
    once = written(*entries)
    chance.shuffle(entries)
    assert written(*entries) == once
    with tarfile.open(fileobj=io.BytesIO(once)) as tar:
        read = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}
    assert read == {f"root/{name}": data for name, data in contents.items()}


def test_the_digest_is_that_of_the_bytes_wherever_and_whenever_they_are_written(
    layer_store, tmp_path, other_surroundings
):
    source = tmp_path / "model.joblib"
    source.write_bytes(b"\0" * 70_000)
    entries = [tarball.file("m/model.joblib", source), tarball.symlink("m/link", "model.joblib")]
    layer = layer_store.add(entries)
    other_surroundings()
    time.tzset()
    os.utime(source, (1, 1))
    again = LayerStore(tmp_path / "elsewhere").add(entries)
    assert layer == again == tarball.Layer(digest.of_bytes(written(*entries)), len(written(*entries)))


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/.", "a\0b", "a/"])
def test_a_path_that_leaves_the_layer_is_refused(layer_store, path):
    with pytest.raises(UnsafePath) as caught:
        layer_store.add([tarball.file(path, b"")])
    assert caught.value.hint
    assert not any((layer_store.root / "layers").iterdir())
    assert not any((layer_store.root / "incoming").iterdir())


def test_two_members_of_one_path_are_refused():
    with pytest.raises(LayerError, match="twice"):
        written(tarball.file("a", b"1"), tarball.file("a", b"1"))


def test_a_file_cannot_be_the_folder_of_another():
    with pytest.raises(UnsafePath, match="no folder"):
        written(tarball.file("a", b""), tarball.file("a/b", b""))


@pytest.mark.parametrize("size", [3, 5])
def test_a_source_that_changed_since_it_was_planned_stops_the_layer(layer_store, size):
    with pytest.raises(LayerError, match="4 bytes"):
        layer_store.add([tarball.stream("a", 4, lambda: io.BytesIO(b"x" * size))])
    assert not any((layer_store.root / "layers").iterdir())


def test_a_folder_is_taken_without_set_id_bits_and_special_files(tmp_path):
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/su").write_bytes(b"su")
    (root / "usr/bin/su").chmod(0o4755)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "var").mkdir()
    (root / "var/log").write_text("noise")
    (root / "bin").symlink_to("usr/bin")
    os.mkfifo(root / "pipe")
    found = members(written(*tarball.from_folder(root, keep=lambda path: path != "var")))
    assert list(found) == ["bin", "tmp", "usr", "usr/bin", "usr/bin/su"]
    assert found["bin"].linkname == "usr/bin"
    assert found["usr/bin/su"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert found["tmp"].uid == root.stat().st_uid


def test_a_layer_is_kept_once_and_read_back_whole(layer_store):
    entries = [tarball.file("a", b"content")]
    layer = layer_store.add(entries)
    kept = layer_store.path(layer.diff_id)
    before = kept.stat()
    assert layer_store.add(entries) == layer
    assert kept.stat().st_ino == before.st_ino
    assert stat.S_IMODE(before.st_mode) == 0o444
    assert layer.diff_id in layer_store
    assert layer_store.get(layer.diff_id) == layer
    with layer_store.open(layer.diff_id) as source:
        assert source.read() == written(*entries)
    assert not any((layer_store.root / "incoming").iterdir())


def test_damaged_bytes_are_noticed_moved_away_and_written_anew(layer_store):
    entries = [tarball.file("a", b"content")]
    layer = layer_store.add(entries)
    path = layer_store.path(layer.diff_id)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"content", b"c0ntent"))
    with layer_store.open(layer.diff_id) as source, pytest.raises(LayerDamaged) as caught:
        source.read()
    assert "again" in caught.value.hint
    assert layer.diff_id not in layer_store
    assert [path.name for path in (layer_store.root / "damaged").iterdir()] == [layer.diff_id.removeprefix("sha256:")]
    layer_store.add(entries)
    with layer_store.open(layer.diff_id) as source:
        assert b"content" in source.read()


@pytest.mark.parametrize("name", ["sha256:" + "0" * 64, "sha256:../../etc/passwd", ""])
def test_a_layer_that_is_not_there_is_said_to_be_missing(layer_store, name):
    with pytest.raises(LayerMissing):
        layer_store.open(name)


def test_bytes_that_are_not_the_announced_layer_are_not_kept(layer_store):
    with pytest.raises(LayerDamaged, match="announced"):
        layer_store.add_stream([b"x" * 10], expected="sha256:" + "0" * 64)
    assert not any((layer_store.root / "layers").iterdir())


def test_a_layer_is_made_once_of_its_inputs_while_it_is_there(layer_store):
    inputs = {"lock": "sha256:1", "base": "sha256:2"}
    layer = layer_store.once(inputs, lambda: layer_store.add([tarball.file("a", b"")]))
    assert layer_store.once(dict(reversed(inputs.items())), lambda: pytest.fail("made again")) == layer
    other = layer_store.once({**inputs, "base": "sha256:3"}, lambda: layer_store.add([tarball.file("b", b"")]))
    assert other != layer
    layer_store.remove(layer.diff_id)
    assert layer_store.once(inputs, lambda: layer_store.add([tarball.file("a", b"")])) == layer
    assert layer.diff_id in layer_store


def test_a_layer_that_could_not_be_made_is_not_remembered(layer_store):
    with pytest.raises(UnsafePath):
        layer_store.once({"lock": "sha256:1"}, lambda: layer_store.add([tarball.file("..", b"")]))
    layer = layer_store.once({"lock": "sha256:1"}, lambda: layer_store.add([tarball.file("a", b"")]))
    assert layer.diff_id in layer_store


def test_what_a_killed_build_left_is_swept_and_a_running_one_is_not(layer_store):
    for name, age in (("old", 7200), ("new", 0)):
        path = layer_store.root / "incoming" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    folder = layer_store.root / "incoming" / "old-folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    os.utime(folder, (time.time() - 7200,) * 2)
    assert layer_store.sweep(older_than=3600) == 2
    assert [path.name for path in (layer_store.root / "incoming").iterdir()] == ["new"]


def test_a_model_layer_holds_the_approved_files_and_is_made_once(layer_store):
    blobs = {"model.joblib": b"weights", "allow.json": b"{}"}
    files = [File(path, digest.of_bytes(data), len(data)) for path, data in blobs.items()]
    by_digest = {digest.of_bytes(data): data for data in blobs.values()}
    layer = layers.model_layer(layer_store, "opt/m", files, lambda of: io.BytesIO(by_digest[of]))
    with layer_store.open(layer.diff_id) as source:
        assert set(members(source.read())) == {"opt", "opt/m", "opt/m/model.joblib", "opt/m/allow.json"}
    again = layers.model_layer(layer_store, "opt/m", files[::-1], lambda _: pytest.fail("read again"))
    assert again == layer


def test_a_model_file_that_is_not_the_approved_one_is_never_baked(layer_store):
    approved = File("model.joblib", digest.of_bytes(b"weights"), 7)
    with pytest.raises(SourceChanged) as caught:
        layers.model_layer(layer_store, "opt/m", [approved], lambda _: io.BytesIO(b"w3ights"))
    assert "Do not bake" in caught.value.hint
    assert not any((layer_store.root / "layers").iterdir())


def test_the_manifest_layer_is_one_file(layer_store):
    layer = layers.manifest_layer(layer_store, "opt/manifest.json", b"sealed")
    with layer_store.open(layer.diff_id) as source:
        assert [name for name, member in members(source.read()).items() if member.isreg()] == ["opt/manifest.json"]
