"""Second factor, open sessions, and who the portal thinks one is."""

from uuid import UUID

import segno
from flask import flash, g, redirect, render_template, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, signing
from portal.account import bp
from portal.account.forms import SecondFactorForm
from portal.installation import here
from registry import accounts, signing_in
from registry.errors import Invalid, NotFound, TokenRefused
from registry.orm.account import LoginSession, Person


@bp.get("/settings")
def settings() -> BaseResponse:
    """The first of the settings pages."""
    return redirect(url_for("account.profile"))


@bp.get("/settings/profile")
def profile() -> str:
    """Name, teams and roles; an administrator changes them."""
    person = accounts.load_person(db.session(), person_id=g.actor.person_id)
    return render_template("account/profile.html", person=person)


@bp.get("/settings/security")
def security() -> str:
    """Second factor and open sessions."""
    person = _me()
    sessions = signing_in.sessions_of(db.session(), person)
    return render_template("account/security.html", person=person, sessions=sessions, this=access.me().login_id)


@bp.post("/settings/security/sessions/<uuid:login_id>/end")
def end_session(login_id: UUID) -> BaseResponse:
    """Sign another browser of mine out."""
    login = db.session().get(LoginSession, login_id)
    if login is None or login.person_id != g.actor.person_id:
        raise NotFound("there is no such session of yours")
    signing_in.end(login)
    flash("That session is ended.", "ok")
    return redirect(url_for("account.security"), 303)


@bp.route("/settings/security/second-factor", methods=["GET", "POST"])
@access.before_second_factor
def second_factor() -> str | tuple[str, int] | BaseResponse:
    """Enrol an authenticator app: show the secret once, keep it only after a code proves that it arrived."""
    person = _me()
    if person.totp_sealed:
        return redirect(url_for("account.security"), 303)
    form = SecondFactorForm()
    secret = _unseal(form.sealed_secret.data, person) if form.sealed_secret.data else signing_in.new_totp_secret()
    vault = here().vault
    if form.validate_on_submit() and form.attempt(
        signing_in.set_second_factor, db.session(), person, secret, form.code.data, keys=vault
    ):
        # The code just proved the second factor, so the session that follows counts it; the one before ends.
        signing_in.end(db.session().get_one(LoginSession, access.me().login_id))
        signing.open_session(person, second_factor=True)
        flash("Your second factor is set. You will be asked for a code at every sign-in.", "ok")
        return redirect(url_for("home.index"), 303)
    form.sealed_secret.data = vault.seal(f"{person.id.hex}:{secret}")
    return render_template(
        "account/second_factor.html",
        form=form,
        secret=secret,
        qr=_qr(signing_in.totp_uri(secret, person.username)),
        required=accounts.needs_second_factor(g.actor.roles),
    ), form.status


def _me() -> Person:
    return db.session().get_one(Person, g.actor.person_id)


def _unseal(sealed: str, person: Person) -> str:
    """The secret this very person was shown on the page before.

    :raises Invalid: the field was changed, or is somebody else's.
    """
    try:
        owner, _, secret = here().vault.unseal(sealed).partition(":")
    except TokenRefused as error:
        raise Invalid("this page is out of date", hint="Open it again and scan the new code.") from error
    if owner != person.id.hex:
        raise Invalid("this page belongs to somebody else", hint="Open it again and scan the new code.")
    return secret


def _qr(uri: str) -> Markup:
    """An inline SVG, dark on white in every theme: cameras do not read the reverse."""
    code = segno.make(uri, error="m")
    return Markup(code.svg_inline(scale=4, border=3, light="#fff", dark="#14161a", svgclass="qr", omitsize=True))  # noqa: S704
