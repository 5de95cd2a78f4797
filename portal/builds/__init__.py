"""Builds: queue, steps, log."""

from flask import Blueprint

bp = Blueprint("builds", __name__, url_prefix="/builds")

from portal.builds import views  # noqa: E402, F401 - registers the routes
