"""Jobs: what the workers have been asked to do."""

from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import operation
from portal.api.documents.images import JobDocument
from registry import builds, importing, jobs, rebuilds, references, waves
from registry.errors import NotFound
from registry.orm.job import Job, JobKind
from registry.orm.scanning import Rescan


@operation("GET", "/jobs/<job_id>", answers={200: JobDocument})
def show_job(call: Call, job_id: str) -> Answer:
    """Show a job."""
    job = jobs.get(call.session, ident(job_id, "job"))
    if job is None:
        raise NotFound("there is no such job")
    return Answer(JobDocument.of(job, _subject(call, job)))


def _subject(call: Call, job: Job) -> str:
    """Where its version, build, rebuild, bundle of advisories or platform change is; refuses whoever may not see that."""
    if job.kind is JobKind.ADVISORIES:
        return f"/api/v1/advisories/bundles/{importing.load(call.session, job.subject_id).digest}"
    if job.kind is JobKind.MOVE:
        return f"/api/v1/platform-changes/{waves.load(call.session, job.subject_id).change_id}"
    if job.kind is JobKind.BAKE:
        return f"/api/v1/builds/{builds.get_build(call.session, job.subject_id, actor=call.actor).id}"
    if job.kind is JobKind.REBUILD:
        digest = rebuilds.load(call.session, job.subject_id).image.digest
        builds.get_image(call.session, digest, actor=call.actor)
        return f"/api/v1/images/{digest}/rebuilds/{job.subject_id}"
    version_id = (
        call.session.get_one(Rescan, job.subject_id).version_id if job.kind is JobKind.RESCAN else job.subject_id
    )
    version = references.version_by_id(call.session, version_id, actor=call.actor)
    return f"/api/v1/models/{version.model.full_name}/versions/{version.number}"
