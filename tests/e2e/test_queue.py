"""Checks and builds on two workers that are killed again and again: all end, none twice, none is lost.

The short form kills each worker once; ``make soak`` one every few seconds, over 300 jobs.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import func, select

from registry import proofs, references
from registry.orm.audit import AuditEntry
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.image import Build, BuildState, Image
from registry.orm.job import Job, JobState
from tests import factories
from tests.e2e.conftest import CARD, ROOT
from tests.factories import World

pytestmark = [pytest.mark.index, pytest.mark.xdist_group("installation")]
WORKERS = 2
LEASE_SECONDS = 10
PATIENCE = 600
"""Seconds without any job ending after which the test gives up."""


@pytest.fixture
def world(installation, index_there):
    """People, and a store, in the installation."""
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


@dataclass
class Workers:
    """Worker processes of an installation, each with its children in a process group: killed together, as a machine dies."""

    installation: object
    running: list[subprocess.Popen] = field(default_factory=list)

    def start(self):
        environ = {**os.environ, **self.installation.environ, "PYTHONPATH": str(ROOT)}
        environ["COUNTERSIGN_JOB_LEASE_SECONDS"] = str(LEASE_SECONDS)
        with (self.installation.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "builders"],
                cwd=ROOT,
                env=environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(process)

    def kill_the_oldest(self):
        process = self.running.pop(0)
        assert process.poll() is None, f"a worker ended by itself with {process.returncode}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def workers_of(installation):
    found = Workers(installation)
    for _ in range(WORKERS):
        found.start()
    try:
        yield found
    finally:
        while found.running:
            found.kill_the_oldest()


def push(world, model_files, count):
    """Versions of as many models, each waiting for its checks."""
    with world.write() as session:
        files = {path.name: factories.blob(session, world, path.read_bytes()) for path in model_files}
    for number in range(count):
        with world.write() as session:
            factories.checking_version(
                session, world, model=f"payments/q{number}", files=files, card=CARD, environment={"python": ""}
            )


def approve_what_is_ready(world):
    """So that builds come into the queue while checks are still there."""
    with world.read() as session:
        ready = session.scalars(select(ModelVersion.id).where(ModelVersion.stage == Stage.READY)).all()
    for version_id in ready:
        with world.write() as session:
            factories.approve(session, world, references.version_by_id(session, version_id, actor=world.ana))


def ended(world):
    with world.read() as session:
        return session.scalar(select(func.count()).where(Job.state.in_((JobState.DONE, JobState.FAILED)))) or 0


def is_running(world):
    with world.read() as session:
        return session.scalar(select(func.count()).where(Job.state == JobState.RUNNING, Job.fence == 1)) or 0


def work(installation, world, *, jobs, kills, seconds):
    """Let two workers work until ``jobs`` have ended; kill one every so many ``seconds``, ``kills`` times.

    Where nothing ended between two kills the machine is too slow for that pace, and the next pause is twice as long.
    """
    with workers_of(installation) as workers:
        pause, killed, last, then = seconds, 0, time.monotonic(), 0
        moved = time.monotonic()
        while (done := ended(world)) < jobs:
            approve_what_is_ready(world)
            if done > then:
                moved = time.monotonic()
            assert time.monotonic() - moved < PATIENCE, (installation.folder / "workers.log").read_text()[-4000:]
            if killed < kills and time.monotonic() - last > pause and is_running(world):
                pause = seconds if done > then else pause * 2
                workers.kill_the_oldest()
                workers.start()
                killed, last, then = killed + 1, time.monotonic(), done
            elif killed >= kills:
                then = done
            time.sleep(0.2)
    return killed


def all_ended_once(world, versions):
    with world.read() as session:
        jobs = session.scalars(select(Job)).all()
        assert Counter((job.kind.value, job.state.value) for job in jobs) == {
            ("check", "done"): versions,
            ("bake", "done"): versions,
        }, [job.error for job in jobs if job.error]
        assert any(job.fence > 1 for job in jobs), "no kill met a job: nothing was tested"
        assert {stage for (stage,) in session.execute(select(ModelVersion.stage))} == {Stage.APPROVED}
        builds = session.scalars(select(Build)).all()
        assert [build.state for build in builds] == [BuildState.DONE] * versions
        assert {build.image_id for build in builds} == set(session.scalars(select(Image.id)))
        for action in ("version:checked", "image:released"):
            query = select(AuditEntry.subject, func.count()).where(AuditEntry.action == action)
            counted = session.execute(query.group_by(AuditEntry.subject)).all()
            assert len(counted) == versions, action
            assert {count for _, count in counted} == {1}, f"{action}: something was done twice"
        proofs.verify(session)


@pytest.mark.slow
def test_jobs_end_once_when_both_workers_are_killed(installation, world, model_files):
    push(world, model_files, 6)
    assert work(installation, world, jobs=12, kills=WORKERS, seconds=4) == WORKERS
    all_ended_once(world, 6)


@pytest.mark.soak
def test_300_jobs_end_once_when_a_worker_is_killed_every_few_seconds(installation, world, model_files):
    push(world, model_files, 150)
    work(installation, world, jobs=300, kills=10_000, seconds=5)
    all_ended_once(world, 150)
