"""Who called, and what became of it: request ids, the access log, and the count of answers."""

import random
import re
import time
from dataclasses import dataclass, field
from typing import Literal

from serving.logs import Log
from serving.metrics import Metrics
from serving.routing import Version

_PLAIN = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(slots=True)
class Call:
    """One request while it is answered. Whoever chooses the version and counts the rows notes them here, for the log."""

    id: str
    transport: Literal["rest", "grpc", "batch"]
    started: float = field(default_factory=time.perf_counter)
    version: Version | None = None
    rows: int | None = None


def request_id(given: str) -> str:
    """The client's id where it is a plain one, else one of ours: it goes into headers and logs."""
    if given and _PLAIN.fullmatch(given):
        return given
    return f"{random.getrandbits(64):016x}"  # tells requests apart; it is no secret


class Access:
    """Counts every answer, and logs it where the log wants to know."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log

    def answered(self, call: Call, status: int | str) -> None:
        """Note that ``call`` was answered; ``status`` is HTTP's number or gRPC's code.

        Names of routes come from the version chosen, never from the request: any other text is the client's.
        """
        self._metrics.answers(call.transport, str(status)).inc()
        if self._log.enabled("info"):
            self._log.info(
                "request",
                request_id=call.id,
                transport=call.transport,
                route=call.version.route if call.version else None,
                version=call.version.name if call.version else None,
                status=status,
                rows=call.rows,
                ms=round(1000 * (time.perf_counter() - call.started), 3),
            )
