"""The scan under a fuzzer: no crash, no hang, and no import of what a file names; ten minutes in `make soak`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.checks import model_files
from tests.builders.checks.hostile_files import corpus

ROOT = Path(__file__).resolve().parents[3]
FORMATS = ("joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost")
SECONDS = 600 if os.environ.get("COUNTERSIGN_SOAK") else 10
LARGEST_SEED = 60_000  # bytes; larger ones only make the fuzzer slow


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="atheris has wheels for Linux only")
def test_any_bytes_are_answered(tmp_path):
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for hostile in corpus():
        data = hostile.build("/tmp/marker")
        if hostile.format in FORMATS and len(data) < LARGEST_SEED:
            (seeds / f"{hostile.format}-{hostile.name}").write_bytes(bytes([FORMATS.index(hostile.format)]) + data)
    for declared, name, write in (
        ("skops", "text", model_files.skops),
        ("onnx", "zipmap", model_files.onnx),
        ("lightgbm", "categories", model_files.lightgbm_text),
        ("xgboost", "categories", model_files.xgboost_json),
    ):
        write(name, tmp_path / "model")
        data = bytes([FORMATS.index(declared)]) + (tmp_path / "model").read_bytes()
        (seeds / f"good-{declared}").write_bytes(data)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.builders.checks.fuzz_scan", str(seeds), f"-max_total_time={SECONDS}", "-timeout=20",
         "-rss_limit_mb=2048", f"-artifact_prefix={tmp_path}/"],
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 240, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "Done " in ended.stderr, ended.stderr[-3000:]
