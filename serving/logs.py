"""JSON log lines on standard output, one object per event. Never inputs or answers: they may be personal data."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """A log with a threshold; what lies below it costs one comparison (`enabled`) and nothing else."""

    def __init__(self, level: str) -> None:
        self._threshold = LEVELS[level]
        self._second, self._shown_second = 0, ""
        self._lines: list[bytes] = []
        self._later: Callable[[Callable[[], None]], object] | None = None

    def gather(self, later: Callable[[Callable[[], None]], object]) -> None:
        """Write the lines of one turn of an event loop together, in its next: ``later`` is its `call_soon`.

        Whoever stops the loop calls `flush`. Warnings and errors are written at once, with what waited before them.
        """
        self._later = later

    def enabled(self, level: str) -> bool:
        return LEVELS[level] >= self._threshold

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write ``event`` with its fields."""
        if not self.enabled(level):
            return
        line = {"at": self._now(), "level": level, "event": event, **fields}
        self._lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if self._later is None or LEVELS[level] > LEVELS["info"]:
            self.flush()
        elif len(self._lines) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()

    def info(self, event: str, **fields: Any) -> None:
        self.write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self.write("error", event, fields)

    def _now(self) -> str:
        """The time in UTC, to a millisecond; what changes once a second is formatted once a second."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._shown_second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown_second}.{int(1000 * (now - second)):03}Z"
