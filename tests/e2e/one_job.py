"""Run as a process by the failure tests: a real worker that works until the queue is empty."""

import logging
import sys
import time

from sqlalchemy import select

from builders import platform
from builders.worker import Worker
from registry.db import Database
from registry.orm.job import Job, JobState
from registry.settings import Settings
from registry.store import LocalStore

logging.basicConfig(level="INFO", stream=sys.stderr)
settings = Settings.load()
database = Database(settings.url)
found = platform.detect(settings, LocalStore(settings.store_dir))
worker = Worker(settings, database, found.store, found)


def unfinished():
    """Whether a job waits, or is still leased to a worker that was killed."""
    with database.read() as session:
        return session.scalars(
            select(Job.id).where(Job.state.in_((JobState.QUEUED, JobState.RUNNING))).limit(1)
        ).first()


found.remove_stale(worker.held_names())
while worker.run_one() or unfinished():
    time.sleep(0.05)
database.close()
