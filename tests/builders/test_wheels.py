"""Site layers: wheels unpacked without an installer, compiled by the right Python, the same bytes every time."""

import io
import marshal
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

import pytest

from builders import runtimes, unpack, wheels
from builders.base import host_base
from builders.runtimes import CompilationFailed, HostCompiler
from builders.tarball import UnsafePath
from builders.wheels import BadWheel
from tests.builders.conftest import CHECKOUT
from tests.builders.wheelhouse import Wheelhouse, make_wheel

SITE = "opt/countersign/envs/0a1b2c3d4e5f"
NAME = f"countersign-test-compile-{os.getpid()}x"
TAG = f"cpython-{sys.version_info.major}{sys.version_info.minor}"


def site_of(house: Wheelhouse) -> wheels.Site:
    with wheels.opened(house.lock(), house.open) as site:
        return site


def contents(house: Wheelhouse) -> dict[str, bytes]:
    with wheels.opened(house.lock(), house.open) as site:
        return {entry.path: entry.content().read() for entry in site.entries}


def test_files_go_where_an_installer_puts_them_and_scripts_stay_out(wheelhouse):
    site = site_of(wheelhouse)
    assert {entry.path: entry.mode for entry in site.entries} == {
        "small/__init__.py": 0o644,
        "small/broken.py": 0o644,
        "small/data.json": 0o644,
        "small/_native.so": 0o755,
        "small/extra.py": 0o644,
        "small-1.0.dist-info/METADATA": 0o644,
        "small-1.0.dist-info/WHEEL": 0o644,
        "small-1.0.dist-info/RECORD": 0o644,
    }
    assert site.findings == ()


def test_the_record_names_what_is_there_and_nothing_else(wheelhouse):
    lines = contents(wheelhouse)["small-1.0.dist-info/RECORD"].decode().splitlines()
    assert [line.split(",")[0] for line in lines] == sorted(contents(wheelhouse))
    assert "small-1.0.dist-info/RECORD,," in lines
    extra = next(line for line in lines if line.startswith("small/extra.py,"))
    assert extra.split(",")[1].startswith("sha256=")
    assert extra.endswith(",10")


@pytest.mark.parametrize(
    "path", ["../evil.py", "/etc/evil.py", "small/../../evil.py", "small\\evil.py", "small//evil.py"]
)
def test_a_wheel_whose_files_leave_the_folder_is_refused(path):
    house = Wheelhouse().add("small", make_wheel("small", "1.0", {path: ""}))
    with pytest.raises(BadWheel) as caught:
        site_of(house)
    assert path.replace("\\", "\\\\") in str(caught.value)
    assert caught.value.hint


def rewritten(change) -> Wheelhouse:
    """A wheelhouse whose one wheel had ``change(archive)`` done to it."""
    data = io.BytesIO(make_wheel("small", "1.0", {"small/__init__.py": ""}))
    with zipfile.ZipFile(data, "a") as archive:
        change(archive)
    return Wheelhouse().add("small", data.getvalue())


def add_link(archive):
    member = zipfile.ZipInfo("small/link.py")
    member.external_attr = 0o120777 << 16
    archive.writestr(member, "/etc/passwd")


def add_twice(archive):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("small/__init__.py", "other = 1")


def add_second_info(archive):
    archive.writestr("other-1.0.dist-info/METADATA", "")


@pytest.mark.parametrize(
    ("change", "words"), [(add_link, "link"), (add_twice, "twice"), (add_second_info, "one .dist-info folder")]
)
def test_what_no_honest_wheel_holds_is_refused(change, words):
    with pytest.raises(BadWheel, match=words):
        site_of(rewritten(change))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"not a zip", "no zip archive", id="noise"),
        pytest.param(make_wheel("other", "1.0", {}), "one .dist-info folder of small", id="another-project"),
        pytest.param(make_wheel("small", "1.0", {}, record=b"\xff\xfe"), "RECORD", id="record"),
    ],
)
def test_a_file_that_is_not_the_wheel_it_claims_to_be_is_refused(data, words):
    with pytest.raises(BadWheel, match=words):
        site_of(Wheelhouse().add("small", data))


def test_bytes_of_another_digest_are_refused(wheelhouse):
    lock = wheelhouse.lock()
    wheelhouse.blobs[lock.wheels[0].sha256] = make_wheel("small", "1.0", {"small/__init__.py": "import os"})
    with pytest.raises(BadWheel, match="digest"):
        site_of(wheelhouse)


@pytest.mark.parametrize(
    "path", ["sitecustomize.py", "usercustomize/__init__.py", "small-1.0.data/purelib/sitecustomize.py"]
)
def test_code_that_would_run_at_every_start_is_refused(path):
    with pytest.raises(BadWheel, match="whenever it starts"):
        site_of(Wheelhouse().add("small", make_wheel("small", "1.0", {path: ""})))


def test_compiled_modules_that_a_wheel_brings_stay_out():
    files = {"small/__init__.py": "", "small/__pycache__/__init__.cpython-311.pyc": b"old"}
    site = site_of(Wheelhouse().add("small", make_wheel("small", "1.0", files)))
    assert "small/__init__.py" in {entry.path for entry in site.entries}
    assert not any("__pycache__" in entry.path for entry in site.entries)


def test_path_files_are_left_out_and_told():
    files = {"small.pth": "import os; os.system('true')", "small/inner.pth": "data"}
    site = site_of(Wheelhouse().add("small", make_wheel("small", "1.0", files)))
    assert [finding.code for finding in site.findings] == ["path-file"]
    paths = {entry.path for entry in site.entries}
    assert "small.pth" not in paths
    assert "small/inner.pth" in paths


@pytest.mark.parametrize(("second", "codes"), [("same", []), ("other", ["file-twice"])])
def test_a_file_in_two_wheels_is_told_when_it_differs_and_the_later_one_counts(second, codes):
    house = Wheelhouse()
    house.add("aa", make_wheel("aa", "1.0", {"shared/LICENCE": "same"}))
    house.add("bb", make_wheel("bb", "1.0", {"shared/LICENCE": second}))
    assert [finding.code for finding in wheels.inspect(house.lock(), house.open)] == codes
    assert contents(house)["shared/LICENCE"] == second.encode()


def test_wheels_that_unpack_to_too_much_are_refused_before_they_are_unpacked():
    house = Wheelhouse().add("small", make_wheel("small", "1.0", {"small/zeros": b"\0" * 1_000_000}))
    with pytest.raises(BadWheel, match="at most 500000"), wheels.opened(house.lock(), house.open, max_unpacked=500_000):
        pytest.fail("opened")


def site_layer(house, store, base=None, compiler=None, path=SITE):
    """The site layer of the whole wheelhouse on the host, unless told otherwise."""
    base = base or host_base()
    compiler = compiler or HostCompiler(store)
    return runtimes.site_layer(
        house.lock(base.target), path, base=base, store=store, open_blob=house.open, compiler=compiler
    )


def test_a_damaged_member_stops_the_layer(layer_store):
    data = bytearray(make_wheel("small", "1.0", {"small/text": bytes(range(256)) * 40}))
    start = data.index(b"small/text") + len("small/text")
    data[start + 40] ^= 0xFF
    with pytest.raises(BadWheel, match="unpacked"):
        site_layer(Wheelhouse().add("small", bytes(data)), layer_store)
    assert not any((layer_store.root / "layers").iterdir())


def read(store, layer) -> dict[str, bytes]:
    with store.open(layer.diff_id) as source, tarfile.open(fileobj=source, mode="r|") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}


def test_modules_are_compiled_for_their_final_place_and_never_checked_against_the_source(wheelhouse, layer_store):
    found = read(layer_store, site_layer(wheelhouse, layer_store))
    compiled = found[f"{SITE}/small/__pycache__/__init__.{TAG}.pyc"]
    assert int.from_bytes(compiled[4:8], "little") == 0b01  # by hash, unchecked
    assert marshal.loads(compiled[16:]).co_filename == f"/{SITE}/small/__init__.py"
    assert f"{SITE}/small/__pycache__/extra.{TAG}.pyc" in found
    assert not [path for path in found if "broken." in path and path.endswith(".pyc")]


def test_the_same_lock_gives_the_same_layer_in_other_surroundings(
    wheelhouse, layer_store, tmp_path, other_surroundings
):
    layer = site_layer(wheelhouse, layer_store)
    other_surroundings()
    time.tzset()
    elsewhere = type(layer_store)(tmp_path / "elsewhere")
    assert site_layer(wheelhouse, elsewhere) == layer


def test_a_layer_is_made_once_for_a_lock_a_place_and_a_base(wheelhouse, layer_store):
    layer = site_layer(wheelhouse, layer_store)
    assert site_layer(wheelhouse, layer_store, compiler=lambda *_: pytest.fail("compiled again")) == layer
    assert site_layer(wheelhouse, layer_store, path="opt/other") != layer
    assert len(list((layer_store.root / "layers").iterdir())) == 2  # what came before compiling is not kept


def test_two_workers_make_a_layer_once(wheelhouse, layer_store):
    """The second waits for the first, then finds what it made."""
    made = []

    def compiler(source, root, sink):
        made.append(root)
        second.start()
        time.sleep(0.2)
        HostCompiler(layer_store)(source, root, sink)

    found = []
    second = threading.Thread(target=lambda: found.append(site_layer(wheelhouse, layer_store, compiler=compiler)))
    first = site_layer(wheelhouse, layer_store, compiler=compiler)
    second.join(timeout=30)
    assert found == [first]
    assert made == [SITE]


def test_a_compiler_cannot_add_files_of_its_own(wheelhouse, layer_store):
    def compiler(_source, _root, sink):
        with tarfile.open(fileobj=sink, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("small/__init__.py"))

    with pytest.raises(CompilationFailed, match=r"small/__init__\.py"):
        site_layer(wheelhouse, layer_store, compiler=compiler)
    assert not any((layer_store.root / "layers").iterdir())


def test_a_compiler_that_writes_noise_fails_with_the_folder_named(wheelhouse, layer_store):
    with pytest.raises(CompilationFailed, match=SITE):
        site_layer(wheelhouse, layer_store, compiler=lambda _source, _root, sink: sink.write(b"noise" * 300))


def test_an_unpacked_site_is_shared_complete_and_importable(wheelhouse, layer_store):
    layer = site_layer(wheelhouse, layer_store)
    tree = unpack.tree(layer, layer_store)
    assert unpack.tree(layer, layer_store) == tree
    script = f"import sys; sys.path.insert(0, {str(tree / SITE)!r}); import small; print(sorted(small.VALUES), small.__cached__)"
    said = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith("['a', 'b', 'c', 'd']")
    assert said.strip().endswith(f"{TAG}.pyc")
    assert (tree / SITE / "small/_native.so").stat().st_mode & 0o100


def test_an_unpacked_layer_never_writes_over_what_is_there(wheelhouse, layer_store, tmp_path):
    layer = site_layer(wheelhouse, layer_store)
    (tmp_path / "root").mkdir()
    unpack.into(tmp_path / "root", layer, layer_store)
    with pytest.raises(UnsafePath):
        unpack.into(tmp_path / "root", layer, layer_store)


def test_the_app_layer_holds_our_modules_and_lists_every_file_of_it(layer_store):
    base = host_base()
    sources = runtimes.app_sources(CHECKOUT)
    layer, files = runtimes.app_layer(sources, base=base, store=layer_store, compiler=HostCompiler(layer_store))
    found = {path.removeprefix("opt/countersign/app/"): data for path, data in read(layer_store, layer).items()}
    assert {file.path for file in files} == set(found)
    assert all(file.size == len(found[file.path]) for file in files)
    assert {"start.py", "serving/app.py", "formats/manifest.py", f"__pycache__/start.{TAG}.pyc"} <= set(found)
    assert {path.rpartition(".")[2] for path in found} == {"py", "pyc"}
    again = runtimes.app_layer(sources, base=base, store=layer_store, compiler=lambda *_: pytest.fail("compiled again"))
    assert again == (layer, files)


@pytest.mark.engine
def test_the_base_compiles_what_its_own_python_imports(wheelhouse, layer_store, engine, base, base_store):
    compiler = runtimes.ContainerCompiler(engine, base, base_store, f"{NAME}-1")
    layer = site_layer(wheelhouse, base_store, base, compiler)
    paths = set(read(base_store, layer))
    minor = base.target.python.split(".")[1]
    assert f"{SITE}/small/__pycache__/__init__.cpython-3{minor}.pyc" in paths
    assert engine.remove_stale(NAME, ()) == []
    for other in (f"{NAME}-2", f"{NAME}-3"):
        base_store.remove(layer.diff_id)
        assert (
            site_layer(wheelhouse, base_store, base, runtimes.ContainerCompiler(engine, base, base_store, other))
            == layer
        )


def test_top_level_names_are_those_that_python_would_import():
    files = {
        "a_package/__init__.py": "",
        "a_module.py": "",
        "fast.cpython-311-x86_64-linux-gnu.so": b"\x7fELF",
        "demo.libs/libx.so": b"\x7fELF",
        "demo-1.0.data/purelib/moved/__init__.py": "",
        "demo-1.0.data/scripts/run": "",
        "bin/tool": "",
        "demo.pth": "",
    }
    house = Wheelhouse().add("demo", make_wheel("demo", "1.0", files))
    (found,) = wheels.top_level(house.lock(), house.open).values()
    assert found == {"a_package", "a_module", "fast", "moved"}
