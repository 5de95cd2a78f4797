"""Check step 1: what a model file would import, found without importing anything, in a process with limits."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders.checks import child, names, report
from builders.checks.examine import READERS
from builders.checks.limits import Limits
from builders.checks.names import AllowList
from builders.checks.report import Finding, Refused


def scan(
    path: Path, declared_format: str, limits: Limits | None = None, *, own: Mapping[str, AllowList] | None = None
) -> dict[str, Any]:
    """Scan the model file at ``path`` and write the report.

    The declared format fixes how the file is read here and the only loader that will ever read it. Anything unexpected, a
    crash or a time-out of the child too, is a failed report.

    :param declared_format: one of `READERS`.
    :param own: names of the version's own code by its wheels' digests, allowed for this file only; `own_code.allow_lists`.
    :returns: a report; its facts are ``format``, ``opcodes``, ``globals`` (`module:qualname`, sorted: what the loader may
        import), ``columns`` (fitted on named columns, so that loading needs pandas), ``allow_list`` (digest of the list) and,
        with ``own``, ``own_code`` (digest of each wheel -> those of its names that the file imports).
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
        found = _examine(path, declared_format, limits, names.merge((own or {}).values()))
    except Refused as refused:
        return report.failed("scan", [refused.finding], facts)
    facts |= {key: found[key] for key in ("opcodes", "globals", "columns")}
    if own:
        facts["own_code"] = {
            digest: [label for label in found["globals"] if listed.knows(label)] for digest, listed in own.items()
        }
    findings = [Finding(**finding) for finding in found["findings"]]
    if findings:
        return report.failed("scan", findings, facts, summary=_summary(findings))
    count = len(found["globals"])
    mine = sum(map(len, facts.get("own_code", {}).values()))
    of_it = f", {mine} of them of its own code, the others on the list." if mine else ", all of them on the list."
    summary = f"The file imports {count} name{'' if count == 1 else 's'}{of_it}"
    if not count:
        summary = f"The file is {found['opcodes']} parts of plain {declared_format}: it imports nothing."
    return report.passed("scan", summary, facts)


def _examine(path: Path, declared: str, limits: Limits, own: AllowList) -> dict[str, Any]:
    if declared not in READERS:
        raise Refused(
            "unknown-format",
            f"The format {declared!r} is not read here; {', '.join(READERS)} are.",
            "Save the model with joblib.dump(model, 'model.joblib') and declare the format joblib.",
        )
    with tempfile.NamedTemporaryFile("w", prefix="countersign-names-", suffix=".json") as listed:
        json.dump(names.document(own), listed)
        listed.flush()
        return child.ask("scan_child", path, limits, format=declared, own=listed.name)


def _summary(findings: list[Finding]) -> str:
    if len(findings) == 1:
        return findings[0].message
    return f"{findings[0].message} {len(findings) - 1} more finding{'' if len(findings) == 2 else 's'} below."
