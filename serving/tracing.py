"""W3C Trace Context: taken from a request, given back with its answer, and exported as OTLP where a collector is named.

Without a collector a context passes through as it came. With one, each request of a sampled trace becomes a span, and so does
a share of those that bring no context. Why this is not OpenTelemetry's SDK: docs/decisions/0016.
"""

import http.client
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from serving import __version__
from serving.errors import Refusal

if TYPE_CHECKING:
    from serving.access import Call

TIMEOUT_SECONDS = 5.0
SERVER, ERROR = 2, 2  # SPAN_KIND_SERVER, STATUS_CODE_ERROR
FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}  # of a gRPC server
# A later version may add fields at the end; version ff is none.
_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)


@dataclass(slots=True)
class Trace:
    """Where a request stands in a trace. ``span`` is ours, and empty while nothing is exported of it."""

    id: str
    parent: str
    flags: int
    span: str = ""

    @property
    def header(self) -> str:
        """The `traceparent` of the answer."""
        return f"00-{self.id}-{self.span or self.parent}-{self.flags:02x}"


def read(text: str) -> Trace | None:
    """The context that a `traceparent` gives; None for one that is not valid, which the standard says to ignore."""
    found = _PARENT.fullmatch(text)
    if found is None or not found["trace"].strip("0") or not found["span"].strip("0"):
        return None
    if found["version"] == "00" and found["rest"]:
        return None
    return Trace(found["trace"], found["span"], int(found["flags"], 16) & 1)


class Tracer:
    """Makes spans of requests and hands them to ``put``, as OTLP's JSON has them.

    :param share: of the requests without a context, from which a trace starts; the others' own flag decides.
    """

    def __init__(self, share: float, put: Callable[[dict[str, Any]], None]) -> None:
        self._share = share
        self._put = put

    def begin(self, given: Trace | None) -> Trace | None:
        if given is None:
            if random.random() >= self._share:  # noqa: S311  # a sample, not a secret
                return None
            given = Trace(os.urandom(16).hex(), "", 1)
        if given.flags & 1:
            given.span = os.urandom(8).hex()
        return given

    def end(self, call: "Call", status: int | str) -> None:
        trace = call.trace
        if trace is None or not trace.span:
            return
        end = time.time_ns()
        attributes: dict[str, str | int | None] = {"countersign.request_id": call.id, "countersign.rows": call.rows}
        if isinstance(status, int):
            attributes["http.response.status_code"] = status
        else:
            attributes["rpc.response.status_code"] = status
        if call.version is not None:
            attributes["countersign.route"] = call.version.route
            attributes["countersign.version"] = call.version.name
            attributes["countersign.release_digest"] = call.version.model.release_digest
        failed = status >= 500 if isinstance(status, int) else status in FAULTS
        self._put(
            {
                "traceId": trace.id,
                "spanId": trace.span,
                "parentSpanId": trace.parent,
                "name": f"infer {call.version.route}" if call.version else call.transport,
                "kind": SERVER,
                "startTimeUnixNano": str(end - int(1e9 * (time.perf_counter() - call.started))),
                "endTimeUnixNano": str(end),
                "attributes": _attributes(attributes),
                "status": {"code": ERROR} if failed else {},
            }
        )


def exporter(endpoint: str, bundle: str) -> Callable[[Sequence[dict[str, Any]]], None]:
    """What posts spans to the collector at ``endpoint``, such as `http://collector:4318`; an OSError says that it did not take them.

    :raises Refusal: it is no such address.
    """
    url = urlsplit(endpoint)
    try:
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if url.scheme not in ("http", "https") or not host:
        raise Refusal(f"COUNTERSIGN_OTLP_ENDPOINT is {endpoint!r}, expected an address such as http://collector:4318")
    path = f"{url.path.rstrip('/')}/v1/traces"
    resource = {"service.name": bundle, "service.version": __version__, "host.name": os.uname().nodename}
    scope = {"name": "countersign.serving", "version": __version__}
    context = ssl.create_default_context() if url.scheme == "https" else None

    def connect() -> http.client.HTTPConnection:
        if context is not None:
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context)
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)

    def export(spans: Sequence[dict[str, Any]]) -> None:
        scoped = [{"scope": scope, "spans": spans}]
        body = orjson.dumps(
            {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": scoped}]}
        )
        connection = connect()
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            status = connection.getresponse().status
        except http.client.HTTPException as error:
            raise OSError(f"{endpoint} answers no HTTP: {error!r}") from None
        finally:
            connection.close()
        if status >= 300:
            raise OSError(f"{endpoint} answered {status}")

    return export


def _attributes(values: "dict[str, str | int | None] | dict[str, str]") -> list[dict[str, Any]]:
    return [
        {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for name, value in values.items()
        if value is not None
    ]
