"""JSON log lines on standard output, one object per event. Never inputs or answers: they may be personal data."""

import sys
import time
from typing import Any

import orjson

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """A log with a threshold; what lies below it costs one comparison (`enabled`) and nothing else."""

    def __init__(self, level: str) -> None:
        self._threshold = LEVELS[level]
        self._second, self._shown_second = 0, ""

    def enabled(self, level: str) -> bool:
        return LEVELS[level] >= self._threshold

    def write(self, level: str, event: str, **fields: Any) -> None:
        """Write ``event`` with its fields; those that are None are left out."""
        if not self.enabled(level):
            return
        shown = {name: value for name, value in fields.items() if value is not None}
        line = orjson.dumps(
            {"at": self._now(), "level": level, "event": event, **shown}, option=orjson.OPT_APPEND_NEWLINE
        )
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    def info(self, event: str, **fields: Any) -> None:
        self.write("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.write("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self.write("error", event, **fields)

    def _now(self) -> str:
        """The time in UTC, to a millisecond; what changes once a second is formatted once a second."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._shown_second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown_second}.{int(1000 * (now - second)):03}Z"
