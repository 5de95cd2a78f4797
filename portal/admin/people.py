"""People and their roles."""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload
from werkzeug.wrappers import Response as BaseResponse
from wtforms import SelectChoice

from portal import access, db, filters, links
from portal.admin import bp
from portal.admin.forms import PersonForm, RoleForm
from registry import accounts, paging, signing_in
from registry.access import Permission
from registry.errors import NotFound
from registry.orm.account import Person, Role, RoleGrant

Answer = str | tuple[str, int] | BaseResponse


@bp.get("/people")
@access.needs(Permission.ADMINISTER)
def people() -> str:
    """Everybody, by user name."""
    text = request.args.get("q", "").strip().lower()
    query = select(Person).options(selectinload(Person.roles), selectinload(Person.teams))
    if text:
        query = query.where(Person.username.startswith(text, autoescape=True))
    cursor = paging.Cursor(after=request.args.get("cursor"))
    page = paging.fetch(db.session(), query, (Person.username,), cursor, descending=False)
    pending = list(db.session().scalars(_pending()))
    names = {person.id: person.username for person in _people(db.session(), {grant.person_id for grant in pending})}
    filters.name_actors({grant.proposed_by for grant in pending})
    return render_template("admin/people.html", page=page, q=text, pending=pending, names=names)


@bp.route("/people/new", methods=["GET", "POST"])
@access.needs(Permission.ADMINISTER)
def new_person() -> Answer:
    """Add somebody; the answer shows their set-up link once."""
    form = PersonForm()
    if form.validate_on_submit() and form.attempt(
        accounts.add_person,
        db.session(),
        actor=g.actor,
        username=(form.username.data or "").strip().lower(),
        name=form.name.data,
    ):
        person, secret = form.result
        return _link_page(person.username, secret), 201
    return render_template("admin/person_new.html", form=form), form.status


@bp.get("/people/<username>")
@access.needs(Permission.ADMINISTER)
def person(username: str) -> str:
    """One person: what they are, and what an administrator can do for them."""
    found = accounts.load_person(db.session(), username=username)
    filters.name_actors({ref for grant in found.roles for ref in (grant.proposed_by, grant.confirmed_by or "")})
    administrators = accounts.people_with(db.session(), [Role.ADMINISTRATOR])
    held = {grant.role for grant in found.roles}
    form = RoleForm()
    form.role.choices = [SelectChoice(role.value, role.value.capitalize()) for role in Role if role not in held]
    return render_template(
        "admin/person.html",
        person=found,
        form=form,
        alone=len(administrators) < 2,
        two_person_roles=accounts.TWO_PERSON_ROLES,
        sessions=len(signing_in.sessions_of(db.session(), found)),
    )


@bp.post("/people/<username>/roles")
@access.needs(Permission.ADMINISTER)
def grant_role(username: str) -> BaseResponse:
    """Give a role, or propose it."""
    found = accounts.load_person(db.session(), username=username)
    grant = accounts.grant_role(db.session(), found, _role(request.form.get("role", "")), actor=g.actor)
    if grant.bootstrap:
        flash(f"{username} is {grant.role} now. You are the only administrator: it is logged as bootstrap.", "wait")
    elif grant.in_force:
        flash(f"{username} is {grant.role} now.", "ok")
    else:
        flash(f"Proposed: {username} becomes {grant.role} once another administrator confirms it.", "wait")
    return _to(username)


@bp.post("/people/<username>/roles/<role>/confirm")
@access.needs(Permission.ADMINISTER)
def confirm_role(username: str, role: str) -> BaseResponse:
    """The second administrator's signature."""
    accounts.confirm_role(db.session(), _grant(username, role), actor=g.actor)
    flash(f"{username} is {role} now.", "ok")
    return _to(username)


@bp.post("/people/<username>/roles/<role>/revoke")
@access.needs(Permission.ADMINISTER)
def revoke_role(username: str, role: str) -> BaseResponse:
    """Take a role away, or refuse a proposed one."""
    accounts.revoke_role(db.session(), _grant(username, role), actor=g.actor)
    flash(f"{username} is no longer {role}.", "ok")
    return _to(username)


@bp.post("/people/<username>/link")
@access.needs(Permission.ADMINISTER)
def new_link(username: str) -> Answer:
    """A new set-up link for somebody who lost their password."""
    found = accounts.load_person(db.session(), username=username)
    return _link_page(username, accounts.reset_link(db.session(), found, actor=g.actor)), 201


@bp.post("/people/<username>/second-factor/reset")
@access.needs(Permission.ADMINISTER)
def reset_second_factor(username: str) -> BaseResponse:
    """Remove a lost second factor and end the person's sessions."""
    found = accounts.load_person(db.session(), username=username)
    signing_in.reset_second_factor(db.session(), found, actor=g.actor)
    flash(f"{username} sets up a new second factor at the next sign-in; all sessions are ended.", "ok")
    return _to(username)


@bp.post("/people/<username>/disable")
@access.needs(Permission.ADMINISTER)
def disable(username: str) -> BaseResponse:
    """Stop somebody from signing in."""
    accounts.disable_person(db.session(), accounts.load_person(db.session(), username=username), actor=g.actor)
    flash(f"{username} can no longer sign in. What they did stays on record.", "ok")
    return _to(username)


def _to(username: str) -> BaseResponse:
    return redirect(url_for("admin.person", username=username), 303)


def _link_page(username: str, secret: str) -> str:
    link = links.absolute("account.setup", secret=secret)
    return render_template("admin/link.html", username=username, link=link, hours=accounts.SETUP_HOURS)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise NotFound(f"there is no role {text!r}") from None


def _grant(username: str, role: str) -> RoleGrant:
    found = accounts.load_person(db.session(), username=username)
    grant = next((grant for grant in found.roles if grant.role is _role(role)), None)
    if grant is None:
        raise NotFound(f"{username} is not {role}, and nobody proposed it")
    return grant


def _pending() -> Select[RoleGrant]:
    return (
        select(RoleGrant).where(RoleGrant.confirmed_by.is_(None), ~RoleGrant.bootstrap).order_by(RoleGrant.id).limit(50)
    )


def _people(session: Session, ids: set[UUID]) -> list[Person]:
    return list(session.scalars(select(Person).where(Person.id.in_(ids))))
