"""Builds: list, one build with its steps and log, retry."""

from uuid import UUID

from flask import Response, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters
from portal.builds import bp
from registry import builds, jobs, paging
from registry.access import Permission

LOG_PIECE = 256 * 1024


@bp.get("")
def index() -> str:
    """Builds, newest first."""
    page = builds.list_builds(db.session(), paging.Cursor(limit=50, after=request.args.get("cursor")), actor=g.actor)
    filters.name_actors({build.requested_by for build in page.items})
    return render_template("builds/index.html", page=page, workers=jobs.alive_workers(db.session()))


@bp.get("/<uuid:build_id>")
def build(build_id: UUID) -> str:
    """One build."""
    session = db.session()
    found = builds.get_build(session, build_id, actor=g.actor)
    filters.name_actors({found.requested_by})
    job = jobs.get(session, found.job_id) if found.job_id else None
    log = jobs.read_log(session, job.id).decode(errors="replace") if job else ""
    return render_template(
        "builds/build.html", build=found, job=job, log=log, may_bake=access.may(Permission.BAKE, found.bundle.team_id)
    )


@bp.get("/<uuid:build_id>/log")
def log(build_id: UUID) -> Response:
    """The log as text from a byte on (``?from=``): 200 with what is new, 204 when nothing is yet, and the state in a header."""
    session = db.session()
    found = builds.get_build(session, build_id, actor=g.actor)
    start = request.args.get("from", 0, type=int)
    data = jobs.read_log(session, found.job_id, start=max(0, start), most=LOG_PIECE) if found.job_id else b""
    response = Response(data, status=200 if data else 204, content_type="text/plain; charset=utf-8")
    response.headers["X-Build-State"] = found.state.value
    return response


@bp.post("/<uuid:build_id>/retry")
def retry(build_id: UUID) -> BaseResponse:
    """Queue a failed build again."""
    found = builds.get_build(db.session(), build_id, actor=g.actor)
    builds.retry(db.session(), found, actor=g.actor)
    flash("The build is in the queue again.", "ok")
    return redirect(url_for("builds.build", build_id=build_id), 303)
