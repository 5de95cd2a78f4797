"""Images: what is inside, how to run it, how to check it."""

from flask import Blueprint

bp = Blueprint("images", __name__, url_prefix="/images")

from portal.images import views  # noqa: E402, F401 - registers the routes
