"""A real image: baked without any network, small in what it adds, freed, and baked anew with the same bytes."""

import os
import random
import shutil
import string
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sqlalchemy import select

from registry import builds, rebuilds
from registry.orm.image import Build, BuildState, Image, RebuildState
from tests import factories
from tests.e2e.conftest import CACHE, CARD, opened
from tests.factories import World
from tests.support import bodies_of, require

pytestmark = [pytest.mark.index, pytest.mark.xdist_group("installation")]
MB = 1_000_000
UNSHARE = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]


@pytest.fixture(scope="module")
def installation(index_there):
    """An installation in process isolation whose bakes and rebuilds have no network, and whose storage is measured."""
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        require("namespace", "unshare --net is refused: run as root, or allow user namespaces")
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as folder, opened(Path(folder), alone=True) as made:
        factories.build_world(made.database)
        yield made


@pytest.fixture(scope="module")
def world(installation):
    return World.load(installation.database, installation.store)


def work_offline(installation):
    """Let a worker work in an empty network namespace."""
    code, _, said = installation.run("-m", "tests.e2e.offline", before=UNSHARE)
    assert code == 0, said
    assert "offline" in said


def release(installation, world, files):
    """Push a version, have it checked, approved, and baked without network."""
    with world.write() as session:
        kept = {path.name: factories.blob(session, world, path.read_bytes()) for path in files}
    with world.write() as session:
        number = factories.checking_version(session, world, files=kept, card=CARD, environment={"python": ""}).number
    code, _, said = installation.work()  # checks fetch wheels
    assert code == 0, said
    with world.write() as session:
        version = world.version(session, number)
        assert version.stage == "ready", [report.summary for report in version.reports]
        factories.approve(session, world, version)
    before = used(installation)
    work_offline(installation)
    with world.read() as session:
        build = session.scalars(select(Build).order_by(Build.id.desc()).limit(1)).one()
        assert build.state is BuildState.DONE, build.error
        return session.get_one(Image, build.image_id), used(installation) - before


def used(installation):
    """Bytes of store, layers and database, as files."""
    installation.database.close()
    roots = [installation.folder / name for name in ("store", "layers")]
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in (*files, installation.file))


@pytest.fixture(scope="module")
def images(installation, world, model_files, tmp_path_factory):
    """Two releases: a small model, then one of some megabytes; each image and what its release added."""
    first = release(installation, world, model_files)
    folder = tmp_path_factory.mktemp("larger")
    for path in model_files:
        shutil.copy(path, folder)
    rng = random.Random(7)
    words = ["".join(rng.choices(string.ascii_lowercase, k=9)) for _ in range(100_000)]
    texts = [" ".join(words[start : start + 200]) for start in range(0, len(words), 200)]
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression())
    joblib.dump(estimator.fit(texts, ["complaint", "praise"] * 250), folder / "model.joblib")
    second = release(installation, world, sorted(folder.iterdir()))
    return first, second, (folder / "model.joblib").stat().st_size


def test_a_release_adds_its_models_bytes_and_little_more(images):
    (_, _), (_, grown), model = images
    assert model > 2 * MB
    assert grown < model + 1 * MB, f"a model of {model} bytes made storage grow by {grown}"


@pytest.mark.soak  # compiles three libraries anew
def test_what_was_freed_is_baked_anew_with_the_same_bytes(installation, world, images):
    """Freed are the layers that only the old image has; the rebuild, without network, brings them back."""
    (old, _), (current, _), _ = images
    layers = installation.folder / "layers/layers"
    code, _, said = installation.run("-m", "builders", "free", "--days", "0")
    assert code == 0, said
    freed = {layer["diff_id"] for layer in old.layers} - {layer["diff_id"] for layer in current.layers}
    assert {layer["role"] for layer in old.layers if layer["diff_id"] in freed} == {"model", "manifest"}
    assert not any((layers / diff_id[7:]).exists() for diff_id in freed)
    assert all((layers / layer["diff_id"][7:]).exists() for layer in current.layers)
    with world.write() as session:
        image = builds.get_image(session, old.digest, actor=world.aud)
        assert image.freed_at
        assert image.sealed == old.sealed
        assert bodies_of(session, "image:freed") == [{}]
        asked = rebuilds.request(session, image, actor=world.aud).id
    work_offline(installation)
    with world.read() as session:
        rebuilt = rebuilds.load(session, asked)
        assert rebuilt.state is RebuildState.EQUAL, (rebuilt.error, rebuilt.difference)
        assert rebuilt.found_digest == old.digest
        assert rebuilt.image.freed_at is None
        assert bodies_of(session, "image:rebuilt")[-1]["outcome"] == "equal"
    assert all((layers / diff_id[7:]).exists() for diff_id in freed)
    code, _, said = installation.run("-m", "builders", "archive", old.digest, str(installation.folder / "old.oci.tar"))
    assert code == 0, said
