"""The audit log: search, one entry, its proof."""

from flask import Blueprint

bp = Blueprint("audit", __name__, url_prefix="/audit")

from portal.audit import views  # noqa: E402, F401 - registers the routes
