"""The same in containers, on the real engine: baked without network, baked anew, pushed, and restarted one by one under load."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from builders.plan import REST_PORT
from registry import builds, bundles, rebuilds
from registry.orm.image import Build, BuildState, Image, RebuildState
from tests import factories, rolling
from tests.builders import oci_registry
from tests.e2e.conftest import ROOT, opened
from tests.e2e.test_images import release, work_offline
from tests.factories import World

pytestmark = [
    pytest.mark.index,
    pytest.mark.engine,
    pytest.mark.soak,  # minutes long
]


@pytest.fixture(scope="module")
def installation(tmp_path_factory, index_there):
    """An installation whose worker has an engine and the base image."""
    base = os.environ.get("COUNTERSIGN_BASE_IMAGE") or str(ROOT / "var/base/base.oci.tar")
    assert "@" in base or Path(base).is_file(), "make base-image"
    with opened(tmp_path_factory.mktemp("installation"), "container") as made:
        made.environ["COUNTERSIGN_BASE_IMAGE"] = base
        factories.build_world(made.database)
        yield made


@pytest.fixture(scope="module")
def world(installation):
    return World.load(installation.database, installation.store)


@pytest.fixture(scope="module")
def image(installation, world, model_files):
    """A released image."""
    return release(installation, world, model_files)[0]


def test_a_container_image_is_baked_offline_rebuilt_and_pushed(tmp_path, installation, world, image):
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
        code, _, said = installation.run("-m", "tests.e2e.one_job", environ={"COUNTERSIGN_REGISTRY_URL": registry.url})
        assert code == 0, said
    with world.read() as session:
        build = session.scalars(select(Build).order_by(Build.id.desc()).limit(1)).one()
        assert build.state is BuildState.DONE, build.error
        reference = f"{registry.url.removeprefix('http://')}/payments/voice@{image.digest}"
        assert session.scalars(select(Image)).one().reference == reference


@pytest.fixture
def container(image):
    """Start containers of the image as an operator does; yields a function that returns a ready one's ID and address."""
    started = []

    def start():
        options = [
            "--publish",
            f"127.0.0.1::{REST_PORT}",
            "--env",
            f"COUNTERSIGN_KEY_FINGERPRINT={image.key_fingerprint}",
        ]
        made = docker("run", "--detach", "--read-only", "--tmpfs", "/tmp", *options, image.engine_id)
        started.append(made)
        url = f"http://{docker('port', made, f'{REST_PORT}/tcp').splitlines()[0]}"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{url}/v2/health/ready", timeout=10).ok:
                    return made, url
            time.sleep(0.05)
        raise AssertionError(f"{url} was not ready within a minute: {docker('logs', made)}")

    yield start
    docker("rm", "--force", *started)


def docker(*arguments):
    """What the engine's own client says."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def test_a_rolling_restart_of_two_containers_fails_no_request(container):
    containers = [container(), container()]
    message = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["I want my money back"]}]}

    def ask(server):
        return requests.post(f"{server[1]}/v2/models/voice/infer", json=message, timeout=60)

    def replace(place):
        docker("stop", "--time", "60", containers[place][0])
        assert docker("inspect", "--format", "{{.State.ExitCode}}", containers[place][0]) == "0"
        return container()

    codes = rolling.restart_all(containers, ask, replace)
    assert len(codes) > 20 * rolling.CALLERS
    assert set(codes) == {200}
