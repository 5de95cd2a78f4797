"""Who is asking, and which pages they may open. Every route is closed unless it is marked ``@public``.

The domain forbids; this only decides whom to ask for a sign-in, leads people to a second factor they must have, and
hides what they may not do. A browser is known by a server-side session whose secret is in the signed cookie; a
program by a bearer token, under /api only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID

import flask_login
import structlog
from flask import Flask, Request, Response, current_app, flash, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin
from flask_wtf.csrf import CSRFProtect
from sqlalchemy.exc import OperationalError
from werkzeug.wrappers import Response as BaseResponse

from portal import db
from portal.installation import here
from registry import access as rules
from registry import accounts, clock, signing_in, tokens
from registry.access import Actor, Permission
from registry.errors import SecondFactorRequired, SessionEnded, Unauthenticated
from registry.orm.account import Person, Team

View = TypeVar("View", bound=Callable[..., Any])
csrf = CSRFProtect()
_log = structlog.stdlib.get_logger(__name__)


# --------------------------------------------------------------------------------------------- marks on views


def public(view: View) -> View:
    """Open to anybody, signed in or not."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def before_second_factor(view: View) -> View:
    """Open to somebody who still has to set up the second factor their role needs."""
    view.is_before_second_factor = True  # type: ignore[attr-defined]
    return view


def needs(permission: Permission) -> Callable[[View], View]:
    """Refuse the whole page without ``permission``; the domain still checks each act, with its team."""

    def mark(view: View) -> View:
        view.needs = permission  # type: ignore[attr-defined]
        return view

    return mark


def takes_files(view: View) -> View:
    """Let bodies be as large as one pushed file may be, instead of a form's few MB."""
    view.takes_files = True  # type: ignore[attr-defined]
    return view


def may(permission: Permission | str, team: Team | UUID | None = None) -> bool:
    """For templates: whether to offer an act. ``may('push', model.team)``."""
    actor: Actor | None = g.get("actor")
    team_id = team.id if isinstance(team, Team) else team
    return actor is not None and rules.allowed(actor, Permission(permission), team_id=team_id)


# ------------------------------------------------------------------------------------------------ who is asking


@dataclass
class SignedIn(UserMixin):
    """A person at a browser; what Flask-Login calls the user."""

    secret: str
    login_id: UUID
    person_id: UUID
    name: str
    actor: Actor
    has_second_factor: bool

    def get_id(self) -> str:
        """The secret of the server-side session: ending it there signs this browser out."""
        return self.secret


def resume(secret: str) -> SignedIn | None:
    """The person whose session this is; ``None`` when it ended, and then ``g.ended`` says whose and why."""
    with db.reading() as unit:
        try:
            login, actor = signing_in.resume(unit, secret, limits=here().limits)
        except SessionEnded as error:
            g.ended = error
            return None
        person = unit.get_one(Person, login.person_id)
        seen = login.last_seen_at
        user = SignedIn(secret, login.id, person.id, person.name, actor, person.totp_sealed is not None)
    if clock.now() - seen > signing_in.TOUCH:
        _stamp(signing_in.touch, user.login_id)
    return user


def enter(person: Person, secret: str) -> None:
    """Make this browser the holder of a session just opened; nothing of the one before stays."""
    session.clear()
    g.pop("csrf_token", None)
    session["_user_id"] = secret
    session["name"] = person.id.hex
    user = resume(secret)
    g._login_user = user  # noqa: SLF001 - where Flask-Login keeps the user of this request
    g.actor = user.actor if user else None


def leave() -> None:
    """Forget the session in this browser; the server's side is ended by the caller."""
    flask_login.logout_user()
    session.clear()
    g.pop("csrf_token", None)
    g.actor = None


def me() -> SignedIn:
    """The signed-in person; only for views that are not public."""
    return cast("SignedIn", flask_login.current_user._get_current_object())  # noqa: SLF001


def _is_program(asked: Request) -> bool:
    """Whether it brings a token; where programs ask nothing else is looked at."""
    return bool(asked.headers.get("Authorization")) and asked.path.startswith("/api/")


class _Sessions(SecureCookieSessionInterface):
    """Cookies are for browsers: to a program that brings a token no session is opened, and none could be changed."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return None if _is_program(request) else super().open_session(app, request)


def _bearer(header: str) -> Actor:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated(f"{scheme} is not a way to sign in here", hint="Send Authorization: Bearer cs_...")
    with db.asking() as unit:
        presented, actor = tokens.authenticate(unit, token.strip())
        g.token = presented
    if presented.last_used_at is None or clock.now() - presented.last_used_at > tokens.TOUCH:
        _stamp(tokens.touch, presented.id)
    return actor


def _stamp(touch: Callable[..., None], row_id: UUID) -> None:
    """Last use, at most once a minute; a busy database is no reason to refuse the request itself."""
    try:
        with db.separate() as unit:
            touch(unit, row_id)
    except OperationalError:
        _log.warning("a last-use stamp was not written", exc_info=True)


# ------------------------------------------------------------------------------------------------------- the gate


def _view() -> Any:
    return current_app.view_functions.get(request.endpoint or "")


def _identify() -> None:
    g.actor = None
    if _is_program(request):
        g.actor = _bearer(request.headers["Authorization"])
        return
    user = flask_login.current_user
    g.actor = user.actor if user.is_authenticated else None


def _gate() -> BaseResponse | None:
    """Before every request: who, may they come in here, and does the form come from our own page."""
    view = _view()
    if getattr(view, "takes_files", False):
        request.max_content_length = here().settings.max_upload_bytes
    _identify()
    if view is None:
        return None  # nothing is there: 404 or 405, for everybody
    actor: Actor | None = g.actor
    if actor is None and not getattr(view, "is_public", False):
        refused = _ask_to_sign_in()
        if refused is not None:
            return refused
        actor = g.actor
    elif not (actor and actor.via_token):
        csrf.protect()
    if actor is None or getattr(view, "is_public", False):
        return None
    if not actor.via_token and (detour := _second_factor(view)) is not None:
        return detour
    if permission := getattr(view, "needs", None):
        rules.require(actor, permission)
    return None


def _ask_to_sign_in() -> BaseResponse | None:
    """Lead to the sign-in page; a form in mid-flight is kept and shown again after it (``None``: now signed in)."""
    from portal import signing  # noqa: PLC0415 - it renders pages, which need what is above

    if request.path.startswith("/api/"):
        raise g.get("ended") or Unauthenticated("no token came with this request", hint="Send Authorization: Bearer.")
    if request.method not in db.SAFE:
        return signing.in_place()
    if ended := g.get("ended"):
        flash(f"{str(ended).capitalize()}. Sign in again to go on.", "wait")
    target = request.full_path.rstrip("?")
    return redirect(url_for("account.login", next=None if target == "/" else target), 303)


def _second_factor(view: Any) -> BaseResponse | None:
    """People whose role needs a second factor set it up before anything else."""
    user = me()
    if getattr(view, "is_before_second_factor", False):
        return None
    if user.actor.second_factor or not accounts.needs_second_factor(user.actor.roles):
        return None
    if request.path.startswith("/api/"):
        raise SecondFactorRequired("your role needs a second factor", hint="Set one up in the portal under Security.")
    if user.has_second_factor:
        leave()
        flash("Sign in again with your second factor: your role needs it.", "wait")
        return redirect(url_for("account.login"), 303)
    flash("Your role needs a second factor. Set it up before anything else; it takes a minute.", "wait")
    return redirect(url_for("account.second_factor"), 303)


def init_app(app: Flask) -> None:
    """Install Flask-Login, CSRF and the gate."""
    app.session_interface = _Sessions()
    manager = LoginManager(app)
    manager.session_protection = None  # the server-side session is what protects; addresses change behind proxies
    manager.user_loader(resume)
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # the gate checks, except for bearer tokens
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # as long as the session; an open form is no reason to lose text
    csrf.init_app(app)
    app.before_request(_gate)
    app.jinja_env.globals.update(may=may)

    @app.after_request
    def note_refusal(response: Response) -> Response:
        if response.status_code == 403 and g.get("actor"):
            _log.warning("refused", actor=g.actor.ref, endpoint=request.endpoint, path=request.path)
        return response
