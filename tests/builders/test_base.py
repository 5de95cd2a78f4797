"""The base: one identity whatever it is packed in, what its Python says of itself, and a clear reason when there is none."""

import gzip
import io
import json
import platform
import sys
import tarfile

import pytest

from builders import base as bases
from builders import image, tarball
from builders.base import BaseUnavailable
from builders.layers import LayerStore
from formats import canonical, digest, oci
from formats.lock import Target
from tools import pack_base


def test_the_host_is_a_base_without_layers():
    base = bases.host_base()
    assert (base.digest, base.image_id, base.layers, base.is_host) == ("host", "host", (), True)
    assert base.target == Target.host()
    assert base.python == platform.python_version()


def small_image(store: LayerStore) -> image.Image:
    layers = [store.add([tarball.file(name, name.encode() * 9)]) for name in ("etc/one", "etc/two")]
    return image.assemble("linux", "amd64", {"Env": ["PATH=/bin"]}, layers)


def oci_archive(made: image.Image, store: LayerStore) -> bytes:
    return b"".join(image.archive_stream(made, store, loadable=False))


def raw(store: LayerStore, diff_id: str) -> bytes:
    with store.open(diff_id) as source:
        return source.read()


def repacked(made: image.Image, store: LayerStore, pack=gzip.compress) -> bytes:
    """The same image as registries ship it: packed layers, another manifest."""
    blobs = [pack(raw(store, layer.diff_id)) for layer in made.layers]
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": image.CONFIG_TYPE, "digest": made.image_id, "size": len(made.config)},
        "layers": [{"mediaType": "x+gzip", "digest": digest.of_bytes(blob), "size": len(blob)} for blob in blobs],
    }
    data = canonical.dumps(manifest)
    index = canonical.dumps({"schemaVersion": 2, "manifests": [{"digest": digest.of_bytes(data), "size": len(data)}]})
    entries = [
        tarball.file(f"blobs/sha256/{digest.parse(digest.of_bytes(blob))}", blob)
        for blob in (*blobs, data, made.config)
    ]
    return b"".join(tarball.tar_stream([tarball.file("index.json", index), *entries]))


def docker_saved(made: image.Image, store: LayerStore) -> bytes:
    """The same image as ``docker save`` of an old engine writes it."""
    names = [f"{number}/layer.tar" for number in range(len(made.layers))]
    listed = canonical.dumps([{"Config": "config.json", "RepoTags": ["x:1"], "Layers": names}])
    entries = [tarball.file(name, raw(store, layer.diff_id)) for name, layer in zip(names, made.layers, strict=True)]
    entries += [tarball.file("manifest.json", listed), tarball.file("config.json", made.config)]
    return b"".join(tarball.tar_stream(entries))


@pytest.mark.parametrize("form", [oci_archive, repacked, docker_saved])
def test_a_base_is_the_same_whatever_it_is_packed_in(layer_store, tmp_path, form):
    made = small_image(layer_store)
    archive = tmp_path / "base.tar"
    archive.write_bytes(form(made, layer_store))
    into = LayerStore(tmp_path / "into")
    found = bases._import(archive, into)
    assert (found.image_digest, found.image_id, found.layers) == (made.image_digest, made.image_id, made.layers)
    for layer in made.layers:
        assert raw(into, layer.diff_id) == raw(layer_store, layer.diff_id)


def test_layers_that_are_there_are_not_read_again(layer_store, tmp_path):
    made = small_image(layer_store)
    archive = tmp_path / "base.tar"
    archive.write_bytes(oci_archive(made, layer_store).replace(b"etc/one" * 9, b"etc/0ne" * 9))
    assert bases._import(archive, layer_store).layers == made.layers


def damaged(data: bytes) -> bytes:
    return data.replace(b"etc/one" * 9, b"etc/0ne" * 9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(damaged, "announced", id="layer-changed"),
        pytest.param(lambda _: b"noise" * 1000, "no image archive", id="noise"),
        pytest.param(lambda data: data[:3000], "no image archive", id="truncated"),
        pytest.param(
            lambda _: b"".join(tarball.tar_stream([tarball.file("a", b"")])), "no image archive", id="other-tar"
        ),
    ],
)
def test_an_archive_that_is_not_whole_is_refused_and_nothing_of_it_kept(layer_store, tmp_path, change, words):
    archive = tmp_path / "base.tar"
    archive.write_bytes(change(oci_archive(small_image(layer_store), layer_store)))
    into = LayerStore(tmp_path / "into")
    with pytest.raises(BaseUnavailable, match=words) as caught:
        bases.find_base(str(archive), engine=None, store=into)
    assert caught.value.hint
    assert not [path for path in (into.root / "layers").iterdir() if b"0ne" in path.read_bytes()]


def test_layers_packed_with_zstd_are_told_apart(layer_store, tmp_path):
    archive = tmp_path / "base.tar"
    archive.write_bytes(repacked(small_image(layer_store), layer_store, lambda data: b"\x28\xb5\x2f\xfd" + data))
    with pytest.raises(BaseUnavailable, match="zstd"):
        bases.find_base(str(archive), engine=None, store=LayerStore(tmp_path / "into"))


@pytest.mark.parametrize("setting", ["/nowhere/base.oci.tar", "var/nothing.tar"])
def test_a_base_that_is_not_there_says_how_to_make_one(layer_store, setting):
    with pytest.raises(BaseUnavailable) as caught:
        bases.find_base(setting, engine=None, store=layer_store)
    assert setting in str(caught.value)
    assert "make base-image" in caught.value.hint


def test_a_root_file_system_becomes_a_base_archive(tmp_path, monkeypatch, capsys):
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/su").write_bytes(b"su")
    (root / "bin/su").chmod(0o4755)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(sys, "argv", ["pack_base", str(root), str(tmp_path / "base.oci.tar")])
    assert pack_base.main() == 0
    found = oci.read(tmp_path / "base.oci.tar")
    assert capsys.readouterr().out.strip() == found.manifest_digest
    assert found.labels == {"countersign.kind": "base"}
    assert found.config["config"]["User"] == "10001:10001"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.oci.tar", "root"]
    with tarfile.open(tmp_path / "base.oci.tar") as tar:
        layer = io.BytesIO(tar.extractfile(f"blobs/sha256/{digest.parse(found.layers[0].diff_id)}").read())
    with tarfile.open(fileobj=layer) as tar:
        assert tar.getmember("bin/su").mode == 0o755


@pytest.mark.engine
def test_the_base_says_what_it_is_once(engine, base_archive, base, base_store, monkeypatch):
    assert base.target.os == "linux"
    assert base.python.startswith(base.target.python)
    assert base.target.libc.startswith(("glibc-", "musl"))
    assert not base.is_host
    assert all(layer.diff_id in base_store for layer in base.layers)
    monkeypatch.setattr(engine, "run", lambda *_, **__: pytest.fail("asked again"))
    assert bases.find_base(base_archive, engine=engine, store=base_store) == base


@pytest.mark.engine
def test_the_same_base_out_of_the_engine_is_the_same(engine, base, tmp_path):
    store = LayerStore(tmp_path / "layers")
    reference = f"countersign-base:{digest.parse(base.digest)[:12]}"
    assert bases.find_base(reference, engine=engine, store=store) == base
    exported = []
    engine_export, engine.export = engine.export, lambda *_: exported.append(1)
    try:
        assert bases.find_base(reference, engine=engine, store=store) == base
    finally:
        engine.export = engine_export
    assert not exported


@pytest.mark.engine
def test_a_pinned_archive_must_be_the_one(engine, base_archive, base, base_store):
    path = base_archive.partition("@")[0]
    assert bases.find_base(f"{path}@{base.digest}", engine=engine, store=base_store) == base
    with pytest.raises(BaseUnavailable, match="demands"):
        bases.find_base(f"{path}@sha256:{'0' * 64}", engine=engine, store=base_store)


@pytest.mark.engine
def test_a_base_without_python_is_refused(engine, layer_store, tmp_path):
    config = json.loads(small_image(layer_store).config)
    config["architecture"] = engine.describe().architecture
    made = image.Image(canonical.dumps(config), small_image(layer_store).layers)
    archive = tmp_path / "base.tar"
    archive.write_bytes(oci_archive(made, layer_store))
    try:
        with pytest.raises(BaseUnavailable, match="python3") as caught:
            bases.find_base(str(archive), engine=engine, store=layer_store)
        assert caught.value.hint
    finally:
        engine.remove_image(made.image_id)


@pytest.mark.engine
def test_a_base_for_another_machine_is_refused_before_it_is_loaded(engine, layer_store, tmp_path):
    config = json.loads(small_image(layer_store).config) | {"architecture": "s390x"}
    made = image.Image(canonical.dumps(config), small_image(layer_store).layers)
    archive = tmp_path / "base.tar"
    archive.write_bytes(oci_archive(made, layer_store))
    with pytest.raises(BaseUnavailable, match="s390x"):
        bases.find_base(str(archive), engine=engine, store=layer_store)
    assert engine.find(made) is None


@pytest.mark.engine
def test_a_reference_that_cannot_be_pulled_is_told_with_the_reason(engine, layer_store):
    with pytest.raises(BaseUnavailable, match=r"127\.0\.0\.1:1/none") as caught:
        bases.find_base("127.0.0.1:1/none:1", engine=engine, store=layer_store)
    assert caught.value.hint
