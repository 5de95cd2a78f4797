"""Scan an accepted version again, under the list that this worker has."""

from sqlalchemy.orm import Session, joinedload, selectinload

from builders.checks import names, own_code, scan
from builders.jobs import Job
from builders.platform import Platform
from registry import jobs, rescans
from registry.orm.catalog import ModelVersion
from registry.orm.scanning import Rescan
from registry.store import LocalStore


def note_list(session: Session) -> int:
    """Tell which list is in use here; returns how many versions are to be scanned again because it shrank."""
    listed = names.load()
    takes = {name: sorted(taken) for name, taken in listed.takes.items()}
    return rescans.note_list(session, digest=listed.digest, uses=listed.uses, takes=takes)


def run(job: Job, store: LocalStore, _platform: Platform) -> None:
    """Nothing of the file is run; the outcome is kept beside the version."""
    with job.database.read() as session:
        version = _rescan(session, job).version
        digests = {file.path: file.digest for file in version.files}
        artifact, file_format = store.path(digests[version.artifact]), version.format
        reports = {report.step: report.body for report in version.reports}
        own = own_code.allow_lists(reports.get("own-code"))
    found = scan.scan(artifact, file_format, own=own)
    with job.database.write() as session:
        jobs.own(session, job.id, job.fence)
        rescans.end(session, _rescan(session, job), outcome=found["outcome"], findings=found["findings"])
        jobs.log(session, job.id, job.fence, found["summary"])
        jobs.finish(session, job.id, job.fence)


def give_up(session: Session, job: Job, error: dict[str, str]) -> None:
    """What cannot be scanned is not accepted."""
    rescans.end(session, _rescan(session, job), outcome="failed", findings=[error])


def _rescan(session: Session, job: Job) -> Rescan:
    parts = joinedload(Rescan.version).options(selectinload(ModelVersion.files), selectinload(ModelVersion.reports))
    return session.get_one(Rescan, job.subject_id, options=[parts])
