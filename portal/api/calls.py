"""One call of the API, from the request to its answer: who asks, what was sent, one unit of work, one response."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Response, g, request
from sqlalchemy.orm import Session

from portal import db
from portal.api import answers, bodies
from portal.api.answers import Answer
from portal.api.contract import Operation
from portal.installation import here
from registry import idempotency
from registry.access import Actor
from registry.errors import Invalid, NotFound, Unauthenticated
from registry.settings import Settings
from registry.store import LocalStore
from registry.tokens import Presented


@dataclass(frozen=True)
class Call:
    """What a view is given. The unit of work opens at the first use of ``session``."""

    operation: Operation

    @property
    def session(self) -> Session:
        """Reads for GET and HEAD, writes otherwise; stored when the answer is below 400."""
        return db.session()

    @property
    def actor(self) -> Actor:
        """Who asks: by a token, or where the operation says so at a browser."""
        actor: Actor | None = g.get("actor")
        if actor is None or not (actor.via_token or self.operation.browser):
            raise Unauthenticated(
                "the API is for tokens, not for a browser's session", hint="Send Authorization: Bearer cs_..."
            )
        return actor

    @property
    def token(self) -> Presented:
        """The token itself."""
        presented: Presented = g.token
        return presented

    @property
    def store(self) -> LocalStore:
        return here().store

    @property
    def settings(self) -> Settings:
        return here().settings

    def expected(self, current: int) -> int | None:
        """What the caller says they saw of a resource now at revision ``current``, as services take it."""
        return answers.seen_revision(current)


def ident(text: str, what: str) -> UUID:
    """An id of a path, with or without dashes.

    :raises NotFound: it is not one of ours.
    """
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"there is no {what} {text}") from None


def endpoint(operation: Operation) -> Callable[..., Response]:
    """The Flask view of an operation, with the marks the portal's gate looks at."""

    def serve(**path: Any) -> Response:
        bodies.refuse_nul()
        call = Call(operation)
        if not operation.public:
            call.actor  # noqa: B018 - refuses a browser's session
        if operation.body:
            path["body"] = bodies.read_json(operation.body)
        if operation.query:
            path["query"] = bodies.read_query(operation.query)
        key = request.headers.get("Idempotency-Key") if operation.takes_key else None
        return _once(call, key, path) if key is not None else _answer(operation.view(call, **path))

    serve.is_public = operation.public  # type: ignore[attr-defined]
    serve.needs = operation.needs  # type: ignore[attr-defined]
    serve.takes_files = operation.raw is not None  # type: ignore[attr-defined]
    return serve


def _answer(result: Answer | Response) -> Response:
    return result if isinstance(result, Response) else answers.render(result).response()


def _once(call: Call, key: str, arguments: dict[str, Any]) -> Response:
    """Do it, unless it was done under this key already: then tell again what was told."""
    if not idempotency.is_key(key):
        raise Invalid("Idempotency-Key must be 1 to 200 visible ASCII characters", hint="Send a UUID.")
    said = f"{request.method} {request.full_path}\n".encode() + request.get_data()
    use = idempotency.begin(call.session, actor=call.actor, key=key, said=said)
    if use.kept is not None:
        headers = {**use.kept.headers, "Idempotency-Replayed": "true"}
        return answers.Rendered(use.kept.status, headers, use.kept.body).response()
    result: Answer = call.operation.view(call, **arguments)
    kept = answers.render(result, for_keeping=True)
    idempotency.keep(call.session, use, idempotency.Kept(kept.status, kept.headers, kept.body))
    return answers.render(result).response()
