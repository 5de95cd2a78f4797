"""The portal: HTTP in, HTML or JSON out. No rule about models is decided here."""

from importlib import import_module
from typing import Any

from flask import Flask, Response
from jinja2 import StrictUndefined
from werkzeug.middleware.proxy_fix import ProxyFix

from portal import access, cli, db, errors, filters, headers, logs, nav, ops
from portal.assets import Assets
from portal.installation import KEY, Installation
from registry import schema
from registry.db import Database
from registry.settings import Settings

BLUEPRINTS = (
    "portal.ops",
    "portal.static_files",
    "portal.home",
    "portal.approvals",
    "portal.bundles",
    "portal.builds",
    "portal.images",
    "portal.platform",
    "portal.advisories",
    "portal.audit",
    "portal.account",
    "portal.admin",
    "portal.catalog",
    "portal.catalog.upload",
    "portal.lineage",
    "portal.api",
)
"""Modules with a ``bp``, in the order of the header."""

FORM_BYTES = 4 << 20
"""Largest body of a page's form; views that take files say so with ``@access.takes_files``."""


class Portal(Flask):
    """Flask, with the unit of work ended before the answer is: a failed commit is still an error page."""

    def dispatch_request(self) -> Any:
        response: Response = self.make_response(super().dispatch_request())
        db.finish(commit=response.status_code < 400)
        return response


def create_app(settings: Settings | None = None, database: Database | None = None) -> Flask:
    """Build the portal.

    :param settings: read from the environment when left out.
    :param database: opened from the settings when left out; in development its tables are then brought up to date.
    :raises SettingsError: naming every fault of the settings.
    """
    settings = settings or Settings.load()
    app = Portal(__name__, static_folder=None, template_folder="../templates")
    _configure(app, settings)
    if database is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        database = Database(settings.url)
        if settings.env == "development":
            schema.upgrade(database)
    app.extensions[KEY] = Installation.of(settings, database, Assets())
    # In this order: an id for the log, is there a database at all, who is asking.
    for part in (logs, ops, errors, db, filters, nav, access, cli):
        part.init_app(app)
    headers.init_app(app, production=settings.env == "production")
    for name in BLUEPRINTS:
        app.register_blueprint(import_module(name).bp)
    return app


def _configure(app: Flask, settings: Settings) -> None:
    secure = settings.public_url.startswith("https://")
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="__Host-countersign" if secure else "countersign",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=FORM_BYTES,
    )
    app.jinja_env.undefined = StrictUndefined
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
