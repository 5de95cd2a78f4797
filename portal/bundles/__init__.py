"""Bundles: which versions are baked together, in which shares."""

from flask import Blueprint

bp = Blueprint("bundles", __name__, url_prefix="/bundles")

from portal.bundles import trying, views  # noqa: E402, F401 - registers the routes
