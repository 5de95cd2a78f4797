"""Reviews: the queue, and the page on which people decide."""

from flask import Blueprint

bp = Blueprint("approvals", __name__, url_prefix="/reviews")

from portal.approvals import views  # noqa: E402, F401 - registers the routes
