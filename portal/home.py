"""The first screen: what waits for this person, for how long, and the next step; beside it what they came to look for."""

from uuid import UUID

from flask import Blueprint, g, render_template, url_for

from portal import access, db
from portal.installation import here
from registry import catalog, jobs, paging, waiting
from registry.access import Permission
from registry.orm.account import Role

bp = Blueprint("home", __name__)

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

UNDER_WAY = "Nothing to do:"
"""How the next step of something begins that moves without this person."""


@bp.get("/")
def index() -> str:
    """Home by role."""
    session = db.session()
    found = [(item, address(item)) for item in waiting.for_actor(session, g.actor)]
    sees = access.may(Permission.READ)
    approved = catalog.Filters(stage="approved")
    return render_template(
        "home/index.html",
        mine=[row for row in found if not row[0].next_step.startswith(UNDER_WAY)],
        under_way=[row for row in found if row[0].next_step.startswith(UNDER_WAY)],
        role=next((role.value for role in FIRST if role in g.actor.roles), "none"),
        workers=jobs.alive_workers(session) if access.may(Permission.OPERATE) else None,
        released=catalog.search(session, approved, paging.Cursor(limit=5), actor=g.actor).items if sees else None,
        url=here().settings.public_url,
    )


def address(item: waiting.Waiting) -> str:
    """Where one deals with it."""
    if item.kind == "version":
        full_name, _, number = item.ref.rpartition(":")
        team, _, name = full_name.partition("/")
        return url_for("catalog.version", team=team, name=name, ref=number)
    if item.kind == "review":
        return url_for("approvals.review", request_id=UUID(item.ref))
    if item.kind == "build":
        return url_for("builds.build", build_id=UUID(item.ref))
    if item.kind == "bundle":
        team, _, name = item.ref.partition("/")
        return url_for("bundles.bundle", team=team, name=name)
    if item.kind == "advisory":
        return url_for("advisories.advisory", advisory_id=item.ref)
    if item.kind == "image":
        return url_for("images.image", digest=item.ref)
    if item.kind == "platform":
        return url_for("platform.change", change_id=UUID(item.ref))
    return url_for("admin.person", username=item.ref)
