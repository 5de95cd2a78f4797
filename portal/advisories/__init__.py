"""Known vulnerabilities: what they are about, waivers, and imports of bundles."""

from flask import Blueprint

bp = Blueprint("advisories", __name__, url_prefix="/advisories")

from portal.advisories import views  # noqa: E402, F401 - registers the routes
