"""The same in containers, on the real engine: baked without network, baked anew, and pushed. Whole in a soak only."""

import os
from pathlib import Path

import pytest
from sqlalchemy import select

from registry import builds, bundles, rebuilds
from registry.orm.image import Build, BuildState, Image, RebuildState
from tests import factories
from tests.builders import oci_registry
from tests.e2e.conftest import ROOT, opened
from tests.e2e.test_images import release, work_offline
from tests.factories import World

pytestmark = [
    pytest.mark.index,
    pytest.mark.engine,
    pytest.mark.soak,  # minutes long
]


def test_a_container_image_is_baked_offline_rebuilt_and_pushed(tmp_path, model_files, index_there):
    base = os.environ.get("COUNTERSIGN_BASE_IMAGE") or str(ROOT / "var/base/base.oci.tar")
    assert "@" in base or Path(base).is_file(), "make base-image"
    (tmp_path / "installation").mkdir()
    with opened(tmp_path / "installation", "container") as installation:
        installation.environ["COUNTERSIGN_BASE_IMAGE"] = base
        factories.build_world(installation.database)
        world = World.load(installation.database, installation.store)
        image, _ = release(installation, world, model_files)
        assert (image.isolation, image.reference) == ("container", None)
        with world.write() as session:
            found = builds.get_image(session, image.digest, actor=world.aud)
            asked = rebuilds.request(session, found, actor=world.aud).id
        work_offline(installation)
        with world.read() as session:
            rebuilt = rebuilds.load(session, asked)
            assert rebuilt.state is RebuildState.EQUAL, (rebuilt.error, rebuilt.difference)
        with world.write() as session:
            bundles.bake(session, bundles.get(session, "payments/voice", actor=world.ana), actor=world.ana)
        with oci_registry.served(tmp_path / "registry") as registry:
            code, _, said = installation.run(
                "-m", "tests.e2e.one_job", environ={"COUNTERSIGN_REGISTRY_URL": registry.url}
            )
            assert code == 0, said
        with world.read() as session:
            build = session.scalars(select(Build).order_by(Build.id.desc()).limit(1)).one()
            assert build.state is BuildState.DONE, build.error
            reference = f"{registry.url.removeprefix('http://')}/payments/voice@{image.digest}"
            assert session.scalars(select(Image)).one().reference == reference
