"""Images: list, one image, and its documents."""

import base64
import json
from typing import Any

from flask import Response, g, render_template, request
from werkzeug.exceptions import NotFound

from portal import db
from portal.images import bp
from portal.installation import here
from registry import builds, paging
from registry.orm.image import Image

DOCUMENTS = {
    "sbom": ("sbom", "application/vnd.cyclonedx+json"),
    "provenance": ("provenance", "application/json"),
    "manifest": ("sealed", "application/json"),
    "smoke": ("smoke", "application/json"),
}


@bp.get("")
def index() -> str:
    """Images, newest first."""
    page = builds.list_images(db.session(), paging.Cursor(limit=50, after=request.args.get("cursor")), actor=g.actor)
    return render_template("images/index.html", page=page)


@bp.get("/<digest>")
def image(digest: str) -> str:
    """One image."""
    found = builds.get_image(db.session(), digest, actor=g.actor)
    sealed = json.loads(base64.b64decode(found.sealed["payload"]))
    return render_template(
        "images/image.html",
        image=found,
        sealed=sealed,
        tag=f"countersign/{found.bundle.full_name}:{digest[7:19]}",
        is_current=found.bundle.current_image_id == found.id,
        url=here().settings.public_url.rstrip("/"),
        documents=list(DOCUMENTS),
    )


@bp.get("/<digest>/<document>.json")
def document(digest: str, document: str) -> Response:
    """Bill of materials, provenance, sealed manifest or smoke report, as stored."""
    found: Image = builds.get_image(db.session(), digest, actor=g.actor)
    if document not in DOCUMENTS:
        raise NotFound
    column, kind = DOCUMENTS[document]
    body: Any = getattr(found, column)
    response = Response(json.dumps(body, indent=1, ensure_ascii=False), content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{document}-{digest[7:19]}.json"'
    return response
