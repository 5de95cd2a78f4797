"""What a scan may cost, and what is said when it would cost more."""

import pickle
import struct
from dataclasses import replace

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from builders.checks import child, process, scan
from tests.builders.checks.conftest import SMALL, alive
from tests.builders.checks.hostile_files import dumped, model, whole

pytestmark = pytest.mark.long

DATES = (np.array(["2026-11-23"], dtype="M8[D]"), np.array([3], dtype="m8[15m]"), np.dtype("M8[ns]"))


def codes(report) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def test_a_file_larger_than_allowed(save):
    report = scan.scan(save(model()), "joblib", replace(SMALL, file_size=100))
    assert codes(report) == ["too-large"]
    assert "100 are allowed" in report["summary"]


def test_large_arrays_cost_neither_memory_nor_time(save):
    big = LinearRegression()
    big.coef_ = np.zeros(40 << 20)
    report = scan.scan(save(big), "joblib", replace(SMALL, memory=100 << 20))
    assert report["outcome"] == "passed"
    assert report["facts"]["opcodes"] < 200


def test_memory(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({f"{number:0250}": number for number in range(250_000)}))
    assert codes(scan.scan(path, "pickle", replace(SMALL, memory=60 << 20))) == ["too-large"]
    assert scan.scan(path, "pickle", SMALL)["outcome"] == "passed"


def test_time(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(whole(b"N0" * 4_000_000, b"N"))
    limits = replace(SMALL, opcodes=10**9, wall_seconds=1)
    assert codes(scan.scan(path, "pickle", limits)) == ["scan-timeout"]
    assert codes(scan.scan(path, "pickle", replace(limits, cpu_seconds=1, wall_seconds=60))) == ["scan-timeout"]


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_bombs_stop_at_the_cap(tmp_path, method):
    path = tmp_path / "model.joblib"
    path.write_bytes(dumped(np.zeros(30 << 20, dtype="u1"), compress=(method, 1)))
    assert path.stat().st_size < 1 << 20
    report = scan.scan(path, "joblib", SMALL)
    assert codes(report) in (["bomb"], ["truncated"])
    assert scan.scan(path, "joblib", replace(SMALL, inflated_size=40 << 20))["outcome"] == "passed"


def test_deep_nesting_does_not_break_the_scan(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(whole(b"N", b"\x85" * 400_000))
    assert scan.scan(path, "pickle", SMALL)["outcome"] == "passed"


def test_a_child_that_dies_is_a_refusal(save, monkeypatch):
    path = save(model())
    monkeypatch.setattr(child, "_START", "import os; os.abort()")
    assert codes(scan.scan(path, "joblib", SMALL)) == ["scan-crashed"]
    monkeypatch.setattr(child, "_START", "print('{')")
    assert codes(scan.scan(path, "joblib", SMALL)) == ["scan-crashed"]
    monkeypatch.setattr(child, "_START", "print('x' * (5 << 20))")
    assert codes(scan.scan(path, "joblib", SMALL)) == ["scan-crashed"]


def test_a_file_that_is_not_there(tmp_path):
    assert codes(scan.scan(tmp_path / "none", "joblib", SMALL)) == ["scan-crashed"]


def test_frames_and_long_values(tmp_path):
    """Values around the sizes at which picklers change how they write."""
    value = [b"x" * size for size in (0, 1, 255, 256, 65535, 65536, 70000)] + [
        "ü" * size for size in (1, 200, 40000, 70000)
    ]
    for protocol in range(6):
        path = tmp_path / f"{protocol}.pkl"
        path.write_bytes(pickle.dumps([value, 2**70, -(2**31), 1.5, float("inf"), None, True], protocol=protocol))
        assert scan.scan(path, "pickle", SMALL)["outcome"] == "passed", protocol
    for protocol in range(6):
        path.write_bytes(
            pickle.dumps([*DATES, np.array([b"ab"]), np.float64(1), np.zeros(2, "i4,U3,(2,2)f8")], protocol=protocol)
        )
        assert scan.scan(path, "pickle", SMALL)["outcome"] == "passed", protocol
    path = tmp_path / "value.joblib"
    joblib.dump([np.arange(3), value, np.arange(6).reshape(2, 3).T, np.array("x"), np.zeros((0, 4)), *DATES], path)
    assert scan.scan(path, "joblib", SMALL)["outcome"] == "passed"


def test_lengths_are_checked_before_anything_is_read(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(whole(b"\x8e" + struct.pack("<Q", 1 << 40)))
    assert codes(scan.scan(path, "pickle", replace(SMALL, memory=80 << 20))) == ["truncated"]


def test_programs_end_with_everything_they_started(tmp_path):
    script = f"sleep 30 & echo $! > {tmp_path / 'pid'}; wait"
    ended = process.run(["sh", "-c", script], timeout=1, output_cap=100, env={"PATH": "/usr/bin:/bin"})
    assert ended.timed_out
    assert not alive(int((tmp_path / "pid").read_text()))
