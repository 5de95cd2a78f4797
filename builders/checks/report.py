"""The report of a check step: what was found, in words for the person who must act on it.

Reports enter the release digest, so they hold no time, no host name and no path of the machine that wrote them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = "countersign.report/1"

Step = Literal["own-code", "scan", "lock", "introspect", "predict", "compile", "parity"]
Isolation = Literal["none", "process", "container"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``code`` is public and stable; ``hint`` says what to do next."""

    code: str
    message: str
    hint: str

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "hint": self.hint}


class Refused(Exception):
    """A check cannot pass; carries why."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.finding = Finding(code, message, hint)


def passed(step: Step, summary: str, facts: Mapping[str, Any], *, isolation: Isolation = "none") -> dict[str, Any]:
    return _report(step, "passed", summary, findings=(), facts=facts, isolation=isolation)


def failed(
    step: Step,
    findings: Iterable[Finding],
    facts: Mapping[str, Any] | None = None,
    *,
    summary: str = "",
    isolation: Isolation = "none",
) -> dict[str, Any]:
    """Write a failed report; without a ``summary`` the first finding's message is it.

    :param findings: at least one.
    """
    found = list(findings)
    return _report(step, "failed", summary or found[0].message, findings=found, facts=facts or {}, isolation=isolation)


def _report(
    step: Step,
    outcome: str,
    summary: str,
    *,
    findings: Iterable[Finding],
    facts: Mapping[str, Any],
    isolation: Isolation,
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "step": step,
        "outcome": outcome,
        "isolation": isolation,
        "summary": summary,
        "findings": [finding.to_dict() for finding in findings],
        "facts": dict(facts),
    }
