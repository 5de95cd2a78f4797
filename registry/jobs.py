"""The queue: enqueue in the asking transaction, claim with a lease, write only under the newest fence."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from registry import clock
from registry.orm.job import Job, JobKind, JobLog, JobState, JobStep, Worker

MAX_ATTEMPTS = 5
MOST_CLAIMS = 20
"""So often is a job taken at most whose workers die: none of them is left to count a failure."""
BACKOFF_SECONDS = (2, 10, 30, 120)
ALIVE = timedelta(minutes=2)
MAX_LOG = 4 << 20


class StaleFence(Exception):
    """Another worker has taken this job over; whoever sees this stops at once."""


def enqueue(session: Session, kind: JobKind, *, key: str, subject_id: UUID, new: bool = False) -> Job:
    """Queue a job, or return the one this key has already; a finished one is queued again.

    :param new: the subject came into being in this transaction, so nobody can have asked before.
    """
    job = None
    if not new:
        with session.no_autoflush:  # jobs are flushed as they are made; nothing else could change the answer
            job = session.scalars(select(Job).where(Job.kind == kind, Job.key == key).with_for_update()).one_or_none()
    if job is None:
        job = Job(kind=kind, key=key, subject_id=subject_id, state=JobState.QUEUED, fence=0, attempts=0, log_size=0)
        session.add(job)
        if not new:
            session.flush()
    elif job.state in (JobState.DONE, JobState.FAILED):
        job.state, job.attempts, job.error, job.run_after = JobState.QUEUED, 0, None, clock.now()
        job.finished_at = None
        session.execute(delete(JobStep).where(JobStep.job_id == job.id))  # again means again
    return job


def claim(session: Session, *, worker: str, lease: timedelta, kinds: Sequence[JobKind]) -> Job | None:
    """Take the oldest job that is due, or one whose worker went silent."""
    now = clock.now()
    due = or_(
        (Job.state == JobState.QUEUED) & (Job.run_after <= now),
        (Job.state == JobState.RUNNING) & (Job.lease_until < now),
    )
    query = select(Job).where(due, Job.kind.in_(kinds)).order_by(Job.run_after, Job.id).limit(1)
    job = session.scalars(query.with_for_update(skip_locked=True)).one_or_none()
    if job is None:
        return None
    job.state, job.worker, job.lease_until = JobState.RUNNING, worker, now + lease
    job.fence += 1
    job.attempts += 1
    job.started_at = now
    return job


def own(session: Session, job_id: UUID, fence: int) -> Job:
    """The job, locked, if this fence still holds it.

    :raises StaleFence: it does not.
    """
    query = select(Job).where(Job.id == job_id, Job.fence == fence, Job.state == JobState.RUNNING)
    job = session.scalars(query.with_for_update().execution_options(populate_existing=True)).one_or_none()
    if job is None:
        raise StaleFence(f"job {job_id} is no longer held under fence {fence}")
    return job


def heartbeat(session: Session, job_id: UUID, fence: int, *, lease: timedelta) -> None:
    """Keep the lease.

    :raises StaleFence: the job was taken over.
    """
    own(session, job_id, fence).lease_until = clock.now() + lease


def finish(session: Session, job_id: UUID, fence: int) -> None:
    """Mark the job done, in the transaction that stores its result."""
    job = own(session, job_id, fence)
    job.state, job.finished_at, job.lease_until, job.error = JobState.DONE, clock.now(), None, None


def fail(session: Session, job_id: UUID, fence: int, *, error: dict[str, str], retry: bool) -> bool:
    """Put the job back with a delay, or give it up; returns whether it was given up."""
    job = own(session, job_id, fence)
    job.error, job.lease_until = error, None
    if retry and job.attempts < MAX_ATTEMPTS:
        delay = BACKOFF_SECONDS[min(job.attempts, len(BACKOFF_SECONDS)) - 1]
        job.state, job.run_after = JobState.QUEUED, clock.now() + timedelta(seconds=delay)
        return False
    job.state, job.finished_at = JobState.FAILED, clock.now()
    return True


def release(session: Session, job_id: UUID, fence: int) -> None:
    """Give a job back untouched, at an orderly stop of the worker."""
    job = own(session, job_id, fence)
    job.state, job.lease_until, job.attempts = JobState.QUEUED, None, job.attempts - 1


def step_output(session: Session, job_id: UUID, name: str, input_digest: str) -> Any | None:
    """What a step produced earlier from the same input, or ``None``."""
    step = session.get(JobStep, (job_id, name))
    return step.output if step is not None and step.input_digest == input_digest else None


def save_step(
    session: Session, job_id: UUID, fence: int, name: str, *, input_digest: str, output: Any, started_at: Any
) -> None:
    """Keep a step's output so that a retaken job does not repeat it."""
    own(session, job_id, fence)
    step = session.get(JobStep, (job_id, name)) or JobStep(job_id=job_id, name=name)
    step.input_digest, step.output = input_digest, output
    step.started_at, step.finished_at = started_at, clock.now()
    session.add(step)


def steps_of(session: Session, job_id: UUID) -> list[JobStep]:
    """Finished steps in the order they ended."""
    return list(session.scalars(select(JobStep).where(JobStep.job_id == job_id).order_by(JobStep.finished_at)))


def log(session: Session, job_id: UUID, fence: int, text: str) -> None:
    """Append to the job's log; beyond 4 MiB only that fact."""
    job = own(session, job_id, fence)
    if job.log_size >= MAX_LOG:
        return
    data = text if text.endswith("\n") else text + "\n"
    session.add(JobLog(job_id=job_id, start=job.log_size, text=data))
    job.log_size += len(data.encode())
    if job.log_size >= MAX_LOG:
        end = "(the log is cut here)\n"
        session.add(JobLog(job_id=job_id, start=job.log_size, text=end))
        job.log_size += len(end)


def read_log(session: Session, job_id: UUID, *, start: int = 0, most: int = 256 * 1024) -> bytes:
    """Bytes of the log from ``start``, at most about ``most``."""
    query = select(JobLog).where(JobLog.job_id == job_id).order_by(JobLog.start)
    first = (
        select(JobLog.start)
        .where(JobLog.job_id == job_id, JobLog.start <= start)
        .order_by(JobLog.start.desc())
        .limit(1)
    )
    found = session.scalars(first).first()
    pieces: list[bytes] = []
    size = 0
    for row in session.scalars(query.where(JobLog.start >= (found or 0)).limit(2000)):
        data = row.text.encode()
        data = data[max(0, start - row.start) :]
        pieces.append(data)
        size += len(data)
        if size >= most:
            break
    return b"".join(pieces)


def running(session: Session) -> list[Job]:
    """Jobs that some worker holds a lease on."""
    return list(session.scalars(select(Job).where(Job.state == JobState.RUNNING, Job.lease_until > clock.now())))


def take_back(session: Session, kind: JobKind, *, key: str) -> bool:
    """Remove a job that no worker ever had; whether there was one. One that is under way, or was, is left to end."""
    query = select(Job).where(Job.kind == kind, Job.key == key, Job.state == JobState.QUEUED, Job.fence == 0)
    job = session.scalars(query.with_for_update()).one_or_none()
    if job is None:
        return False
    session.delete(job)
    session.flush()
    return True


def of(session: Session, kind: JobKind, *, key: str) -> Job:
    """The job of a key that is known to have one."""
    return session.scalars(select(Job).where(Job.kind == kind, Job.key == key)).one()


def get(session: Session, job_id: UUID) -> Job | None:
    """A job by id."""
    return session.get(Job, job_id)


def of_subject(session: Session, subject_id: UUID) -> Job | None:
    """The newest job about a version or build."""
    return session.scalars(select(Job).where(Job.subject_id == subject_id).order_by(Job.id.desc()).limit(1)).first()


def queued_here(session: Session, subject_id: UUID) -> Job | None:
    """The job that this unit of work itself queued for a subject; asks no database."""
    held = (*session.new, *session.identity_map.values())
    return next((row for row in held if isinstance(row, Job) and row.subject_id == subject_id), None)


def report_worker(session: Session, *, name: str, isolation: str, note: str, target: dict[str, str], base: str) -> None:
    """A worker says it is there, and what it can do."""
    row = session.get(Worker, name) or Worker(name=name)
    row.isolation, row.note, row.target, row.base, row.seen_at = isolation, note, target, base, clock.now()
    session.add(row)


def alive_workers(session: Session) -> list[Worker]:
    """Workers that reported in the last two minutes."""
    return list(session.scalars(select(Worker).where(Worker.seen_at > clock.now() - ALIVE).order_by(Worker.name)))
