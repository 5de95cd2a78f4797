"""Signing in and out, and the one-time set-up link."""

from flask import Response, flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, links, nav, signing
from portal.account import bp
from portal.account.forms import FirstAdministratorForm, PasswordSetupForm
from portal.forms import Form
from registry import accounts, signing_in
from registry.orm.account import LoginSession, Person, SetupLink

Answer = str | tuple[str, int] | BaseResponse
YEAR = 365 * 24 * 3600


@bp.route("/login", methods=["GET", "POST"])
@access.public
def login() -> Answer:
    """Name and password, then the code."""
    target = links.local(request.args.get("next")) or url_for("home.index")
    if g.actor is not None:
        return redirect(target, 303)
    if request.method != "POST":
        session.pop("pending", None)
        return _page(signing.PasswordForm(prefix=signing.PREFIX, formdata=None), "password")
    return signing.step(_page) or redirect(target, 303)


def _page(form: Form, step: str) -> str:
    return render_template("account/login.html", form=form, step=step, kept=None, ended=None)


@bp.post("/logout")
@access.public
def logout() -> BaseResponse:
    """End the session on the server and in the browser."""
    if g.actor is not None:
        signing_in.end(db.session().get_one(LoginSession, access.me().login_id))
    access.leave()
    flash("You are signed out.", "ok")
    return redirect(url_for("account.login"), 303)


@bp.route("/setup/<secret>", methods=["GET", "POST"])
@access.public
def setup(secret: str) -> Answer:
    """Whoever holds the link sets their password; the very first makes the first administrator."""
    link = accounts.find_setup(db.session(), secret, lock=request.method == "POST")
    if link.person_id is None:
        return _first_administrator(secret)
    return _own_password(link)


def _first_administrator(secret: str) -> Answer:
    form = FirstAdministratorForm()
    if form.validate_on_submit() and form.attempt(
        accounts.first_administrator,
        db.session(),
        secret,
        username=(form.username.data or "").strip().lower(),
        name=form.name.data,
        password=form.password.data,
    ):
        return _welcome(form.result)
    return render_template("account/setup.html", form=form, person=None), form.status


def _own_password(link: SetupLink) -> Answer:
    form = PasswordSetupForm()
    person = accounts.load_person(db.session(), person_id=link.person_id)
    if form.validate_on_submit() and form.attempt(accounts.set_password, db.session(), link, form.password.data):
        return _welcome(person)
    return render_template("account/setup.html", form=form, person=person), form.status


def _welcome(person: Person) -> BaseResponse:
    """Signed in at once, unless a second factor is still owed: then through the sign-in page."""
    if person.totp_sealed:
        db.release()
        access.leave()
        flash("Your password is set. Sign in with it and your second factor.", "ok")
        return redirect(url_for("account.login"), 303)
    signing.open_session(person, second_factor=False)
    flash("Your password is set.", "ok")
    return redirect(url_for("account.second_factor"), 303)


@bp.post("/settings/theme")
@access.public
def theme() -> Response | BaseResponse:
    """Remember light, dark, or as the system says; the choice lives in this browser only."""
    back = links.local(request.form.get("back")) or url_for("home.index")
    response = redirect(back, 303)
    chosen = request.form.get("theme")
    if chosen in nav.THEMES:
        # Read by a small script too, so that a switch shows at once; it holds nothing worth stealing.
        response.set_cookie("theme", chosen, max_age=YEAR, samesite="Lax")
    else:
        response.delete_cookie("theme", samesite="Lax")
    return response
