"""Imports run one way; what may know whom is in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

from tests.contracts.codes import ROOT

HEAVY = ("sklearn", "joblib", "skops", "docker", "numpy", "pandas", "scipy")


def test_the_contracts_of_the_import_linter_hold():
    linter = Path(sys.executable).with_name("lint-imports")
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'client'}"}
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_web_process_loads_no_model_library_and_no_engine():
    """Not by any road: also not through something it imports."""
    program = f"import sys, portal.api, portal.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
