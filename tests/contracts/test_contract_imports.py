"""Imports run one way; what may know whom is in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def _loaded(names: tuple[str, ...], program: str) -> str:
    """Which of ``names`` a new interpreter holds after ``program``."""
    asked = f"{program}; import sys; print([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.long
def test_the_web_process_loads_no_model_library_and_no_engine():
    """Not by any road: also not through something it imports."""
    assert _loaded(HEAVY, "import portal.api, portal.cli") == "[]"


@pytest.mark.long
def test_an_image_is_started_without_what_bakes_it():
    """The validator of bills of materials and the migrations take half a second, for which the image would wait."""
    assert _loaded(("cyclonedx", "jsonschema", "alembic", "flask"), "import builders.__main__, builders.run") == "[]"
