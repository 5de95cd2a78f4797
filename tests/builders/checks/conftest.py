"""What the checks' tests share: limits that bombs reach quickly, models, libraries without installing any."""

import io
import os
import pickle
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from builders import sandbox, tarball
from builders.checks.limits import Limits
from builders.layers import LayerStore
from tests.builders.checks.loopback_index import LoopbackIndex, served

SMALL = Limits(inflated_size=10 << 20, opcodes=1_000_000, memory=1 << 30, cpu_seconds=20, wall_seconds=30)


def alive(pid: int) -> bool:
    """Whether the process still runs a second from now; one that nobody has reaped does not run."""
    for _ in range(50):
        found = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.strip()
        if not found or found.startswith("Z"):
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a model as `joblib`, `zlib` (joblib, compressed) or `pickle`."""

    def write(model: Any, form: str = "joblib") -> Path:
        sink = io.BytesIO()
        if form == "pickle":
            pickle.dump(model, sink)
        else:
            joblib.dump(model, sink, compress=3 if form == "zlib" else 0)
        path = tmp_path / f"model.{form}"
        path.write_bytes(sink.getvalue())
        return path

    return write


@pytest.fixture
def libraries(layer_store: LayerStore) -> sandbox.Libraries:
    """The libraries of this test run, under the name of an unpacked layer: unpacking 200 MB would prove nothing more."""
    path = "opt/countersign/envs/0123456789ab"
    layer = layer_store.add([tarball.directory(path)])
    tree = layer_store.root / "trees" / layer_store.path(layer.diff_id).name / path
    tree.parent.mkdir(parents=True)
    tree.symlink_to(Path(np.__file__).parents[1], target_is_directory=True)
    return sandbox.Libraries(layer, path)


@pytest.fixture
def process_sandbox(layer_store: LayerStore, tmp_path: Path) -> sandbox.ProcessSandbox:
    return sandbox.ProcessSandbox(layer_store, tmp_path / "scratch")


@pytest.fixture
def own_uv(tmp_path, monkeypatch):
    """uv without this machine's settings and cache: what it does is decided by the test."""
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))


@pytest.fixture
def index(own_uv) -> Iterator[LoopbackIndex]:
    """A small world of libraries, named as the real ones because that is what the allow-list maps to."""
    with served(LoopbackIndex()) as made:
        made.add("numpy", "2.4.6", tag="cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64")
        made.add("numpy", "2.4.6", tag="cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64")
        made.add("numpy", "2.4.6", tag="cp311-cp311-macosx_11_0_arm64")
        made.add("numpy", "2.4.5")
        made.add("joblib", "1.4.2")
        made.add("joblib", "1.6.0")
        made.add("threadpoolctl", "3.7.0")
        made.add("threadpoolctl", "3.8.0")
        made.add("scikit-learn", "1.9.1", requires=("numpy>=2", "joblib>=1.2", "threadpoolctl>=3"))
        made.add("pandas", "3.1.1", requires=("numpy>=2",))
        yield made
