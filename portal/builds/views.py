"""Builds: list, one build with its log, retry."""

from collections.abc import Iterator
from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters
from portal.builds import bp
from registry import builds, jobs, paging
from registry.access import Permission
from registry.orm.image import BuildState

PAGE = 50
LINES = 2000
"""Most lines of a log on a page; the raw log has all."""
LOG_PIECE = 256 * 1024


@bp.get("")
def index() -> str:
    """Builds, newest first."""
    session = db.session()
    page = builds.list_builds(session, paging.Cursor(limit=PAGE, after=request.args.get("cursor")), actor=g.actor)
    filters.name_actors({build.requested_by for build in page.items})
    return render_template("builds/index.html", page=page, workers=jobs.alive_workers(session))


@bp.get("/<uuid:build_id>")
def build(build_id: UUID) -> str:
    """One build."""
    session = db.session()
    found = builds.get_build(session, build_id, actor=g.actor)
    filters.name_actors({found.requested_by})
    job = jobs.get(session, found.job_id) if found.job_id else None
    raw = b"".join(_log(session, found.job_id)) if found.job_id else b""
    lines = raw.decode(errors="replace").splitlines()
    return render_template(
        "builds/build.html",
        build=found,
        job=job,
        lines=lines[-LINES:],
        first=max(0, len(lines) - LINES) + 1,
        size=len(raw),
        is_live=found.state in (BuildState.QUEUED, BuildState.RUNNING),
        workers=jobs.alive_workers(session),
        may_bake=access.may(Permission.BAKE, found.bundle.team_id),
    )


def _log(session: Session, job_id: UUID) -> Iterator[bytes]:
    """All of a log, piece by piece; it is at most 4 MiB."""
    start = 0
    while piece := jobs.read_log(session, job_id, start=start, most=LOG_PIECE):
        start += len(piece)
        yield piece


@bp.get("/<uuid:build_id>/log")
def log(build_id: UUID) -> Response:
    """The log as a text file; with ``?from=`` only what came after that byte, 204 while nothing did.

    ``X-Build-State`` tells whoever follows when to stop.
    """
    session = db.session()
    found = builds.get_build(session, build_id, actor=g.actor)
    follows = "from" in request.args
    start = max(0, request.args.get("from", 0, type=int))
    data = b""
    if found.job_id and follows:
        data = jobs.read_log(session, found.job_id, start=start, most=LOG_PIECE)
    elif found.job_id:
        data = b"".join(_log(session, found.job_id))
    response = Response(data, status=204 if follows and not data else 200, content_type="text/plain; charset=utf-8")
    response.headers["X-Build-State"] = found.state.value
    if not follows:
        response.headers["Content-Disposition"] = f'attachment; filename="build-{build_id.hex[:12]}.log"'
    return response


@bp.post("/<uuid:build_id>/retry")
def retry(build_id: UUID) -> BaseResponse:
    """Queue a failed build again."""
    found = builds.get_build(db.session(), build_id, actor=g.actor)
    builds.retry(db.session(), found, actor=g.actor)
    flash("The build is in the queue again.", "ok")
    return redirect(url_for("builds.build", build_id=build_id), 303)
