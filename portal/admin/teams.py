"""Teams and their members."""

from flask import flash, g, redirect, render_template, url_for
from sqlalchemy import func, select
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db
from portal.admin import bp
from portal.admin.forms import MemberForm, TeamForm
from portal.forms import Form
from registry import accounts
from registry.access import Permission
from registry.orm.account import Person, Team, TeamMember

Answer = str | tuple[str, int] | BaseResponse


@bp.get("/teams")
@access.needs(Permission.ADMINISTER)
def teams() -> str:
    """All teams with how many people are in each."""
    query = (
        select(Team, func.count(TeamMember.person_id))
        .outerjoin(TeamMember, TeamMember.team_id == Team.id)
        .group_by(Team.id)
        .order_by(Team.slug)
        .limit(500)
    )
    return render_template("admin/teams.html", teams=db.session().execute(query).all())


@bp.route("/teams/new", methods=["GET", "POST"])
@access.needs(Permission.ADMINISTER)
def new_team() -> Answer:
    """Add a team."""
    form = TeamForm()
    if form.validate_on_submit() and form.attempt(
        accounts.add_team, db.session(), actor=g.actor, slug=(form.slug.data or "").strip(), name=form.name.data
    ):
        flash(f"The team {form.result.slug} is there. Add its people.", "ok")
        return redirect(url_for("admin.team", slug=form.result.slug), 303)
    return render_template("admin/team_new.html", form=form), form.status


@bp.route("/teams/<slug>", methods=["GET", "POST"])
@access.needs(Permission.ADMINISTER)
def team(slug: str) -> Answer:
    """One team: who is in it; the form adds somebody."""
    found = accounts.get_team(db.session(), slug)
    form = MemberForm()
    if form.validate_on_submit() and form.attempt(_add, found, form):
        flash(f"{form.username.data} is in {slug} now.", "ok")
        return redirect(url_for("admin.team", slug=slug), 303)
    members = select(Person).join(TeamMember, TeamMember.person_id == Person.id).where(TeamMember.team_id == found.id)
    people = list(db.session().scalars(members.order_by(Person.username)))
    return render_template("admin/team.html", team=found, people=people, form=form), form.status


def _add(found: Team, form: Form) -> None:
    username = (form.username.data or "").strip().lower()
    accounts.add_member(db.session(), found, accounts.load_person(db.session(), username=username), actor=g.actor)


@bp.post("/teams/<slug>/members/<username>/remove")
@access.needs(Permission.ADMINISTER)
def remove_member(slug: str, username: str) -> BaseResponse:
    """Take somebody out of a team."""
    found = accounts.get_team(db.session(), slug)
    person = accounts.load_person(db.session(), username=username)
    accounts.remove_member(db.session(), found, person, actor=g.actor)
    flash(f"{username} is no longer in {slug}.", "ok")
    return redirect(url_for("admin.team", slug=slug), 303)
