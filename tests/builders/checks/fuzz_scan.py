"""The program that atheris drives: bytes in, and nothing but findings out. The first byte chooses the format.

python -m tests.builders.checks.fuzz_scan CORPUS -max_total_time=SECONDS
"""

import io
import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["builders.checks"]):
    from builders.checks import names
    from builders.checks.examine import READERS, examine
    from builders.checks.limits import Limits

FORMATS = list(READERS)
LIMITS = Limits(file_size=1 << 20, inflated_size=1 << 20, opcodes=20_000)
ALLOWED = names.load()
_state = {"inside": False}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """While a file is read nothing may be imported, opened, compiled or started."""
    if _state["inside"]:
        _state["inside"] = False
        raise AssertionError(f"reading the file caused {event} {arguments!r:.200}")


def one(data: bytes) -> None:
    """Read one input; anything but an answer is a crash."""
    if not data:
        return
    declared = FORMATS[data[0] % len(FORMATS)]
    _state["inside"] = True
    found = examine(io.BytesIO(data[1:]), declared, LIMITS, ALLOWED)
    _state["inside"] = False
    assert all(finding.code and finding.message and finding.hint for finding in found.findings)
    known = all(ALLOWED.knows(label) for label in found.globals if ":" in label and not label.startswith("numpy"))
    assert found.findings or known or declared in ("joblib", "pickle"), found.globals


if __name__ == "__main__":
    for codec in ("raw-unicode-escape", "unicode-escape", "ascii", "utf-8", "latin-1"):
        "".encode(codec)
    sys.addaudithook(_watch)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
