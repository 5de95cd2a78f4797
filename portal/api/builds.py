"""Builds: how they stand, and their logs."""

from uuid import UUID

from flask import Response

from portal.api import ranges
from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import Media, operation
from portal.api.documents.base import Nothing
from portal.api.documents.bundles import BuildDocument, BuildPage, BuildQuery, BuildSummary
from registry import accounts, builds, bundles, jobs
from registry.access import Permission
from registry.errors import NotFound, NotInTeam, WrongStage
from registry.orm.image import BuildState

TEXT = "text/plain; charset=utf-8"
ENDED = frozenset({BuildState.DONE, BuildState.FAILED})


@operation("GET", "/builds", answers={200: BuildPage}, refuses=(NotFound,))
def list_builds(call: Call, query: BuildQuery) -> Answer:
    """List builds, newest first."""
    bundle = bundles.get(call.session, query.bundle, actor=call.actor) if query.bundle else None
    found = builds.list_builds(call.session, query.place(), actor=call.actor, bundle=bundle)
    names = accounts.display_names(call.session, {build.requested_by for build in found.items})
    items = [BuildSummary(**BuildSummary.members(build, names)) for build in found.items]
    return Answer(BuildPage(items=items, next=found.next))


@operation("GET", "/builds/<build_id>", answers={200: BuildDocument})
def show_build(call: Call, build_id: str) -> Answer:
    """Show a build."""
    return Answer(_document(call, ident(build_id, "build")))


@operation(
    "POST",
    "/builds/<build_id>/retry",
    answers={202: BuildDocument},
    needs=Permission.BAKE,
    refuses=(NotInTeam, WrongStage),
)
def retry_build(call: Call, build_id: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Queue a failed build again."""
    build = builds.get_build(call.session, ident(build_id, "build"), actor=call.actor)
    builds.retry(call.session, build, actor=call.actor)
    return accepted(call, build.id)


@operation(
    "GET",
    "/builds/<build_id>/log",
    answers={200: Media("text/plain", "The log as it stands."), 206: Media("text/plain", "What is new.")},
    refuses=(ranges.RangeNotSatisfiable,),
    ranged=True,
)
def build_log(call: Call, build_id: str) -> Response:
    """Read the log of a build.

    `Range: bytes=N-` with N the bytes you have: 206 with what is new, 416 when nothing is yet.
    """
    build = builds.get_build(call.session, ident(build_id, "build"), actor=call.actor)
    job = jobs.get(call.session, build.job_id) if build.job_id else None
    size = job.log_size if job else 0
    try:
        span = ranges.wanted(size)
    except ranges.RangeNotSatisfiable as error:
        return ranges.unsatisfiable(error, size)
    start, end = span or (0, size)
    data = _text(call, build.job_id, start, end) if build.job_id else b""
    response = Response(data, 200 if span is None else 206, content_type=TEXT)
    response.headers["Accept-Ranges"] = "bytes"
    if span is not None:
        # While it grows its length is not known, and saying one would make clients believe that they have it all.
        total = size if build.state in ENDED else "*"
        response.headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{total}"
    return response


def _text(call: Call, job_id: UUID, start: int, end: int) -> bytes:
    pieces: list[bytes] = []
    while start < end and (piece := jobs.read_log(call.session, job_id, start=start)):
        pieces.append(piece[: end - start])
        start += len(piece)
    return b"".join(pieces)


def accepted(call: Call, build_id: UUID) -> Answer:
    """202 with the build that is queued now."""
    call.session.flush()
    return Answer(_document(call, build_id), 202, location=f"/api/v1/builds/{build_id}")


def _document(call: Call, build_id: UUID) -> BuildDocument:
    build = builds.get_build(call.session, build_id, actor=call.actor)
    names = accounts.display_names(call.session, {build.requested_by})
    job = jobs.get(call.session, build.job_id) if build.job_id else None
    steps = jobs.steps_of(call.session, job.id) if job else []
    return BuildDocument.of(build, names, steps, job.log_size if job else 0)
