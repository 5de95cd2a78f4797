"""A refusal becomes a page, or ``application/problem+json`` under /api. The only table of status codes."""

import logging
from typing import Any

from flask import Flask, Response, current_app, g, json, render_template, request
from flask_wtf.csrf import CSRFError
from jinja2 import Template
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException, NotFound

from portal import db
from registry import errors
from registry.errors import RegistryError

STATUS: dict[type[RegistryError], int] = {
    errors.NotFound: 404,
    errors.Unauthenticated: 401,
    errors.LockedOut: 429,
    errors.Forbidden: 403,
    errors.Invalid: 422,
    errors.TooLarge: 413,
    errors.StorageFull: 507,
    errors.Conflict: 409,
    errors.KeyReused: 422,
    errors.Stale: 412,
    errors.StaleReview: 409,
    errors.PreconditionMissing: 428,
    errors.Unavailable: 503,
    errors.UnauditedChange: 500,
    RegistryError: 500,
}
"""By the nearest class in the error's line of descent."""

RETRY_AFTER = {429: "900", 503: "5", 507: "60"}

HTTP_WORDS: dict[int, tuple[str, str, str]] = {
    400: ("bad-request", "That request could not be read", "Go back, reload the page and try once more."),
    401: ("not-signed-in", "Sign in first", "Sign in, then open this address again."),
    403: ("forbidden", "You may not do this", "Ask an administrator for the role it needs."),
    404: ("not-found", "Nothing is here", "Check the address, or start from the list of models."),
    405: ("method-not-allowed", "This address does not do that", "Open it from its page instead."),
    406: ("not-acceptable", "Not in that format", "Ask for another format."),
    411: ("length-required", "Say how long it is", "Send a Content-Length header."),
    412: ("stale", "It changed since you looked", "Read it again, then repeat your change."),
    413: ("too-large", "Too large", "Send less at once, or push files with the command line."),
    414: ("address-too-long", "The address is too long", "Use fewer filters."),
    415: ("unsupported-media-type", "Not in that format", "Send the format the documentation names."),
    416: ("range-not-satisfiable", "There is nothing in that range yet", "Ask again from the end of what you have."),
    422: ("invalid", "That does not fit", "Correct what is marked and send it again."),
    429: ("too-many-requests", "Too many requests", "Wait a moment, then try again."),
    500: ("internal-error", "Something broke on our side", "Try again; if it stays, tell an operator the request id."),
    503: ("unavailable", "Not available right now", "Try again in a few seconds."),
}


class BadCsrf(RegistryError):
    """A form came without the token of its page: another site sent it, or cookies are blocked."""

    code = "csrf"
    title = "This form could not be trusted"


STATUS[BadCsrf] = 400


def status_of(error: RegistryError) -> int:
    """The HTTP status of a refusal."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def wants_problem() -> bool:
    """Whether the caller is a program: the API and everything below /.well-known answer in JSON."""
    return request.path.startswith(("/api/", "/.well-known/"))


def problem(error: RegistryError, status: int, headers: dict[str, str] | None = None) -> Response:
    """RFC 9457."""
    body: dict[str, Any] = {
        "type": f"/docs/errors#{error.code}",
        "title": error.title,
        "status": status,
        "detail": str(error),
        "code": error.code,
        "hint": error.hint,
        "request_id": g.get("request_id", ""),
        "errors": [{"pointer": pointer, "detail": detail} for pointer, detail in error.errors],
    }
    response = current_app.response_class(json.dumps(body) + "\n", status, mimetype="application/problem+json")
    response.headers.update(headers or {})
    return response


def answer(error: RegistryError, status: int, headers: dict[str, str] | None = None) -> Response:
    """The refusal as this caller reads it."""
    headers = dict(headers or {})
    if status in RETRY_AFTER:
        headers.setdefault("Retry-After", RETRY_AFTER[status])
    if wants_problem():
        if status == 401:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="Countersign"')
        return problem(error, status, headers)
    return _page(error, status, headers)


def _page(error: RegistryError, status: int, headers: dict[str, str]) -> Response:
    """The page of this status; the standalone one when the database, or the page itself, is what broke."""
    values = {"error": error, "status": status}
    names: list[str | Template] = ["errors/standalone.html"]
    if status not in (500, 503):
        names = [f"errors/{status}.html", "errors/other.html", *names]
    try:
        text = render_template(names, **values)
    except Exception:  # an error page that cannot be drawn must not hide the error
        logging.getLogger(__name__).exception("the error page could not be drawn")
        text = render_template("errors/standalone.html", **values)
    response = current_app.response_class(text, status)
    response.headers.update(headers)
    return response


class _Plain(RegistryError):
    """A refusal of the HTTP layer, in the same words as ours."""

    def __init__(self, status: int, detail: str = "") -> None:
        code, title, hint = HTTP_WORDS.get(status, ("http-error", f"Refused with status {status}", ""))
        super().__init__(detail or title, hint=hint)
        self.code, self.title = code, title


def init_app(app: Flask) -> None:
    """Register one handler per family."""

    @app.errorhandler(RegistryError)
    def refused(error: RegistryError) -> Response:
        db.rollback()
        status = status_of(error)
        if status >= 500:
            app.logger.error("refused: %s", error, exc_info=error)
        return answer(error, status)

    @app.errorhandler(CSRFError)
    def untrusted(error: CSRFError) -> Response:
        hint = "Allow cookies for this site, go back, reload the page and send the form again."
        return refused(BadCsrf(str(error.description), hint=hint))

    @app.errorhandler(StaleDataError)
    def overtaken(_error: StaleDataError) -> Response:
        return refused(errors.Stale("somebody else changed this at the same moment", hint="Reload, then try again."))

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    def database_away(error: Exception) -> Response:
        db.rollback()
        app.logger.error("the database did not answer", exc_info=error)
        return answer(errors.Unavailable("the database did not answer", hint="Try again in a few seconds."), 503)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        db.rollback()
        if isinstance(error.response, Response):
            return error.response
        status = error.code or 500
        headers = {
            name: value for name, value in error.get_headers(request.environ) if name in ("Allow", "Retry-After")
        }
        if status < 400:
            return current_app.make_response(error.get_response(request.environ))
        detail = f"nothing is at {request.path}" if isinstance(error, NotFound) else ""
        return answer(_Plain(status, detail), status, headers)
