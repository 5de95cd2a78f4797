"""A transformer of a team's own: from the push with its wheel, over review, to an image that answers as the notebook did.

At the end the same wheel comes from a private index instead of with the push.
"""

import base64
import json
import os
import sys
import types
from contextlib import contextmanager
from importlib import metadata

import joblib
import numpy as np
import pytest
import requests
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sqlalchemy import select

from formats import digest, manifest, own_code
from registry import approvals, builds, bundles, rebuilds
from registry.errors import Blocked
from registry.orm.catalog import CheckReport, Stage
from registry.orm.image import Build, BuildState, Image, RebuildState
from tests import factories, own_wheels
from tests.builders.checks import model_files
from tests.builders.checks.loopback_index import LoopbackIndex, served
from tests.e2e.conftest import CARD, ROOT, opened
from tests.e2e.test_formats_road import serving
from tests.factories import World

pytestmark = [pytest.mark.index, pytest.mark.slow, pytest.mark.xdist_group("roads")]

X = np.array([[(row * 7) % 11 / 3, (row * 5) % 13 / 2] for row in range(60)])
LABELS = ["high" if a + b > 4 else "low" for a, b in X]
LIBRARIES = ("scikit-learn", "joblib", "numpy", "scipy", "threadpoolctl")
PINS = "".join(f"{name}=={metadata.version(name)}\n" for name in LIBRARIES)
WHEEL = own_wheels.good()


@pytest.fixture(
    params=["process", pytest.param("container", marks=[pytest.mark.soak, pytest.mark.engine])], name="installation"
)
def _installation(request, tmp_path):
    with opened(tmp_path, request.param) as made:
        if request.param == "container":
            base = os.environ.get("COUNTERSIGN_BASE_IMAGE") or str(ROOT / "var/base/base.oci.tar")
            made.environ["COUNTERSIGN_BASE_IMAGE"] = base
        yield made


@pytest.fixture
def world(installation, index_there):
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The pipeline, and the bytes that joblib saved while the package was installed."""
    module = types.ModuleType("riskfeatures.encoders")
    exec(own_wheels.MODULE, module.__dict__)
    monkeypatch.setitem(sys.modules, "riskfeatures", types.ModuleType("riskfeatures"))
    monkeypatch.setitem(sys.modules, "riskfeatures.encoders", module)
    steps = [("scale", StandardScaler()), ("double", module.Doubler()), ("classify", LogisticRegression())]
    model = Pipeline(steps).fit(X, LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    return model, (tmp_path / "model.joblib").read_bytes()


def pushed(world, model, **more):
    rows = [dict(zip("ab", row, strict=True)) for row in X[:9].tolist()]
    contents = {
        "model.joblib": model,
        "sample.jsonl": model_files.sample(rows),
        "requirements.txt": PINS.encode(),
        **more,
    }
    with world.write() as session:
        files = {path: factories.blob(session, world, content) for path, content in contents.items()}
    with world.write() as session:
        said = {"files": files, "card": CARD, "environment": {"python": ""}}
        return factories.checking_version(session, world, **said).number


def declared(wheel):
    listed = own_code.declaration([own_code.Declared("riskfeatures", "1.0", digest.of_bytes(wheel))])
    return json.dumps(listed).encode()


def test_a_wheel_of_its_own_is_pushed_reviewed_baked_and_served(installation, world, trained, tmp_path):
    model, data = trained
    wheel = own_code.WHEELS + own_wheels.NAME
    good = pushed(world, data, **{own_code.FILE: declared(WHEEL), wheel: WHEEL})
    other = own_wheels.good({"riskfeatures/__init__.py": "class Other: pass\n"})
    wrong = pushed(world, data, **{own_code.FILE: declared(other), wheel: other})
    alone = pushed(world, data)
    code, _, said = installation.work()
    assert code == 0, said

    with world.write() as session:
        for number in (wrong, alone):
            version = world.version(session, number)
            assert version.stage is Stage.CHECK_FAILED
            finding = version.reports[-1].body["findings"][0]
            assert "Doubler of the module riskfeatures.encoders" in finding["message"]
            assert "steps[1] 'double'" in finding["message"]
        version = world.version(session, good)
        assert version.stage is Stage.READY, [report.body for report in version.reports][-1]
        summary = session.get_one(CheckReport, (version.id, "compile")).summary
        assert summary.startswith("Not compiled. It brings code of its own")
        assert {found["sha256"] for found in version.lock["wheels"]} > {digest.of_bytes(WHEEL)}
        request = factories.submit(session, world, version)
        with pytest.raises(Blocked):
            factories.decide(session, request, world.vic)
        approvals.answer(session, request, actor=world.ana, about="own-code", text="Vic and I read it together.")
        factories.decide(session, request, world.vic)
        factories.decide(session, request, world.cora)
        route = bundles.RouteSpec("risk", (factories.pinned(good),))
        bundles.create(session, actor=world.ana, full_name="payments/risk", routes=[route])
        bundles.bake(session, bundles.get(session, "payments/risk", actor=world.ana), actor=world.ana)
    code, _, said = installation.work()
    assert code == 0, said

    with world.read() as session:
        build = session.scalars(select(Build).where(Build.recipe_digest.is_not(None)).order_by(Build.id.desc())).first()
        assert build.state is BuildState.DONE, build.error
        image = session.get_one(Image, build.image_id)
    document, _ = manifest.open_sealed(json.dumps(image.sealed).encode(), image.key_fingerprint)
    assert [found.to_dict() for found in document.models[0].own_code] == [
        {"name": "riskfeatures", "version": "1.0", "sha256": digest.of_bytes(WHEEL)}
    ]
    (part,) = [part for part in image.sbom["components"] if part["name"] == "riskfeatures"]
    assert part["properties"] == [{"name": "countersign:own-code", "value": f"payments/voice:{good}"}]
    statement = json.loads(base64.b64decode(image.provenance["payload"]))
    needed = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"sha256": digest.parse(digest.of_bytes(WHEEL))} in [item["digest"] for item in needed]

    with world.write() as session:
        asked = rebuilds.request(session, builds.get_image(session, image.digest, actor=world.aud), actor=world.aud).id
    code, _, said = installation.work()
    assert code == 0, said
    with world.read() as session:
        rebuilt = rebuilds.load(session, asked)
        assert rebuilt.state is RebuildState.EQUAL, (rebuilt.error, rebuilt.difference)

    with serving(installation, "payments/risk", tmp_path / "summary.json") as url:
        told = requests.get(f"{url}/v2/models/risk").json()
        tensor = {"name": told["inputs"][0]["name"], "datatype": "FP64", "shape": [60, 2], "data": X.ravel().tolist()}
        asked = {"inputs": [tensor], "outputs": [{"name": "predict"}, {"name": "predict_proba"}]}
        answer = requests.post(f"{url}/v2/models/risk/infer", json=asked, timeout=60)
        assert answer.status_code == 200, answer.text
        outputs = {output["name"]: np.array(output["data"]) for output in answer.json()["outputs"]}
    assert outputs["predict"].tolist() == model.predict(X).tolist()
    assert np.allclose(outputs["predict_proba"].reshape(60, 2), model.predict_proba(X), rtol=0, atol=1e-12)

    kept = own_wheels.more("riskfeatures/version.py", 'VERSION = "kept in the index"\n')
    with private_index(installation, world, good) as index:
        index.files[own_wheels.NAME] = kept
        installation.environ["COUNTERSIGN_INDEX_URL"] = index.url
        named = pushed(world, data, **{own_code.FILE: declared(kept)})
        code, _, said = installation.work()
        assert code == 0, said
    with world.read() as session:
        version = world.version(session, named)
        assert version.stage is Stage.READY, [report.body for report in version.reports][-1]
        (brought,) = session.get_one(CheckReport, (version.id, "own-code")).body["facts"]["wheels"]
        assert (brought["source"], brought["sha256"]) == ("index", digest.of_bytes(kept))
        locked = {wheel["sha256"] for wheel in version.lock["wheels"]}
        assert locked ^ {wheel["sha256"] for wheel in world.version(session, good).lock["wheels"]} == {
            digest.of_bytes(kept),
            digest.of_bytes(WHEEL),
        }


@contextmanager
def private_index(installation, world, number):
    """An index of a company, with the libraries of a version's lock as they are in the store."""
    index = LoopbackIndex()
    with world.read() as session:
        for wheel in world.version(session, number).lock["wheels"]:
            with installation.store.open(wheel["sha256"]) as file:
                index.files[wheel["filename"]] = file.read()
    with served(index):
        yield index
