"""Platforms, changes of them, and the waves that move the images."""

from flask import Blueprint

bp = Blueprint("platform", __name__, url_prefix="/platform")

from portal.platform import views  # noqa: E402, F401 - registers the routes
