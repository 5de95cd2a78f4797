"""One image of a wave: its versions baked on the new platform, and every one of them asked all its approved rows again."""

from sqlalchemy.orm import Session

from builders import bake, pinning
from builders.jobs import Job, JobFailed
from builders.platform import Platform
from registry import clock, jobs, waves
from registry.store import LocalStore


def run(job: Job, store: LocalStore, platform: Platform) -> None:
    """Bake, compare, and put the new image in front when all answers are equal.

    :raises JobFailed: a version is no longer approved, or the new image does not start.
    """
    with job.database.write() as session:
        started = jobs.own(session, job.id, job.fence).started_at or clock.now()
        work = waves.start(session, job.subject_id)
        if work is None:
            jobs.log(session, job.id, job.fence, "another image is in front by now: nothing to do")
            jobs.finish(session, job.id, job.fence)
            return
    suited = pinning.pin(platform, work.platform)
    wanted = bake.Wanted(work.bundle, work.recipe, started, every_row=True)
    made = bake.make(job, store, suited, wanted)
    if made.report["differs"]:
        with job.database.write() as session:
            jobs.finish(session, job.id, job.fence)
            waves.not_equal(session, job.subject_id, made.report)
        return
    if made.report["outcome"] != "passed":
        raise JobFailed(
            "smoke-test",
            made.report["summary"],
            hint="Read the log; the image in front stays. Retry when it is mended.",
        )
    baked = bake.ready(job, made, suited)
    with job.database.write() as session:
        jobs.log(session, job.id, job.fence, f"the answers are equal: {baked.digest}")
        jobs.finish(session, job.id, job.fence)
        waves.equal(session, job.subject_id, baked)


def give_up(session: Session, job: Job, error: dict[str, str]) -> None:
    """The last attempt failed: the bundle's owners are told, its image in front stays."""
    waves.fail(session, job.subject_id, error)
