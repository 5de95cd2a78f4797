"""People, teams and roles, for administrators."""

from flask import Blueprint

bp = Blueprint("admin", __name__, url_prefix="/admin")

from portal.admin import people, teams  # noqa: E402, F401 - they add their routes to bp
