"""Revoking a version: compliance says why, and signs."""

from typing import Any

from flask import flash, g, redirect, render_template, request, url_for

from portal import access, db, reauthentication
from portal.catalog import bp
from portal.catalog.forms import RevokeForm
from portal.catalog.version import Answer, address, load
from registry import catalog, paging, revoking
from registry.access import Permission
from registry.errors import WrongStage

PAGE = 25


@bp.route("/models/<team>/<name>/versions/<ref>/revoke", methods=["GET", "POST"])
@access.needs(Permission.REVOKE)
def revoke(team: str, name: str, ref: str) -> Answer:
    """What would stop, and the form that stops it."""
    form = RevokeForm()
    if form.validate_on_submit() and _sign(team, name, ref, form):
        flash("Revoked. Its teams are told; servers obey once the signed list is written and mounted.", "ok")
        return redirect(url_for("catalog.version", **form.result), 303)
    found = load(team, name, ref)
    if not form.is_submitted() and not revoking.revocable(found):
        raise WrongStage(
            f"version {found.number} is {found.stage.replace('_', ' ')}", hint="Only an approved version is revoked."
        )
    cursor = paging.Cursor(limit=PAGE, after=request.args.get("cursor"))
    return render_template(
        "catalog/revoke.html",
        model=found.model,
        version=found,
        at=address(found),
        images=revoking.images_of(db.session(), found, cursor, actor=g.actor),
        uses=catalog.uses_of(db.session(), found.model),
        form=form,
    ), form.status


def _sign(team: str, name: str, ref: str, form: RevokeForm) -> bool:
    def act() -> dict[str, Any]:
        session, found = db.session(), load(team, name, ref)
        method = reauthentication.METHOD
        revoking.revoke(session, found, actor=g.actor, reason=form.reason.data or "", method=method)
        return address(found)

    return reauthentication.confirm(form, act, purpose="revoke")
