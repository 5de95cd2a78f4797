"""The process that reads an untrusted model file: standard library only, limits set, and no way out.

Run by child.py with `python -I -S -B`, so that no installed package can even be found.
"""

import contextlib
import io
import json
import resource
import sys
from pathlib import Path
from typing import Any

from builders.checks import names
from builders.checks.examine import examine
from builders.checks.limits import Limits

_FEW_FILES = 8


class Escape(BaseException):
    """The scan did something that no scan does. Not an Exception: nothing may catch it."""


def main(request: str) -> None:
    """Scan one file and print what was found as JSON.

    :param request: JSON with `path`, `format`, `limits`, and in `own` the path of a list of own names.
    """
    asked = json.loads(request)
    limits = Limits(**asked["limits"])
    allowed = names.merge([names.load(), names.read(Path(asked["own"]))])
    with io.FileIO(asked["path"]) as file:
        confine(limits)
        found = examine(file, asked["format"], limits, allowed)
        answer = {
            "opcodes": found.opcodes,
            "globals": found.globals,
            "columns": found.columns,
            "findings": [finding.to_dict() for finding in found.findings],
        }
        sys.stdout.write(json.dumps(answer))


def confine(limits: Limits, permitted: frozenset[str] = frozenset()) -> None:
    """From here on: no new memory, files, processes, imports or anything else that Python audits, but what is ``permitted``."""
    _limit(resource.RLIMIT_AS, limits.memory)
    # The soft limit sends a signal that says which limit it was, the hard one a second later simply kills.
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _FEW_FILES)
    _limit(resource.RLIMIT_NPROC, 0)
    # Codecs are modules, imported on first use.
    for codec in ("raw-unicode-escape", "unicode-escape", "ascii", "utf-8"):
        "".encode(codec)

    def stop(event: str, _args: tuple[Any, ...]) -> None:
        if event not in permitted:
            raise Escape(f"the scan caused {event}")

    sys.addaudithook(stop)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    # macOS refuses some of these; the parent's wall clock and the caps in the scan itself hold there too.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft, soft if hard is None else hard))
