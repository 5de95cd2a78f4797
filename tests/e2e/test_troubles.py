"""What a worker needs goes away in mid-step: the job waits in the queue with the reason, and goes on when it is back."""

import pytest
from sqlalchemy import select

from builders import platform
from builders.worker import Worker
from registry import clock
from registry.orm.catalog import Stage
from registry.orm.job import Job, JobState
from registry.settings import Settings
from tests import factories
from tests.e2e.conftest import CARD
from tests.factories import World

pytestmark = pytest.mark.xdist_group("installation")


@pytest.fixture
def world(installation):
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


@pytest.fixture
def version_id(world, model_files):
    with world.write() as session:
        files = {path.name: factories.blob(session, world, path.read_bytes()) for path in model_files}
    with world.write() as session:
        return factories.checking_version(session, world, files=files, card=CARD, environment={"python": ""}).id


def work_once(installation, **environ):
    settings = Settings.load(installation.environ | environ)
    worker = Worker(settings, installation.database, installation.store, platform.detect(settings, installation.store))
    return worker.run_one()


def only_job(installation):
    with installation.database.read() as session:
        return session.scalars(select(Job)).one()


def test_an_index_that_does_not_answer_puts_the_check_back(installation, world, version_id):
    assert work_once(installation, COUNTERSIGN_INDEX_URL="http://127.0.0.1:9/simple")
    job = only_job(installation)
    assert job.state is JobState.QUEUED
    assert job.error["code"] == "index-unreachable"
    assert job.run_after > clock.now()
    assert "COUNTERSIGN_INDEX_URL" in job.error["hint"]
    with world.read() as session:
        assert world.version(session).stage is Stage.CHECKING


def test_after_five_attempts_the_check_is_given_up_and_says_why(installation, world, version_id):
    for _ in range(5):
        with world.write() as session:
            session.scalars(select(Job)).one().run_after = clock.now()
        assert work_once(installation, COUNTERSIGN_INDEX_URL="http://127.0.0.1:9/simple")
    assert only_job(installation).state is JobState.FAILED
    with world.read() as session:
        assert world.version(session).stage is Stage.CHECK_FAILED


@pytest.mark.index
@pytest.mark.slow
def test_the_check_goes_on_when_the_index_is_back(installation, world, version_id, index_there):
    work_once(installation, COUNTERSIGN_INDEX_URL="http://127.0.0.1:9/simple")
    with world.write() as session:
        session.scalars(select(Job)).one().run_after = clock.now()
    code, _, said = installation.work()
    assert code == 0, said
    with world.read() as session:
        assert world.version(session).stage is Stage.READY


def test_a_model_for_another_python_is_told_so(installation, world, model_files):
    with world.write() as session:
        files = {path.name: factories.blob(session, world, path.read_bytes()) for path in model_files}
        factories.checking_version(session, world, files=files, card=CARD, environment={"python": "3.9.1"})
    work_once(installation)
    with world.read() as session:
        version = world.version(session)
        assert version.stage is Stage.CHECK_FAILED
        finding = version.reports[-1].body["findings"][0]
    assert finding["code"] == "other-python"
    assert "3.9.1" in finding["message"]


def test_containers_that_are_demanded_and_missing_stop_the_worker(installation):
    environ = installation.environ | {
        "COUNTERSIGN_ISOLATION": "container",
        "COUNTERSIGN_BASE_IMAGE": "/no/such.oci.tar",
    }
    code, _, said = installation.run("-m", "builders", environ=environ)
    assert code == 1
    assert len(said.strip().splitlines()) == 1, said
