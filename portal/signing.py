"""Signing in: name and password, then the one-time code of those who have a second factor.

The same two steps run on /login and in place: when a session ended while somebody was filling in a form, the form's
own address asks for the sign-in, carries the typed fields along in the page, and then shows the form again, filled
in and not sent. Nothing is stored on the server for that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response, current_app, flash, g, redirect, render_template, request, session, url_for
from flask_wtf.csrf import validate_csrf
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse
from wtforms import PasswordField, StringField, ValidationError
from wtforms.validators import InputRequired

from portal import access, db, links
from portal.forms import Form
from portal.installation import here
from registry import clock, signing_in
from registry.errors import BadCredentials, CodeRefused, LockedOut, SessionEnded
from registry.orm.account import LoginSession, Person
from registry.vault import hash_secret

PREFIX = "signin-"
PENDING_SECONDS = 300
NOT_KEPT = ("password", "code", "csrf_token", "secret_key")
"""Fields whose names end so are typed anew."""


class PasswordForm(Form):
    """Who are you?"""

    username = StringField("User name", validators=[InputRequired("Type your user name.")])
    password = PasswordField("Password", validators=[InputRequired("Type your password.")])


class CodeForm(Form):
    """The second step."""

    code = StringField(
        "One-time code",
        validators=[InputRequired("Type the six digits of your authenticator app.")],
        description="Six digits, from the authenticator app you set up.",
    )


@dataclass
class Kept:
    """What somebody had typed when their session ended."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    owner: UUID | None = None
    """Whose session it was, where that is known."""


def step(page: Callable[[Form, str], str]) -> tuple[str, int] | None:
    """Take one step with what was posted; returns the page to show, or ``None`` once the person is signed in.

    :param page: draws the form of a step, ``password`` or ``code``.
    """
    person_id = _pending()
    code = CodeForm(prefix=PREFIX)
    if person_id is not None and code.code.data:
        if code.validate() and code.attempt(_finish, person_id, code.code.data):
            return None
        return page(code, "code"), code.status
    form = PasswordForm(prefix=PREFIX)
    if code.code.data:
        late = SessionEnded("more than five minutes passed since your password", hint="Start again.")
        form.refuse(late)
        return page(form, "password"), form.status
    submitted = bool(form.password.data or form.username.data)
    if not submitted or not form.validate() or not form.attempt(_begin, form.username.data, form.password.data):
        return page(form, "password"), form.status if submitted else 200
    if form.result:
        return page(CodeForm(prefix=PREFIX, formdata=None), "code"), 200
    return None


def _begin(username: str, password: str) -> bool:
    """Check the password; returns whether a code is still needed."""
    username = username.strip().lower()
    try:
        # Reading only: hashing a password takes a tenth of a second, too long to hold the writer's lock.
        with db.reading() as unit:
            person = signing_in.check_password(unit, username, password)
    except BadCredentials:
        _count_failure(username)
        raise
    if person.totp_sealed:
        session["pending"] = [person.id.hex, int(time.time())]
        return True
    _open(person.id, second_factor=False)
    return False


def _finish(person_id: UUID, code: str) -> None:
    """Check the one-time code and open the session in the same unit that spends the code."""
    try:
        with db.separate() as unit:
            person = unit.get_one(Person, person_id)
            if person.locked_until and person.locked_until > clock.now():
                raise LockedOut("sign-in is locked after too many failures", hint="Try again in a quarter of an hour.")
            if not person.active:
                raise BadCredentials("this account is disabled", hint="Ask an administrator.")
            signing_in.spend_code(unit, person, code, purpose="sign-in", keys=here().vault)
            secret = _session_for(unit, person, second_factor=True)
    except CodeRefused:
        _count_failure(person.username)
        raise
    access.enter(person, secret)


def _open(person_id: UUID, *, second_factor: bool) -> None:
    with db.separate() as unit:
        person = unit.get_one(Person, person_id)
        secret = _session_for(unit, person, second_factor=second_factor)
    access.enter(person, secret)


def _session_for(unit: Session, person: Person, *, second_factor: bool) -> str:
    agent = request.headers.get("User-Agent", "")
    return signing_in.sign_in(unit, person, limits=here().limits, user_agent=agent, second_factor=second_factor)


def open_session(person: Person, *, second_factor: bool) -> None:
    """Open a session for somebody who just proved who they are, inside the request's unit, and enter it."""
    secret = _session_for(db.session(), person, second_factor=second_factor)
    db.release()
    access.enter(person, secret)


def _count_failure(username: str) -> None:
    with db.separate() as unit:
        signing_in.note_failure(unit, username)


def _pending() -> UUID | None:
    """Who gave the right password in the last five minutes and still owes a code."""
    ident, at = session.get("pending") or ("", 0)
    return UUID(ident) if ident and time.time() - at < PENDING_SECONDS else None


# ----------------------------------------------------------------------------------------- a session ended in mid-form


def in_place() -> BaseResponse | None:
    """Sign in on the form's own address and keep what was typed; ``None`` once signed in, to show the form again."""
    kept = _kept()
    if not kept.fields and not _is_ours():
        flash("Sign in first.", "wait")
        return redirect(url_for("account.login"), 303)

    def page(form: Form, name: str) -> str:
        return render_template("account/login.html", form=form, step=name, kept=kept, ended=g.get("ended"))

    if not _continuing():
        if kept.owner is not None:
            session["kept_owner"] = kept.owner.hex
        return _made(page(PasswordForm(prefix=PREFIX, formdata=None), "password"), 401)
    access.csrf.protect()
    if (answer := step(page)) is not None:
        text, status = answer
        return _made(text, 401 if status == 200 else status)
    return _go_on(kept)


def _go_on(kept: Kept) -> BaseResponse | None:
    """Signed in again: show the form with its text. What has no page of its own is shown to be sent or not."""
    if kept.owner is not None and kept.owner != access.me().person_id:
        flash("You are signed in as somebody else than who typed that text, so it was not kept.", "wait")
        return redirect(url_for("home.index"), 303)
    g.refill = True  # from here on this request cannot write
    if request.url_rule is not None and "GET" in (request.url_rule.methods or ()):
        flash("You are signed in again. Nothing was sent: check what you had typed, then send it.", "wait")
        return None
    back = urlsplit(request.referrer or "").path
    return _made(render_template("account/resume.html", kept=kept, back=links.local(back)), 200)


def _made(text: str, status: int) -> Response:
    return current_app.make_response((text, status))


def _kept() -> Kept:
    """The fields of this POST, unless another site made it."""
    if not _is_ours():
        return Kept()
    fields = [
        (name, value)
        for name, value in request.form.items(multi=True)
        if not name.startswith(PREFIX) and not name.endswith(NOT_KEPT)
    ]
    return Kept(fields, _owner())


def _owner() -> UUID | None:
    if known := session.get("kept_owner"):
        return UUID(known)
    secret = session.get("_user_id")
    if not secret:
        return None
    with db.reading() as unit:
        query = select(LoginSession.person_id).where(LoginSession.secret_hash == hash_secret(secret))
        return unit.scalars(query).one_or_none()


def _is_ours() -> bool:
    """Whether a page of ours sent this form: by its token, or by what the browser says of its origin."""
    if request.headers.get("Sec-Fetch-Site") == "same-origin" or request.headers.get("Origin") == request.host_url[:-1]:
        return True
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError:
        return False
    return True


def _continuing() -> bool:
    return any(name.startswith(PREFIX) for name in request.form)
