"""The first screen: what waits for this person, for how long, and the next step."""

from flask import Blueprint, current_app, g, render_template, url_for

from portal import db
from portal.installation import here
from registry import jobs, waiting
from registry.orm.account import Role

bp = Blueprint("home", __name__)

PAGES = {
    "review": ("approvals.review", "request_id"),
    "build": ("builds.build", "build_id"),
    "role": ("admin.person", "username"),
}
"""Kind of waiting thing -> endpoint and the name of its one argument; a version's address has two."""

FIRST = (
    Role.COMPLIANCE,
    Role.VALIDATOR,
    Role.SCIENTIST,
    Role.OPERATOR,
    Role.ADMINISTRATOR,
    Role.AUDITOR,
    Role.CONSUMER,
)
"""Whose empty state somebody with several roles reads."""


@bp.get("/")
def index() -> str:
    """Home by role."""
    session = db.session()
    items = [(item, _url(item)) for item in waiting.for_actor(session, g.actor)]
    roles = g.actor.roles
    operates = bool(roles & {Role.OPERATOR, Role.ADMINISTRATOR})
    return render_template(
        "home/index.html",
        items=items,
        role=next((role.value for role in FIRST if role in roles), "none"),
        workers=jobs.alive_workers(session) if operates else None,
        url=here().settings.public_url.rstrip("/"),
    )


def _url(item: waiting.Waiting) -> str | None:
    if item.kind == "version":
        name, _, number = item.ref.rpartition(":")
        team, _, model = name.partition("/")
        return _page("catalog.version", team=team, name=model, ref=number)
    endpoint, argument = PAGES[item.kind]
    return _page(endpoint, **{argument: item.ref})


def _page(endpoint: str, **values: str) -> str | None:
    return url_for(endpoint, **values) if endpoint in current_app.view_functions else None  # type: ignore[arg-type]
