"""One unit of work per request, opened at first use.

GET and HEAD read and cannot write; other methods take the writer's lock at their first query. The unit is committed
when the answer is below 400 and rolled back otherwise; that commit is the portal's only one, apart from the short
units of ``separate()``. Nothing here spans a stream: call ``release()`` before bytes flow.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from flask import Flask, g, request
from sqlalchemy.orm import Session

from portal.installation import here
from registry import db as registry_db

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def session() -> Session:
    """The request's session. A form that is only shown again (``g.refill``) reads, whatever its method."""
    unit: Session | None = g.get("unit")
    if unit is None:
        g.unit_writes = request.method not in SAFE and not g.get("refill")
        unit = g.unit = here().database.session(write=g.unit_writes)
    return unit


def finish(*, commit: bool) -> None:
    """End the request's unit, if one was opened."""
    unit: Session | None = g.get("unit")
    if unit is None:
        return
    try:
        if commit and g.unit_writes:
            registry_db.commit(unit)
    finally:
        # Detached, not expired: a template may still read what was loaded.
        unit.expunge_all()
        unit.close()
        g.pop("unit", None)


def release() -> None:
    """End the unit on purpose, storing what it wrote, before bytes are streamed; the next ``session()`` is a new one.

    Everything read before stays readable; relations that were not loaded cannot be loaded any more.
    """
    finish(commit=True)


def rollback() -> None:
    """Undo what this request wrote so far, e.g. to show a refused form again."""
    finish(commit=False)


def reading() -> AbstractContextManager[Session]:
    """A short read-only unit beside the request's."""
    return here().database.read()


def asking() -> AbstractContextManager[Session]:
    """For asking who asks: the request's unit where it only reads, else a short unit before the writer's lock."""
    return nullcontext(session()) if request.method in SAFE else reading()


@contextmanager
def separate() -> Iterator[Session]:
    """A short writing unit that is stored even if the request is refused: failed sign-ins, last-use stamps.

    :raises RuntimeError: the request's own unit holds the writer's lock; one of the two would wait for the other.
    """
    if g.get("unit") is not None and g.unit_writes:
        raise RuntimeError("finish or roll back the request's unit before a separate one")
    with here().database.write() as unit:
        yield unit


def init_app(app: Flask) -> None:
    """Roll back whatever a request left open."""

    @app.teardown_request
    def close(_error: BaseException | None) -> None:
        finish(commit=False)
