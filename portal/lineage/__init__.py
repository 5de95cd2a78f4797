"""Where a version comes from, and what was made with it."""

from flask import Blueprint

bp = Blueprint("lineage", __name__)

from portal.lineage import views  # noqa: E402, F401 - registers the routes
