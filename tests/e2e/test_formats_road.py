"""A model file of every format, from the push to an image that answers over the network as the library itself does."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib import metadata

import lightgbm
import numpy as np
import pytest
import requests
import xgboost
from sklearn.linear_model import LogisticRegression
from sqlalchemy import select

from registry import bundles
from registry.orm.catalog import Stage
from registry.orm.image import Build, BuildState, Bundle, Image
from registry.routes import RouteSpec
from tests import factories
from tests.builders.checks import model_files
from tests.builders.checks.model_files import TWO, X
from tests.e2e.conftest import CARD, ROOT
from tests.factories import World

pytestmark = [pytest.mark.index, pytest.mark.slow, pytest.mark.xdist_group("roads")]

ROWS = 5
LEARN = ("scikit-learn", "joblib", "numpy", "scipy", "threadpoolctl")
FORMATS = {
    "skops": ("model.skops", lambda path: model_files.skops("logistic", path), (*LEARN, "skops")),
    "onnx": ("model.onnx", lambda path: model_files.onnx("scaled", path), ("onnxruntime", "numpy")),
    "lightgbm": (
        "model.txt",
        lambda path: model_files.lightgbm_text("multiclass", path),
        ("lightgbm", "numpy", "scipy"),
    ),
    "xgboost": ("model.json", lambda path: model_files.xgboost_json("multiclass", path), ("xgboost-cpu", "numpy")),
    "pickle": ("model.pkl", lambda path: path.write_bytes(pickled()), LEARN),
}
"""Format to the name of its file, what writes it, and the libraries it is read with."""


SHORT = ("skops", "xgboost")
CHOSEN = tuple(FORMATS) if os.environ.get("COUNTERSIGN_SOAK") else SHORT


def pickled() -> bytes:
    import pickle

    return pickle.dumps(LogisticRegression().fit(X, TWO))


@pytest.fixture
def world(installation, index_there):
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


def pushed(world, declared, folder):
    """A version that waits for its checks, with the file of a format as its own library writes it."""
    name, write, libraries = FORMATS[declared]
    folder.mkdir()
    write(folder / name)
    rows = [dict(zip("abc", row, strict=True)) for row in X[:ROWS].tolist()]
    contents = {
        name: (folder / name).read_bytes(),
        "sample.jsonl": model_files.sample(rows),
        "requirements.txt": "".join(f"{each}=={metadata.version(each)}\n" for each in libraries).encode(),
    }
    with world.write() as session:
        files = {path: factories.blob(session, world, content) for path, content in contents.items()}
    with world.write() as session:
        said = {"files": files, "format": declared, "card": CARD, "environment": {"python": ""}}
        factories.checking_version(session, world, model=f"payments/{declared}", **said)


def expected(declared, folder):
    """What the library itself says of the first rows."""
    path = folder / FORMATS[declared][0]
    match declared:
        case "skops":
            return model_files.SKOPS["logistic"]().predict(X[:ROWS])
        case "pickle":
            return LogisticRegression().fit(X, TWO).predict(X[:ROWS])
        case "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(path)
            return session.run(None, {session.get_inputs()[0].name: X[:ROWS].astype(np.float32)})[0].reshape(-1)
        case "lightgbm":
            return lightgbm.Booster(model_file=path).predict(X[:ROWS])
        case "xgboost":
            booster = xgboost.Booster(model_file=path)
            return booster.predict(xgboost.DMatrix(X[:ROWS], feature_names=booster.feature_names))


@contextmanager
def serving(installation, bundle, summary):
    """Run a bundle's image as an operator does; its address."""
    environ = {**os.environ, **installation.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "builders", "run", bundle, "--summary", str(summary)]
    with subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not summary.exists():
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
            yield json.loads(summary.read_text())["rest_url"]
        finally:
            process.terminate()


def tensor(told, rows):
    """An input as its metadata asks for it: the whole matrix, or one column of it."""
    data = rows if len(told["shape"]) == 2 else rows[:, "abc".index(told["name"])]
    return {"name": told["name"], "datatype": told["datatype"], "shape": list(data.shape), "data": data.tolist()}


def test_every_format_is_pushed_checked_approved_baked_and_served(installation, world, tmp_path):
    for declared in CHOSEN:
        pushed(world, declared, tmp_path / declared)
    code, _, said = installation.work()
    assert code == 0, said
    with world.write() as session:
        for declared in CHOSEN:
            version = world.version(session, 1, model=f"payments/{declared}")
            assert version.stage is Stage.READY, (declared, [report.body for report in version.reports][-1])
            factories.approve(session, world, version)
        shares = {declared: factories.pinned(1, model=f"payments/{declared}") for declared in CHOSEN}
        first, second = list(CHOSEN)[:2]
        routes = [RouteSpec(declared, [share]) for declared, share in shares.items() if declared != first]
        routes.append(RouteSpec(first, [shares[first], factories.in_shadow(shares[second])]))
        bundles.create(session, actor=world.ana, full_name="payments/every", routes=routes)
        bundles.bake(session, bundles.get(session, "payments/every", actor=world.ana), actor=world.ana)
    code, _, said = installation.work()
    assert code == 0, said
    with world.read() as session:
        for build in session.scalars(select(Build)):
            assert build.state is BuildState.DONE, build.error
        image = session.scalars(
            select(Image).join(Bundle, Bundle.id == Image.bundle_id).where(Bundle.name == "every")
        ).one()
        asked = [(model["route"], model["ref"]) for model in image.smoke["models"]]
        assert (first, f"payments/{second}:1") in asked, "a shadow answered its approved rows before release, too"
    with serving(installation, "payments/every", tmp_path / "summary.json") as url:
        parameters = requests.get(f"{url}/v2/models/{first}").json()["parameters"]
        assert parameters["shadows"] == {f"{second}-1": 100}
        for declared in CHOSEN:
            told = requests.get(f"{url}/v2/models/{declared}").json()
            request = {
                "inputs": [tensor(item, X[:ROWS]) for item in told["inputs"]],
                "outputs": [{"name": told["outputs"][0]["name"]}],
            }
            answer = requests.post(f"{url}/v2/models/{declared}/infer", json=request, timeout=60)
            assert answer.status_code == 200, (declared, answer.text)
            output = answer.json()["outputs"][0]
            given = np.array(output["data"]).reshape(output["shape"])
            assert np.allclose(given, expected(declared, tmp_path / declared), rtol=0, atol=1e-6), declared
