"""Claims checks and bakes from the queue, one at a time; any number of workers may run."""

import logging
import os
import signal
import socket
import threading
import time
from datetime import timedelta
from types import FrameType

from builders import advisories, bake, check, move, rebuild, rescan, retention
from builders.jobs import Job, JobFailed
from builders.platform import Platform
from registry import jobs, proofs
from registry.db import Database
from registry.errors import RegistryError
from registry.orm.job import JobKind
from registry.settings import Settings
from registry.store import LocalStore

logger = logging.getLogger(__name__)
REPORT_SECONDS = 30.0
CHECKPOINT_SECONDS = 5.0
WORKERS_DIED = {
    "code": "internal",
    "message": "Every worker that took it died.",
    "hint": "Tell an operator: most likely their machines have too little memory for it.",
}
FREE_SECONDS = 24 * 3600.0
WORK = {
    JobKind.CHECK: check,
    JobKind.BAKE: bake,
    JobKind.REBUILD: rebuild,
    JobKind.RESCAN: rescan,
    JobKind.ADVISORIES: advisories,
    JobKind.MOVE: move,
}
"""The module that does a kind of job, and gives it up."""


class Stop(BaseException):
    """The worker was asked to stop: the job goes back to the queue untouched."""


class Worker:
    """One worker process."""

    def __init__(self, settings: Settings, database: Database, store: LocalStore, platform: Platform) -> None:
        """Nothing is claimed before :meth:`run`."""
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.settings = settings
        self.database = database
        self.store = store
        self.platform = platform
        self.lease = timedelta(seconds=settings.job_lease_seconds)
        self._reported = self._signed = self._freed = 0.0

    def run(self) -> None:
        """Work until SIGTERM or Ctrl-C."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        self.platform.remove_stale(self.held_names())
        self.store.sweep()
        self.platform.layers.sweep()
        self.note_list()
        try:
            while True:
                self._housekeep()
                if not self.run_one():
                    time.sleep(self.settings.worker_poll_seconds)
        except Stop:
            logger.info("stopped")

    def note_list(self) -> None:
        """Say which allow-list is in use; a shrunken one queues what was accepted under the wider one."""
        with self.database.write() as session:
            if count := rescan.note_list(session):
                logger.warning("the allow-list lost names: %d versions are scanned again", count)

    def run_one(self) -> bool:
        """Claim and do one job; whether there was one."""
        with self.database.write() as session:
            claimed = jobs.claim(session, worker=self.name, lease=self.lease, kinds=list(JobKind))
            if claimed is None:
                return False
            job = Job(self.database, claimed.id, claimed.kind, claimed.subject_id, claimed.fence, self.lease)
            worn_out = claimed.attempts > jobs.MOST_CLAIMS
        stop = threading.Event()
        heart = threading.Thread(target=job.beat, args=(stop,), name="heartbeat", daemon=True)
        heart.start()
        try:
            if worn_out:  # nobody was left to say that it failed
                self._failed(job, WORKERS_DIED, retry=False)
            else:
                self._do(job)
        except Stop:
            with self.database.write() as session:
                jobs.release(session, job.id, job.fence)
            raise
        except jobs.StaleFence as error:
            logger.warning("%s: another worker has it", error)
        finally:
            stop.set()
            heart.join()
        self._checkpoint(force=True)
        return True

    def _do(self, job: Job) -> None:
        try:
            WORK[job.kind].run(job, self.store, self.platform)
        except jobs.StaleFence:
            raise
        except JobFailed as error:
            self._failed(job, {"code": error.code, "message": str(error), "hint": error.hint}, retry=error.retry)
        except RegistryError as error:
            self._failed(job, {"code": error.code, "message": str(error), "hint": error.hint}, retry=False)
        except Exception as error:
            logger.exception("job %s", job.id)
            detail = {
                "code": "internal",
                "message": f"{type(error).__name__}: {error}"[:500],
                "hint": "Tell an operator; the worker's log has more.",
            }
            self._failed(job, detail, retry=True)

    def _failed(self, job: Job, error: dict[str, str], *, retry: bool) -> None:
        """Put the job back, or give it up together with what it was about."""
        job.log(f"failed: {error['message']} {error['hint']}".rstrip())
        with self.database.write() as session:
            if jobs.fail(session, job.id, job.fence, error=error, retry=retry):
                WORK[job.kind].give_up(session, job, error)

    def _housekeep(self) -> None:
        now = time.monotonic()
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            with self.database.write() as session:
                jobs.report_worker(session, name=self.name, **self.platform.report())
        if now - self._signed >= CHECKPOINT_SECONDS:
            self._checkpoint()
        if not self._freed or now - self._freed >= FREE_SECONDS:
            self._freed = now
            retention.free(self.database, self.platform, days=self.settings.keep_image_days)

    def _checkpoint(self, *, force: bool = False) -> None:
        """Sign the head of the audit log when it grew."""
        if force or time.monotonic() - self._signed >= CHECKPOINT_SECONDS:
            self._signed = time.monotonic()
            try:
                with self.database.write() as session:
                    proofs.sign_checkpoint(session, self.platform.audit_key)
            except RegistryError:
                logger.exception("the audit log was not signed")

    def held_names(self) -> set[str]:
        """Names of containers and scratch folders that a live job may still use."""
        with self.database.read() as session:
            return {f"countersign-{job.id.hex}-{job.fence}" for job in jobs.running(session)}


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stop
