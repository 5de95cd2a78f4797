"""The lineage of a version as picture, list and JSON."""

import json
from typing import Any

from flask import Response, current_app, g, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import db
from portal.catalog import model as models
from portal.lineage import bp, picture, walk
from registry import references


@bp.get("/models/<team>/<name>/lineage")
def model(team: str, name: str) -> str | BaseResponse:
    """Of the newest approved version, else of the newest."""
    found = models.load(team, name)
    if found.versions_made:
        number = found.latest_approved or found.versions_made
        return redirect(url_for("lineage.version", team=team, name=name, ref=number), 302)
    return render_template("lineage/none.html", **models.frame(found, "lineage.model"))


@bp.get("/models/<team>/<name>/versions/<ref>/lineage")
def version(team: str, name: str, ref: str) -> str:
    """Of one version."""
    found = references.get_version(db.session(), f"{team}/{name}", ref, actor=g.actor)
    walked = walk.walk(db.session(), found, actor=g.actor)
    return render_template(
        "lineage/version.html",
        **models.frame(found.model, "lineage.model"),
        version=found,
        walk=walked,
        picture=picture.draw(walked),
    )


@bp.get("/models/<team>/<name>/versions/<ref>/lineage.json")
def export(team: str, name: str, ref: str) -> Response:
    """The same as JSON."""
    found = references.get_version(db.session(), f"{team}/{name}", ref, actor=g.actor)
    document: dict[str, Any] = walk.document(walk.walk(db.session(), found, actor=g.actor))
    response = current_app.response_class(json.dumps(document, indent=1) + "\n", mimetype="application/json")
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}-{found.number}-lineage.json")
    return response
