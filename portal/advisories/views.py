"""The list of advisories, one with what it touches and its waivers, and the imports."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters
from portal.advisories import bp
from portal.advisories.forms import BundleForm, WaiverForm
from portal.catalog import receiving
from portal.installation import here
from registry import access as rules
from registry import advisories, importing, paging, recall, waivers
from registry.access import Permission
from registry.errors import Invalid
from registry.orm.advisory import AdvisoryBundle, Severity, Waiver

Answer = str | tuple[str, int] | BaseResponse
PAGE = 25


@bp.teardown_request
def _drop_unwanted(_error: BaseException | None) -> None:
    receiving.drop()


@bp.get("")
def index() -> str:
    """Advisories about what is held here, worst first."""
    cursor = paging.Cursor(limit=PAGE, after=request.args.get("cursor"))
    bundle = advisories.in_force(db.session())
    return render_template(
        "advisories/index.html",
        page=recall.listing(db.session(), cursor, actor=g.actor),
        bundle=bundle,
        limit=Severity(bundle.block_at) if bundle else None,
    )


@bp.get("/<advisory_id>")
def advisory(advisory_id: str) -> Answer:
    """One advisory."""
    return _page(advisory_id, WaiverForm(formdata=None))


@bp.route("/<advisory_id>/waivers", methods=["GET", "POST"])
@access.needs(Permission.WAIVE)
def waive(advisory_id: str) -> Answer:
    """Let it stand for a while."""
    form = WaiverForm()
    if form.validate_on_submit() and form.attempt(_waive, advisory_id, form):
        flash("The waiver is in force. It ends by itself; whoever answers for it stands beside it.", "ok")
        return _back(advisory_id)
    return _page(advisory_id, form) if request.method == "POST" else _back(advisory_id)


def _waive(advisory_id: str, form: WaiverForm) -> Waiver:
    return waivers.waive(
        db.session(),
        recall.get(db.session(), advisory_id, actor=g.actor),
        actor=g.actor,
        owner=(form.owner.data or "").strip().lower(),
        reason=form.reason.data or "",
        days=form.days.data,
    )


@bp.post("/<advisory_id>/waivers/<uuid:waiver_id>/end")
@access.needs(Permission.WAIVE)
def end_waiver(advisory_id: str, waiver_id: UUID) -> BaseResponse:
    """End a waiver before its time."""
    waivers.end(db.session(), waiver_id, actor=g.actor)
    flash("The waiver is over: from now on the advisory counts again.", "ok")
    return _back(advisory_id)


def _back(advisory_id: str) -> BaseResponse:
    return redirect(url_for("advisories.advisory", advisory_id=advisory_id, _anchor="waivers"), 303)


def _page(advisory_id: str, form: WaiverForm) -> tuple[str, int]:
    session = db.session()
    found = recall.get(session, advisory_id, actor=g.actor)
    (item,) = recall.tell(session, [found], actor=g.actor)
    given = waivers.history(session, found)
    filters.name_actors({ref for waiver in given for ref in (waiver.created_by, waiver.ended_by) if ref})
    return render_template(
        "advisories/advisory.html",
        item=item,
        advisory=found,
        versions=recall.versions_of(session, found, _cursor("versions"), actor=g.actor),
        images=recall.images_of(session, found, _cursor("images"), actor=g.actor),
        waivers=given,
        form=form,
        may_waive=access.may(Permission.WAIVE),
    ), form.status


def _cursor(name: str) -> paging.Cursor:
    """Two lists stand on one page, each with a cursor of its own."""
    return paging.Cursor(limit=PAGE, after=request.args.get(name))


@bp.route("/imports", methods=["GET", "POST"])
@access.takes_files
def imports() -> Answer:
    """The bundles that were sent, and the form that sends one."""
    form = BundleForm()
    if form.validate_on_submit() and form.attempt(_import):
        flash("The bundle is here. A worker reads it now; how it ends stands below.", "ok")
        return redirect(url_for("advisories.imports"), 303)
    cursor = paging.Cursor(limit=PAGE, after=request.args.get("cursor"))
    page = importing.listing(db.session(), cursor, actor=g.actor)
    filters.name_actors({bundle.imported_by for bundle in page.items})
    context: dict[str, Any] = {
        "page": page,
        "form": form,
        "current": advisories.in_force(db.session()),
        "may_import": access.may(Permission.IMPORT_ADVISORIES),
    }
    return render_template("advisories/imports.html", **context), form.status


def _import() -> AdvisoryBundle:
    """Publish the streamed file, then ask for its import.

    :raises Invalid: no file was chosen.
    """
    rules.require(g.actor, Permission.IMPORT_ADVISORIES)
    taken = receiving.finish(request.files.get("bundle"))
    if taken is None:
        raise Invalid("no file was chosen", hint="Choose the bundle.", errors=[("/bundle", "Choose a file.")])
    return importing.request(
        db.session(), actor=g.actor, digest=taken.digest, size=taken.size, settings=here().settings
    )
