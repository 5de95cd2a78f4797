"""Who called, and what became of it: request ids, trace contexts, the access log, and the count of answers."""

import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from serving import tracing
from serving.logs import Log
from serving.metrics import Metrics
from serving.routing import Version
from serving.tracing import Trace, Tracer

_PLAIN = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(slots=True)
class Call:
    """One request while it is answered. Whoever chooses the version and counts the rows notes them here, for the log."""

    id: str
    transport: Literal["rest", "grpc", "batch"]
    started: float = field(default_factory=time.perf_counter)
    version: Version | None = None
    rows: int | None = None
    trace: Trace | None = None

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What a gRPC answer says of itself. It trails: ahead of the answer it would be a message of its own, a third of the call."""
        told = [("x-request-id", self.id)]
        if self.version is not None:
            told.append(("x-model-version", self.version.name))
        if self.trace is not None:
            told.append(("traceparent", self.trace.header))
        return told


def request_id(given: str) -> str:
    """The client's id where it is a plain one, else one of ours: it goes into headers and logs."""
    if given and _PLAIN.fullmatch(given):
        return given
    return f"{random.getrandbits(64):016x}"  # tells requests apart; it is no secret


class Access:
    """Counts every answer, logs it where the log wants to know, and makes a span of it where one is asked for."""

    def __init__(self, metrics: Metrics, log: Log, tracer: Tracer | None = None) -> None:
        self._metrics = metrics
        self._log = log
        self._tracer = tracer

    def begin(self, transport: Literal["rest", "grpc"], given_id: str, traceparent: str | None) -> Call:
        """A request has come, with the id and the trace context that its client gave it."""
        call = Call(request_id(given_id), transport)
        if traceparent is not None or self._tracer is not None:
            self._trace(call, traceparent)
        return call

    def _trace(self, call: Call, traceparent: str | None) -> None:
        call.trace = None if traceparent is None else tracing.read(traceparent)
        if self._tracer is not None:
            call.trace = self._tracer.begin(call.trace)

    def answered(self, call: Call, status: int | str) -> None:
        """Note that ``call`` was answered; ``status`` is HTTP's number or gRPC's code.

        Names of routes come from the version chosen, never from the request: any other text is the client's.
        """
        self._metrics.answered(call.transport, status)
        if self._tracer is not None:
            self._tracer.end(call, status)
        if self._log.enabled("info"):  # else nothing is put together
            told: dict[str, Any] = {"request_id": call.id, "transport": call.transport, "status": status}
            if call.trace is not None:
                told["trace_id"] = call.trace.id
            if call.version is not None:
                told["route"], told["version"] = call.version.route, call.version.name
            if call.rows is not None:
                told["rows"] = call.rows
            told["ms"] = round(1000 * (time.perf_counter() - call.started), 3)
            self._log.gather("request", told)
