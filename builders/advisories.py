"""Import a bundle of advisories: read it whole, then put it into force in one unit of work."""

from sqlalchemy.orm import Session

from builders import osv
from builders.jobs import Job
from builders.platform import Platform
from registry import importing, jobs
from registry.store import LocalStore


def run(job: Job, store: LocalStore, _platform: Platform) -> None:
    """No transaction is open while the file is read."""
    with job.database.read() as session:
        digest = importing.load(session, job.subject_id).digest
    for _ in store.chunks(digest):
        pass  # reads it whole and checks it: a zip is read here and there
    with store.open(digest) as file:
        contents = osv.read(file)
    job.log(f"{contents.records} advisories, the newest of {contents.newest_at:%Y-%m-%d}")
    with job.database.write() as session:
        jobs.own(session, job.id, job.fence)
        fresh = importing.take_over(session, importing.load(session, job.subject_id), contents)
        jobs.log(session, job.id, job.fence, f"in force; {fresh} findings in locks and images are new")
        jobs.finish(session, job.id, job.fence)


def give_up(session: Session, job: Job, error: dict[str, str]) -> None:
    """The bundle before it stays in force; the page says why this one was refused."""
    importing.refuse(session, importing.load(session, job.subject_id), error)
