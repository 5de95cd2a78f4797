"""JSON log lines on standard output, one object per event. Never inputs or answers: they may be personal data."""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
GATHERED_SECONDS = 0.1  # that a line may wait for others: writing each by itself costs a tenth of a small request
GATHERED = 64  # lines that wait at most: their memory is used again while it is in the cache
OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class Log:
    """A log with a threshold; what lies below it costs one comparison (`enabled`) and nothing else."""

    def __init__(self, level: str) -> None:
        self._threshold = LEVELS[level]
        self._lines: list[bytes] = []
        self._later: Callable[[float, Callable[[], None]], object] | None = None

    def let_wait(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        """Let `gather` wait; ``later`` is the `call_later` of an event loop. Whoever stops the loop calls `flush`."""
        self._later = later

    def enabled(self, level: str) -> bool:
        return LEVELS[level] >= self._threshold

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write ``event`` with its fields, after what waited."""
        if self.enabled(level):
            self._add(level, event, fields)
            self.flush()

    def gather(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write ``event``, an info line, soon: in a moment, together with others like it."""
        if not self.enabled("info"):
            return
        self._add("info", event, fields)
        if self._later is None or len(self._lines) >= GATHERED:
            self.flush()
        elif len(self._lines) == 1:
            self._later(GATHERED_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        try:
            sys.stdout.buffer.write(b"".join(lines))
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # nobody reads any more: answering, revoking and draining go on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError:  # a full disk, perhaps: later lines may find room
            pass

    def _add(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        line = {"at": datetime.now(UTC), "level": level, "event": event, **fields}
        self._lines.append(orjson.dumps(line, option=OPTIONS))

    def info(self, event: str, **fields: Any) -> None:
        self.write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self.write("error", event, fields)
