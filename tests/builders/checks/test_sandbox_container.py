"""The container: nothing to reach, nothing to write to but a little memory, and nothing left of it."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from builders import resolver, runtimes, sandbox, tarball
from builders.checks import introspect, lock, sample, scan
from builders.containers import ImageNotFound
from builders.runtimes import ContainerCompiler
from builders.sandbox import FILES, SITE, Caps, ContainerSandbox, Libraries, SandboxResult
from tests.builders.wheelhouse import Wheelhouse, make_wheel

pytestmark = pytest.mark.engine
FAST = Caps(seconds=60, memory=512 << 20, output=1 << 16)
SERVING = Path(sandbox.__file__).parents[1] / "serving"
PATH = "opt/countersign/envs/0123456789ab"


def on_engine(store) -> list[str]:
    return json.loads((store.root / "libraries-on-engine.json").read_text())


def name_of(request: pytest.FixtureRequest) -> str:
    return f"test-sandbox-{abs(hash(request.node.name)) % 10**8}"


@pytest.fixture
def container(engine, base, base_store, request) -> Iterator[ContainerSandbox]:
    yield ContainerSandbox(engine, base, base_store, name_of(request))
    for name in on_engine(base_store):
        engine.remove_image(name)


@pytest.fixture
def small(base_store, base, engine, request) -> Libraries:
    house = Wheelhouse().add("small", make_wheel("small", "1.0", {"small/__init__.py": "VALUE = 42\n"}))
    compiler = ContainerCompiler(engine, base, base_store, f"{name_of(request)}-compile")
    layer = runtimes.site_layer(
        house.lock(base.target), PATH, base=base, store=base_store, open_blob=house.open, compiler=compiler
    )
    return Libraries(layer, PATH)


@pytest.fixture
def run(container, small):
    def start(program: str, *arguments: str, caps: Caps = FAST, **files: bytes | Path) -> SandboxResult:
        given = {"program.py": program.encode(), **{name.replace("_", "."): content for name, content in files.items()}}
        return container.run(["-I", "-B", f"{FILES}/program.py", *arguments], files=given, libraries=small, caps=caps)

    return start


def test_it_runs_with_its_files_and_libraries_and_leaves_nothing(run, container, tmp_path):
    (tmp_path / "large").write_bytes(b"from disk")
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import small
print(small.VALUE, open(sys.argv[2] + "/a.txt").read(), open(sys.argv[2] + "/large.bin").read())
"""
    stored = set((container.store.root / "layers").iterdir())
    ended = run(program, SITE, FILES, a_txt=b"given", large_bin=tmp_path / "large")
    assert (ended.exit_code, ended.stdout) == (0, b"42 given from disk\n")
    assert set((container.store.root / "layers").iterdir()) == stored
    assert container.engine.remove_stale(container.name, ()) == []


def test_libraries_stay_for_the_next_run_but_not_for_ever(run, container, small, base_store, monkeypatch):
    run("print(1)")
    first = on_engine(base_store)[0]
    assert container.engine.inspect(first)["RootFS"]["Layers"][-1] == small.layer.diff_id
    monkeypatch.setattr(sandbox, "_LIBRARIES_KEPT", 1)
    other = base_store.add([tarball.file(f"{PATH}/other.py", b"")])
    program = {"program.py": b"print(2)"}
    arguments = ["-I", f"{FILES}/program.py"]
    assert container.run(arguments, files=program, libraries=Libraries(other, PATH), caps=FAST).stdout == b"2\n"
    assert on_engine(base_store) != [first]
    with pytest.raises(ImageNotFound):
        container.engine.inspect(first)


def test_it_can_reach_and_change_nothing(run):
    program = """
import json, os, socket
def tried(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__
print(json.dumps({
    "user": os.getuid(),
    "root": tried(lambda: open("/x", "w")),
    "files": tried(lambda: open(os.path.dirname(__file__) + "/x", "w")),
    "tmp": tried(lambda: open("/tmp/x", "w")),
    "network": tried(lambda: socket.create_connection(("192.0.2.1", 80), timeout=3)),
    "engine": os.path.exists("/var/run/docker.sock"),
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
    "environment": sorted(name for name in os.environ if "SECRET" in name or "COUNTERSIGN" in name),
}))
"""
    ended = run(program)
    said = json.loads(ended.stdout)
    assert said == {
        "user": 10001, "root": "OSError", "files": said["files"], "tmp": "done", "network": "OSError", "engine": False,
        "capabilities": ["0" * 16], "environment": [],
    }  # fmt: skip
    assert said["files"] in ("OSError", "PermissionError")
    assert ended.network == "none"


def test_memory_time_output_and_processes_are_bounded(run):
    hog = run("held = []\nwhile True: held.append(bytes(10 << 20))", caps=Caps(seconds=60, memory=128 << 20))
    assert hog.out_of_memory or hog.exit_code == 137
    slow = run("import time; time.sleep(60)", caps=Caps(seconds=3, memory=128 << 20))
    assert slow.timed_out
    flood = run("while True: print('x' * 10000)", caps=Caps(seconds=60, memory=128 << 20, output=100_000))
    assert flood.flooded
    forks = run("import os, time\nfor _ in range(400):\n    if os.fork() == 0: time.sleep(30)\n")
    assert forks.exit_code == 1
    assert b"BlockingIOError" in forks.stderr


@pytest.mark.index
@pytest.mark.enable_socket
def test_a_model_is_introspected_with_its_own_lock(container, base, base_store, engine, tmp_path):
    """The whole road of the checks: scan, lock from the index, the lock's layer, and the sandbox."""
    model = LogisticRegression().fit(np.arange(40.0).reshape(20, 2), ["no", "yes"] * 10)
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    scanned = scan.scan(path, "joblib")
    locked = lock.lock(
        scanned,
        target=base.target,
        index=resolver.Index(),
        environment={"scikit-learn": "1.9.1", "numpy": "2.4.6", "joblib": "1.5.0"},
    )
    assert locked.lock is not None, locked.report
    blobs: dict[str, bytes] = {}
    resolver.fetch(
        locked.lock,
        lambda source, digest, size: blobs.update({digest: source.read(size + 1)}),
        has=blobs.__contains__,
        index=resolver.Index(),
    )
    compiler = ContainerCompiler(engine, base, base_store, f"{container.name}-compile")
    layer = runtimes.site_layer(
        locked.lock,
        PATH,
        base=base,
        store=base_store,
        open_blob=lambda digest: io.BytesIO(blobs[digest]),
        compiler=compiler,
    )
    found = introspect.introspect(
        introspect.Model(path, "joblib", scanned["facts"]["globals"]), sample.read(b'{"a": 1, "b": 2}\n{"a": 39, "b": 40}\n'),
        program=SERVING, sandbox=container, libraries=Libraries(layer, PATH),
    )  # fmt: skip
    assert found.report["outcome"] == "passed", found.report
    assert found.report["isolation"] == found.predict["isolation"] == "container"
    assert found.report["facts"]["libraries"]["scikit-learn"] == "1.9.1"
    assert found.predict["facts"]["answers"]["predict"] == model.predict([[1, 2], [39, 40]]).tolist()
