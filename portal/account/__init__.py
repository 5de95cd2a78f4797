"""Signing in and out, setting up, and what people set for themselves."""

from flask import Blueprint

bp = Blueprint("account", __name__)

from portal.account import enter, security, tokens  # noqa: E402, F401 - they add their routes to bp
