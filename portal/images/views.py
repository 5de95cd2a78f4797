"""Images: list, one image, and its documents."""

import base64
import json
from typing import Any

from flask import Response, flash, g, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters, snippets
from portal.images import bp
from registry import advisories, builds, paging, rebuilds, recall
from registry.access import Permission
from registry.orm.image import Image

PAGE = 50
DOCUMENTS = {
    "sbom": ("sbom", "Bill of materials (CycloneDX)", "application/vnd.cyclonedx+json"),
    "provenance": ("provenance", "Provenance (SLSA, signed)", "application/json"),
    "manifest": ("sealed", "Sealed manifest (signed)", "application/json"),
    "models": ("model_signatures", "Signatures of the models (OpenSSF)", "application/json"),
    "smoke": ("smoke", "Smoke test", "application/json"),
}
"""Name in the address -> column, words, media type."""
HOLDS = {
    "base": "Python and the system",
    "environment": "Libraries of the models",
    "runtime": "Libraries of the server",
    "app": "The server",
    "model": "Model",
    "manifest": "The seal",
}
"""What a layer is for, by its role."""


@bp.get("")
def index() -> str:
    """Images, newest first."""
    page = builds.list_images(db.session(), paging.Cursor(limit=PAGE, after=request.args.get("cursor")), actor=g.actor)
    flagged = recall.flagged(db.session(), [image.id for image in page.items])
    return render_template("images/index.html", page=page, flagged=flagged)


@bp.get("/<digest>")
def image(digest: str) -> str:
    """One image."""
    found = builds.get_image(db.session(), digest, actor=g.actor)
    sealed = json.loads(base64.b64decode(found.sealed["payload"]))
    place = _place(found, sealed)
    rebuilt = rebuilds.of_image(db.session(), found)
    filters.name_actors({rebuild.requested_by for rebuild in rebuilt})
    return render_template(
        "images/image.html",
        image=found,
        routes=sealed["routes"],
        layers=[(HOLDS.get(layer["role"], layer["role"]), layer) for layer in found.layers],
        standing=advisories.of_image(db.session(), found),
        is_current=found.bundle.current_image_id == found.id,
        run=snippets.docker(place),
        check=_check(found),
        kubernetes=snippets.kubernetes(place),
        compose=snippets.compose(place),
        rebuilds=rebuilt,
        rebuild_names={**HOLDS, "config": "The configuration"},
        may_rebuild=access.may(Permission.REBUILD),
        documents=[(name, words) for name, (_, words, _) in DOCUMENTS.items()],
    )


@bp.post("/<digest>/rebuild")
def rebuild(digest: str) -> BaseResponse:
    """Bake it anew and compare."""
    found = builds.get_image(db.session(), digest, actor=g.actor)
    rebuilds.request(db.session(), found, actor=g.actor)
    flash(
        "The rebuild is in the queue. It takes about as long as the first build; the result stands on this page.", "ok"
    )
    return redirect(url_for("images.image", digest=digest, _anchor="rebuild"), 303)


def _place(found: Image, sealed: dict[str, Any]) -> snippets.Place:
    route = sealed["routes"][0]
    return snippets.Place(
        bundle=found.bundle.full_name,
        route=route["name"],
        version=route["members"][0]["ref"].rpartition(":")[2],
        image_digest=found.digest,
        engine_id=found.engine_id,
        isolation=found.isolation,
        key=found.key_fingerprint,
        reference=found.reference,
    )


def _check(found: Image) -> str:
    """Let the image check its own seal, with the fingerprint from somewhere else than the image."""
    return "\n".join(
        (
            "docker run --rm --read-only --network none \\",
            f"  -e COUNTERSIGN_KEY_FINGERPRINT={found.key_fingerprint} \\",
            f"  {found.reference or found.engine_id} verify",
        )
    )


@bp.get("/<digest>/<document>.json")
def document(digest: str, document: str) -> Response:
    """Bill of materials, provenance, sealed manifest or smoke report, as stored."""
    found = builds.get_image(db.session(), digest, actor=g.actor)
    if document not in DOCUMENTS:
        raise NotFound
    column, _, kind = DOCUMENTS[document]
    body: Any = getattr(found, column)
    response = Response(json.dumps(body, indent=1, ensure_ascii=False) + "\n", content_type=kind)
    response.headers["Content-Disposition"] = f'attachment; filename="{document}-{found.digest[7:19]}.json"'
    return response
