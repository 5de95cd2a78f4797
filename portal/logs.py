"""JSON logs, one line per request, and the id that ties a refusal a person sees to its lines here."""

import logging
import re
import sys
import time
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request

_OFFERED = re.compile(r"[A-Za-z0-9._-]{8,64}")
QUIET = frozenset({"ops.alive", "ops.ready", "ops.metrics", "assets.send", "assets.favicon"})
_access = structlog.stdlib.get_logger("countersign.access")


def configure(level: str) -> None:
    """Send everything, ours and the libraries', to standard error as JSON lines. Once per process."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def init_app(app: Flask) -> None:
    """Give each request an id, echo it, and log how it ended."""

    @app.before_request
    def begin() -> None:
        offered = request.headers.get("X-Request-Id", "")
        g.request_id = offered if _OFFERED.fullmatch(offered) else uuid4().hex
        g.began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        if request.endpoint not in QUIET:
            actor = g.get("actor")
            _access.info(
                "request",
                method=request.method,
                # A set-up link is a secret: its rule is logged, not its address.
                path=str(request.url_rule) if request.endpoint == "account.setup" else request.path,
                status=response.status_code,
                ms=round((time.perf_counter() - g.began) * 1000, 1),
                actor=actor.ref if actor else None,
            )
        return response
