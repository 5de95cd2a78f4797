"""For machines that watch: is the process there, can it serve, and what has it done. No session, no secrets."""

import time

from flask import Blueprint, Flask, Response, current_app, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import func, select

from portal import access, db
from portal.installation import VERSION, here
from registry import jobs, revisions
from registry.errors import Unavailable
from registry.orm.job import Job, JobState

bp = Blueprint("ops", __name__)


class Meters:
    """The portal's metrics; one set per app, so that two apps in one process do not clash."""

    def __init__(self) -> None:
        """Make them."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "countersign_http_requests_total", "Requests.", ("endpoint", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "countersign_http_request_seconds", "Time to answer.", ("endpoint",), registry=self.registry
        )
        self.jobs = Gauge("countersign_jobs", "Jobs by state.", ("state",), registry=self.registry)
        self.workers = Gauge("countersign_workers", "Workers that reported lately.", registry=self.registry)
        Gauge("countersign_info", "Release.", ("version",), registry=self.registry).labels(VERSION).set(1)


@bp.get("/healthz")
@access.public
def alive() -> Response:
    """The process answers; nothing else is asked."""
    return _plain("ok")


@bp.get("/readyz")
@access.public
def ready() -> Response:
    """The database answers and is at this release's revision."""
    _require_schema()
    with db.reading() as unit:
        unit.execute(select(1))
    return _plain("ready")


@bp.get("/metrics")
@access.public
def metrics() -> Response:
    """Prometheus."""
    meters: Meters = current_app.extensions["countersign-meters"]
    by_state = select(Job.state, func.count().label("count_")).group_by(Job.state)
    with db.reading() as unit:
        counts = {row.state: row.count_ for row in unit.execute(by_state)}
        meters.workers.set(len(jobs.alive_workers(unit)))
    for state in JobState:
        meters.jobs.labels(state.value).set(counts.get(state, 0))
    return current_app.response_class(generate_latest(meters.registry), content_type=CONTENT_TYPE_LATEST)


def _plain(text: str) -> Response:
    return current_app.response_class(text + "\n", mimetype="text/plain")


def _require_schema() -> None:
    """Refuse to serve tables of another release; asked until the answer is yes, then never again.

    :raises Unavailable: they are not at the newest revision.
    """
    if current_app.extensions.get("countersign-schema"):
        return
    if not revisions.is_current(here().database):
        raise Unavailable(
            "the database is not at the revision this release needs",
            hint="An operator runs: flask --app wsgi registry db upgrade",
        )
    current_app.extensions["countersign-schema"] = True


def init_app(app: Flask) -> None:
    """Measure every request, and serve none before the tables are there."""
    app.extensions["countersign-meters"] = meters = Meters()

    @app.before_request
    def check() -> None:
        g.started = time.perf_counter()
        if request.blueprint not in ("ops", "assets"):
            _require_schema()

    @app.after_request
    def measure(response: Response) -> Response:
        endpoint = request.endpoint or "none"
        meters.requests.labels(endpoint, request.method, str(response.status_code)).inc()
        meters.seconds.labels(endpoint).observe(time.perf_counter() - g.get("started", time.perf_counter()))
        return response
