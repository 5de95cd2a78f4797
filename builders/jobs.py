"""A claimed job: its log, its steps, its lease; and what may go wrong with it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from formats import canonical
from registry import clock, faults, jobs
from registry.db import Database
from registry.orm.job import JobKind

logger = logging.getLogger(__name__)


class JobFailed(Exception):
    """The job cannot succeed as it stands: told to people, not retried."""

    retry = False

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        """Say what happened and what to do next."""
        super().__init__(message)
        self.code = code
        self.hint = hint


class TryLater(JobFailed):
    """Something this needs does not answer now: the job goes back to the queue with a delay."""

    retry = True


@dataclass
class Job:
    """What a step needs of the job it belongs to. All writes name the fence."""

    database: Database
    id: UUID
    kind: JobKind
    subject_id: UUID
    fence: int
    lease: timedelta
    lost: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """Prefix of containers and scratch folders: ``countersign-<job>-<fence>``."""
        return f"countersign-{self.id.hex}-{self.fence}"

    def log(self, text: str) -> None:
        """Add a line to the job's log, where people follow it."""
        logger.info("%s %s: %s", self.kind, self.id.hex[:12], text)
        with self.database.write() as session:
            jobs.log(session, self.id, self.fence, text)

    def step(self, name: str, inputs: Any, work: Callable[[], Any]) -> Any:
        """Run ``work`` once per input: a retaken job gets the stored output of a finished step.

        :param inputs: canonical JSON of everything the output depends on.
        """
        digest = canonical.digest(inputs)
        with self.database.read() as session:
            known = jobs.step_output(session, self.id, name, digest)
        if known is not None:
            self.log(f"{name}: done before, kept")
            return known
        started = clock.now()
        faults.reach(f"step-{name}")
        output = work()
        with self.database.write() as session:
            jobs.save_step(session, self.id, self.fence, name, input_digest=digest, output=output, started_at=started)
        return output

    def beat(self, stop: threading.Event) -> None:
        """Keep the lease until ``stop``; note when the job was lost to another worker."""
        while not stop.wait(self.lease.total_seconds() / 4):
            try:
                with self.database.write() as session:
                    jobs.heartbeat(session, self.id, self.fence, lease=self.lease)
            except jobs.StaleFence:
                self.lost.set()
                return
            except Exception:
                logger.exception("heartbeat of job %s failed", self.id)
