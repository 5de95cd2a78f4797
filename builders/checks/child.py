"""Asks a process with limits what an untrusted file holds; that process has the standard library and this checkout only."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builders.checks import process
from builders.checks.limits import Limits
from builders.checks.report import Refused

_ROOT = Path(__file__).resolve().parents[2]
# Isolated, without site-packages, writing no pyc.
_START = (
    "import sys; sys.path.append(sys.argv[1]); from importlib import import_module; "
    "import_module('builders.checks.' + sys.argv[2]).main(sys.argv[3])"
)
_OUTPUT_CAP = 4 << 20


def ask(module: str, path: Path, limits: Limits, **request: Any) -> dict[str, Any]:
    """What ``main`` of the module, beside this one, printed as JSON of the file at ``path``.

    :param request: further members of what ``main`` is given, beside `path` and `limits`.
    :raises Refused: it broke off, or took longer than allowed.
    """
    asked = json.dumps({"path": str(path.resolve()), "limits": asdict(limits), **request})
    ended = process.run(
        [sys.executable, "-I", "-S", "-B", "-c", _START, str(_ROOT), module, asked],
        timeout=limits.wall_seconds,
        output_cap=_OUTPUT_CAP,
        env={},
    )
    if ended.timed_out or ended.returncode == -signal.SIGXCPU:
        raise Refused(
            "scan-timeout",
            f"Reading the file took longer than allowed ({limits.cpu_seconds} s of computing, {limits.wall_seconds} s in all).",
            "Leave out what is not needed for prediction and push again, or ask the operator for a higher limit.",
        )
    try:
        if ended.returncode or ended.flooded:
            raise ValueError
        answer: dict[str, Any] = json.loads(ended.stdout)
    except ValueError:
        raise Refused(
            "scan-crashed",
            f"The scan of the file broke off (status {ended.returncode}), so that nothing can be said about it.",
            "Write the file anew and push it. If it breaks off again, tell the operator: the file is kept.",
        ) from None
    return answer
