"""API tokens of a person and of their teams' pipelines."""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response as BaseResponse
from wtforms import SelectChoice

from portal import access, db
from portal.account import bp
from portal.account.forms import ServiceForm, TokenForm
from portal.installation import here
from registry import accounts, tokens
from registry.access import Permission
from registry.orm.account import ServiceAccount, Team

ME = "me"


@bp.route("/settings/tokens", methods=["GET", "POST"])
@access.needs(Permission.MANAGE_TOKENS)
def token_list() -> str | tuple[str, int] | BaseResponse:
    """My tokens; a new one is shown once, in the answer to the form that asked for it."""
    services = _services()
    form = TokenForm()
    owners = [SelectChoice(service.id.hex, f"{service.team.slug}/{service.name}") for service in services]
    form.owner.choices = [SelectChoice(ME, f"me, {g.actor.name}"), *owners]
    if not form.is_submitted() and not request.form:
        form.scopes.data = ["read", "push", "submit"]
    if form.validate_on_submit():
        service = next((s for s in services if s.id.hex == form.owner.data), None)
        if form.attempt(
            tokens.create,
            db.session(),
            actor=g.actor,
            name=form.name.data,
            scopes=form.scopes.data,
            days=form.days.data,
            service=service,
        ):
            row, token = form.result
            return render_template("account/token_made.html", row=row, token=token, url=_address()), 201
    rows = tokens.of_actor(db.session(), g.actor)
    return render_template("account/tokens.html", form=form, tokens=rows, url=_address()), form.status


@bp.post("/settings/tokens/<uuid:token_id>/revoke")
@access.needs(Permission.MANAGE_TOKENS)
def revoke_token(token_id: UUID) -> BaseResponse:
    """End a token now."""
    row = tokens.revoke(db.session(), token_id, actor=g.actor)
    flash(f"The token “{row.name}” is ended.", "ok")
    return redirect(url_for("account.token_list"), 303)


@bp.route("/settings/services", methods=["GET", "POST"])
@access.needs(Permission.PUSH)
def services() -> str | tuple[str, int] | BaseResponse:
    """Make a service account for one of my teams."""
    form = ServiceForm()
    teams = _teams()
    form.team.choices = [SelectChoice(team.slug) for team in teams]
    if form.validate_on_submit():
        team = next(team for team in teams if team.slug == form.team.data)
        if form.attempt(accounts.add_service, db.session(), team, actor=g.actor, name=form.service.data):
            flash(f"{team.slug}/{form.service.data} is there. Now make it a token.", "ok")
            return redirect(url_for("account.token_list"), 303)
    return render_template("account/services.html", form=form, teams=teams, services=_services()), form.status


def _address() -> str:
    return here().settings.public_url


def _teams() -> list[Team]:
    return list(db.session().scalars(select(Team).where(Team.id.in_(g.actor.teams)).order_by(Team.slug)))


def _services() -> list[ServiceAccount]:
    if not access.may(Permission.PUSH):
        return []
    query = select(ServiceAccount).where(ServiceAccount.team_id.in_(g.actor.teams), ServiceAccount.active)
    return list(db.session().scalars(query.options(joinedload(ServiceAccount.team)).order_by(ServiceAccount.name)))
