"""The catalogue: finding models, reading what they may be used for, and following a version on its way."""

from flask import Blueprint

bp = Blueprint("catalog", __name__)

from portal.catalog import compare, files, index, model, own_code, revoking, version  # noqa: E402, F401 - they add their routes to bp
