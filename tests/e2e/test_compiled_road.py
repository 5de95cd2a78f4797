"""Versions of one model, trained under scikit-learn 1.5 and 1.9, from the push to one image that answers as approved."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from sqlalchemy import select

from formats import manifest
from registry import approvals, bundles
from registry.orm.catalog import CheckReport, Stage
from registry.orm.image import Build, BuildState, Image
from tests import factories
from tests.e2e.conftest import CACHE, CARD
from tests.factories import World

pytestmark = [pytest.mark.index, pytest.mark.slow, pytest.mark.xdist_group("roads")]

TRAIN = """
import json, sys
from pathlib import Path
import joblib, sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

kinds = {"linear": make_pipeline(StandardScaler(), LogisticRegression()), "neighbours": KNeighborsClassifier(3)}
rows = [[(row * 7) % 11 / 3, (row * 5) % 13 / 2, (row % 4) - 1.5] for row in range(60)]
labels = ["high" if a + b > 4 else "low" for a, b, _ in rows]
folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
joblib.dump(kinds[sys.argv[2]].fit(rows, labels), folder / "model.joblib")
(folder / "sample.jsonl").write_text("".join(json.dumps(dict(zip("abc", row))) + "\\n" for row in rows[:9]))
from importlib import metadata
pins = [f"{name}=={metadata.version(name)}\\n" for name in ("scikit-learn", "joblib", "numpy", "scipy", "threadpoolctl")]
(folder / "requirements.txt").write_text("".join(pins))
"""
TRAINED_WITH = {
    "1.5": ("scikit-learn==1.5.2", "joblib==1.6.0", "numpy==1.26.4", "scipy==1.13.1"),
    "1.9": ("scikit-learn==1.9.1", "joblib==1.6.0", "numpy==2.4.6", "scipy==1.17.1"),
}

TRAINED = (
    [(minor, kind) for minor in TRAINED_WITH for kind in ("linear", "neighbours")]
    if os.environ.get("COUNTERSIGN_SOAK")
    else [("1.5", "linear"), ("1.9", "neighbours")]
)
"""Library and kind of each version; in the short form one compiled and one not, of different libraries."""


def train(folder: Path, kind: str, pins: tuple[str, ...]) -> dict[str, Path]:
    """A push folder, trained by the libraries of ``pins`` in an environment that is kept for the next run."""
    python = CACHE / "trainers" / pins[0] / "bin" / "python"
    if not (ready := python.parents[1] / "done").exists():
        venv.create(python.parents[1], clear=True)
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        subprocess.run([*uv, "--only-binary", ":all:", *pins], check=True)
        ready.touch()
    subprocess.run([python, "-I", "-W", "ignore", "-c", TRAIN, folder, kind], check=True)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def world(installation, index_there):
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


def test_versions_of_two_scikit_learns_are_served_from_one_image(installation, world, tmp_path):
    for number, (minor, kind) in enumerate(TRAINED):
        paths = train(tmp_path / str(number), kind, TRAINED_WITH[minor])
        with world.write() as session:
            files = {name: factories.blob(session, world, path.read_bytes()) for name, path in paths.items()}
        with world.write() as session:
            factories.checking_version(session, world, files=files, card=CARD, environment={"python": ""})
    code, _, said = installation.work()
    assert code == 0, said

    with world.write() as session:
        for number, (_, kind) in enumerate(TRAINED, 1):
            version = world.version(session, number)
            assert version.stage is Stage.READY, [report.summary for report in version.reports]
            report = session.get_one(CheckReport, (version.id, "parity"))
            assert bool(report.body["facts"]["compiled"]) is (kind == "linear"), report.body["facts"]
            assert ("its own library" in report.summary) is (kind == "neighbours")
            assert report.outcome == "passed"
            request = factories.submit(session, world, version)
            if kind == "neighbours":
                said = "The rows are made up."
                approvals.answer(session, request, actor=world.ana, about="training-rows", text=said)
            factories.decide(session, request, world.vic)
            factories.decide(session, request, world.cora)
        linear = [number for number, (_, kind) in enumerate(TRAINED, 1) if kind == "linear"]
        for name, numbers in (("payments/all", range(1, len(TRAINED) + 1)), ("payments/compiled", linear)):
            shares = [factories.pinned(number, 100 // len(numbers)) for number in numbers]
            bundles.bake(session, factories.bundle(session, world, *shares, name=name), actor=world.ana)
    code, _, said = installation.work()
    assert code == 0, said

    sealed = {}
    with world.read() as session:
        # A version of the other kind on the model's own bundle breaks its callers, and is only proposed.
        for build in session.scalars(select(Build).where(Build.state != BuildState.PROPOSED)):
            assert build.state is BuildState.DONE, build.error
            image = session.get_one(Image, build.image_id)
            document, _ = manifest.open_sealed(json.dumps(image.sealed).encode(), image.key_fingerprint)
            sealed[document.bundle] = document, image
    every, _ = sealed["payments/all"]
    assert [bool(model.compiled) for model in every.models] == [kind == "linear" for _, kind in TRAINED]
    own = {model.environment for model in every.models if not model.compiled}
    assert own == {item.id for item in every.environments}
    assert len(own) == len(TRAINED) // 2, "each uncompiled version runs in the environment of its own lock"

    compiled, image = sealed["payments/compiled"]
    assert compiled.environments == ()
    assert {layer["role"] for layer in image.layers} == {"runtime", "app", "model", "manifest"}
    assert not any(file.path.endswith((".joblib", "allow.json")) for model in compiled.models for file in model.files)
    libraries = {part["name"] for part in image.sbom["components"] if part["type"] == "library"}
    assert "onnxruntime" in libraries
    assert not libraries & {"scikit-learn", "scipy", "pandas", "joblib"}
