"""Check step 1: what a model file would import, found without importing anything, in a process with limits."""

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from builders.checks import names, process, report
from builders.checks.examine import READERS
from builders.checks.limits import Limits
from builders.checks.report import Finding, Refused

_ROOT = Path(__file__).resolve().parents[2]
# Isolated, without site-packages, writing no pyc: the child finds the standard library and this checkout, nothing else.
_START = "import sys; sys.path.append(sys.argv[1]); from builders.checks.scan_child import main; main(sys.argv[2])"
_OUTPUT_CAP = 4 << 20


def scan(path: Path, declared_format: str, limits: Limits | None = None) -> dict[str, Any]:
    """Scan the model file at ``path`` and write the report.

    The declared format fixes how the file is read here and the only loader that will ever read it. Anything unexpected, a
    crash or a time-out of the child too, is a failed report.

    :param declared_format: one of `READERS`.
    :returns: a report; its facts are ``format``, ``opcodes``, ``globals`` (`module:qualname`, sorted: what the loader may
        import), ``columns`` (fitted on named columns, so that loading needs pandas) and ``allow_list`` (digest of the list).
    """
    limits = limits or Limits()
    facts: dict[str, Any] = {
        "format": declared_format,
        "opcodes": 0,
        "globals": [],
        "columns": False,
        "allow_list": names.load().digest,
    }
    try:
        found = _examine(path, declared_format, limits)
    except Refused as refused:
        return report.failed("scan", [refused.finding], facts)
    facts |= {key: found[key] for key in ("opcodes", "globals", "columns")}
    findings = [Finding(**finding) for finding in found["findings"]]
    if findings:
        return report.failed("scan", findings, facts, summary=_summary(findings))
    count = len(found["globals"])
    summary = f"The file imports {count} name{'' if count == 1 else 's'}, all of them on the list."
    if not count:
        summary = f"The file is {found['opcodes']} parts of plain {declared_format}: it imports nothing."
    return report.passed("scan", summary, facts)


def _examine(path: Path, declared: str, limits: Limits) -> dict[str, Any]:
    if declared not in READERS:
        raise Refused(
            "unknown-format",
            f"The format {declared!r} is not read here; {', '.join(READERS)} are.",
            "Save the model with joblib.dump(model, 'model.joblib') and declare the format joblib.",
        )
    request = json.dumps({"path": str(path.resolve()), "format": declared, "limits": asdict(limits)})
    ended = process.run(
        [sys.executable, "-I", "-S", "-B", "-c", _START, str(_ROOT), request],
        timeout=limits.wall_seconds,
        output_cap=_OUTPUT_CAP,
        env={},
    )
    if ended.timed_out or ended.returncode == -signal.SIGXCPU:
        raise Refused(
            "scan-timeout",
            f"Reading the file took longer than allowed ({limits.cpu_seconds} s of computing, {limits.wall_seconds} s in all).",
            "Drop what prediction does not need and push again, or ask the operator for a higher limit.",
        )
    try:
        if ended.returncode or ended.flooded:
            raise ValueError
        answer: dict[str, Any] = json.loads(ended.stdout)
    except ValueError:
        raise Refused(
            "scan-crashed",
            f"The scan of the file broke off (status {ended.returncode}), so that nothing can be said about it.",
            "Save the model again and push that file. If it breaks off again, tell the operator: the file is kept.",
        ) from None
    return answer


def _summary(findings: list[Finding]) -> str:
    if len(findings) == 1:
        return findings[0].message
    return f"{findings[0].message} {len(findings) - 1} more finding{'' if len(findings) == 2 else 's'} below."
