"""The worker: what it does with a job that no worker survives."""

from types import SimpleNamespace

from builders.worker import Worker
from registry import jobs
from registry.orm.catalog import Stage
from registry.orm.job import JobState
from registry.settings import Settings
from tests import factories


def test_a_job_whose_workers_die_is_given_up(world):
    with world.write() as session:
        version_id = factories.checking_version(session, world).id
        factories.job_of(session, version_id).attempts = jobs.MOST_CLAIMS
    worker = Worker(Settings(), world.database, world.store, SimpleNamespace())
    worker._checkpoint = lambda *, force=False: None
    assert worker.run_one()
    with world.read() as session:
        job = factories.job_of(session, version_id)
        assert (job.state, job.error["message"]) == (JobState.FAILED, "Every worker that took it died.")
        assert world.version(session).stage is Stage.CHECK_FAILED
