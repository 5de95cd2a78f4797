"""The header: where one can go from every page, and how many reviews wait."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Flask, current_app, g, request, url_for

from portal import access, db
from portal.installation import here
from registry import approvals
from registry.access import Permission

THEMES = ("light", "dark")


@dataclass(frozen=True)
class Place:
    """One entry of the main navigation."""

    label: str
    endpoint: str
    blueprints: frozenset[str]
    permission: Permission = Permission.READ


PLACES = (
    Place("Models", "catalog.index", frozenset({"catalog", "uploads", "lineage"})),
    Place("Reviews", "approvals.queue", frozenset({"approvals"})),
    Place("Bundles", "bundles.index", frozenset({"bundles"})),
    Place("Builds", "builds.index", frozenset({"builds"})),
    Place("Images", "images.index", frozenset({"images", "platform"})),
    Place("Advisories", "advisories.index", frozenset({"advisories"})),
    Place("Audit", "audit.index", frozenset({"audit"}), Permission.READ_AUDIT),
    Place("People", "admin.people", frozenset({"admin"}), Permission.ADMINISTER),
)


def places() -> list[dict[str, Any]]:
    """The entries this person may open."""
    return [
        {
            "label": place.label,
            "url": url_for(place.endpoint),
            "current": request.blueprint in place.blueprints,
            "count": waiting() if place.endpoint == "approvals.queue" else 0,
        }
        for place in PLACES
        if access.may(place.permission)
    ]


def waiting() -> int:
    """How many reviews wait for this person; counted once per request, and only for those who decide."""
    if "reviews_waiting" not in g:
        with db.reading() as unit:
            g.reviews_waiting = approvals.count_waiting(unit, actor=g.actor)
    return int(g.reviews_waiting)


def theme() -> str | None:
    """The theme chosen in this browser; ``None`` follows the system."""
    chosen = request.cookies.get("theme")
    return chosen if chosen in THEMES else None


def has_page(endpoint: str) -> bool:
    """Whether this installation has a page of that name."""
    return endpoint in current_app.view_functions


def asset(name: str) -> str:
    """The address of a static file."""
    return here().assets.url(name)


def url_with(**changes: str | None) -> str:
    """The page's address with other query arguments; ``None`` takes one out. The state of a page is in its address."""
    arguments = {name: values for name, values in request.args.to_dict(flat=False).items() if name not in changes}
    arguments |= {name: [value] for name, value in changes.items() if value is not None}
    query = urlencode(arguments, doseq=True)
    return f"{request.path}?{query}" if query else request.path


def init_app(app: Flask) -> None:
    """Let templates call these."""
    app.jinja_env.globals.update(nav_places=places, theme=theme, has_page=has_page, asset=asset, url_with=url_with)
