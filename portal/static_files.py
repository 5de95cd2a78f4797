"""Sends the static files; see portal/assets.py for how they are kept."""

from flask import Blueprint, current_app, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from portal import access
from portal.installation import here

YEAR = "public, max-age=31536000, immutable"

bp = Blueprint("assets", __name__)


@bp.get("/static/<version>/<path:name>")
@access.public
def send(version: str, name: str) -> BaseResponse:
    """One file. Under another version the newest is sent, but not to be kept."""
    assets = here().assets
    asset = assets.get(name)
    if asset is None:
        raise NotFound
    packed = asset.packed is not asset.raw and request.accept_encodings["gzip"] > 0
    response = current_app.response_class(asset.packed if packed else asset.raw, mimetype=asset.media_type)
    response.headers["Cache-Control"] = YEAR if version == assets.version else "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.set_etag(asset.etag, weak=True)
    return response.make_conditional(request)


@bp.get("/favicon.ico")
@access.public
def favicon() -> BaseResponse:
    """Browsers ask here without being told to."""
    return send(here().assets.version, "favicon.svg")
