"""Archives: the predicted image, readable by old and new tools, byte for byte the same."""

import io
import json
import tarfile

import pytest

from builders import image, plan, tarball, unpack
from builders.base import host_base
from builders.layers import LayerDamaged, LayerMissing, LayerStore
from builders.plan import Base, Part
from builders.tarball import UnsafePath
from formats import digest, oci
from tests.builders.wheelhouse import TARGET


def part(store: LayerStore, role: str, path: str, data: bytes) -> Part:
    return Part(role, path, store.add([tarball.file(f"{path}/file", data)]), digest.of_bytes(data))


def planned(store: LayerStore, *, base: Base | None = None) -> plan.BuildPlan:
    below = store.add([tarball.file("etc/os-release", b"NAME=test")])
    base = base or Base(digest.of_bytes(b"base"), digest.of_bytes(b"id"), (below,), (), "3.11.2", TARGET)
    return plan.plan(
        bundle="payments/voice",
        base=base,
        runtime=part(store, "runtime", "opt/countersign/runtime", b"runtime"),
        environments=[part(store, "environment", "opt/countersign/envs/0a1b2c3d4e5f", b"environment")],
        app=part(store, "app", "opt/countersign/app", b"app"),
        models=[part(store, "model", f"opt/countersign/models/{name}", b"same weights") for name in "ab"],
        manifest=Part(
            "manifest", plan.MANIFEST_PATH, store.add([tarball.file(plan.MANIFEST_PATH, b"{}")]), digest.of_bytes(b"{}")
        ),
        releases=[],
    )


def archive(plan_: plan.BuildPlan, store: LayerStore) -> bytes:
    sink = io.BytesIO()
    image.write_archive(plan_.image, store, sink, loadable=plan_.loadable)
    return sink.getvalue()


def test_the_archive_is_the_predicted_image_and_a_stranger_can_check_it(layer_store, tmp_path):
    made = planned(layer_store)
    (tmp_path / "image.oci.tar").write_bytes(archive(made, layer_store))
    found = oci.read(tmp_path / "image.oci.tar")
    assert found.manifest_digest == made.image_digest
    assert found.config_digest == made.image_id
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in made.image.layers]
    assert found.labels["countersign.bundle"] == "payments/voice"


def test_the_same_plan_is_the_same_archive_from_another_store(layer_store, tmp_path, other_surroundings):
    once = archive(planned(layer_store), layer_store)
    other_surroundings()
    elsewhere = LayerStore(tmp_path / "elsewhere")
    assert archive(planned(elsewhere), elsewhere) == once


def test_the_digest_of_the_archive_itself_is_told(layer_store):
    made, sink = planned(layer_store), io.BytesIO()
    written = image.write_archive(made.image, layer_store, sink)
    assert written == tarball.Layer(digest.of_bytes(sink.getvalue()), len(sink.getvalue()))


def names(data: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name for member in tar if member.isreg()}


def test_an_archive_for_the_host_cannot_be_loaded_by_an_engine(layer_store):
    made = planned(layer_store, base=host_base())
    assert "manifest.json" not in names(archive(made, layer_store))
    assert "manifest.json" in names(archive(planned(layer_store), layer_store))


def test_layers_that_an_engine_holds_can_stay_out(layer_store):
    made = planned(layer_store)
    base = made.image.layers[0].diff_id
    data = b"".join(image.archive_stream(made.image, layer_store, omit=[base]))
    assert f"blobs/sha256/{digest.parse(base)}" not in names(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (entry,) = json.load(tar.extractfile("manifest.json"))
    assert entry["Layers"][0] == f"blobs/sha256/{digest.parse(base)}"


def test_a_missing_layer_is_told_before_the_first_byte(layer_store):
    made = planned(layer_store)
    layer_store.remove(made.image.layers[-1].diff_id)
    with pytest.raises(LayerMissing):
        image.archive_stream(made.image, layer_store)


def test_a_damaged_layer_never_becomes_an_archive(layer_store):
    made = planned(layer_store)
    path = layer_store.path(made.image.layers[0].diff_id)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"NAME=test", b"NAME=best"))
    with pytest.raises(LayerDamaged):
        archive(made, layer_store)


def test_a_release_is_laid_out_as_in_the_image_with_its_libraries_shared(layer_store, tmp_path):
    made = planned(layer_store, base=host_base())
    for name in ("one", "two"):
        root = tmp_path / name
        root.mkdir()
        unpack.unpack(made.image.layers, layer_store, root)
        assert (root / "opt/countersign/runtime/file").read_bytes() == b"runtime"
        assert (root / "opt/countersign/envs/0a1b2c3d4e5f/file").read_bytes() == b"environment"
        assert (root / "opt/countersign/models/b/file").read_bytes() == b"same weights"
        assert (root / plan.MANIFEST_PATH).read_bytes() == b"{}"
    assert (tmp_path / "one/opt/countersign/runtime/file").samefile(tmp_path / "two/opt/countersign/runtime/file")
    assert not (tmp_path / "one/opt/countersign/app/file").samefile(tmp_path / "two/opt/countersign/app/file")


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([tarball.symlink("opt/link", "/etc")], id="link"),
        pytest.param([tarball.file("opt/taken", b"new")], id="there-already"),
    ],
)
def test_only_plain_new_files_are_unpacked(layer_store, tmp_path, entries):
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/taken").write_bytes(b"old")
    with pytest.raises(UnsafePath):
        unpack.into(tmp_path, layer_store.add(entries), layer_store)
    assert [path.name for path in (tmp_path / "opt").iterdir()] == ["taken"]
    assert (tmp_path / "opt/taken").read_bytes() == b"old"


def test_a_member_that_leaves_the_folder_is_not_unpacked(layer_store, tmp_path):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../escaped"))
    layer = layer_store.add_stream([sink.getvalue()])
    (tmp_path / "root").mkdir()
    with pytest.raises(UnsafePath):
        unpack.into(tmp_path / "root", layer, layer_store)
    assert not (tmp_path / "escaped").exists()


def test_a_shared_folder_of_damaged_bytes_is_never_shown(layer_store):
    layer = layer_store.add([tarball.file("site/a.py", b"x = 1")])
    path = layer_store.path(layer.diff_id)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"x = 1", b"x = 2"))
    with pytest.raises(LayerDamaged):
        unpack.tree(layer, layer_store)
    assert not any((layer_store.root / "trees").iterdir())
    assert not any((layer_store.root / "incoming").iterdir())
