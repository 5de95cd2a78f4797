"""How bad a record says it is: CVSS vectors by the cvss library, else the word of the database that published it."""

from collections.abc import Iterable, Mapping
from typing import Any

from cvss import CVSS2, CVSS3, CVSS4
from cvss.exceptions import CVSSError

from registry.orm.advisory import Severity

KINDS = {"CVSS_V2": CVSS2, "CVSS_V3": CVSS3, "CVSS_V4": CVSS4}
WORDS = {
    "low": Severity.LOW,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "high": Severity.HIGH,
    "critical": Severity.CRITICAL,
}
MALICIOUS = "MAL-"
"""How the ids of packages begin that were made to do harm."""


def highest(severities: Iterable[Mapping[str, Any]]) -> float | None:
    """The highest base score of an OSV ``severity`` list; ``None`` without a vector that can be read."""
    scores = []
    for item in severities:
        kind = KINDS.get(item["type"])
        if kind is None:
            continue
        try:
            scores.append(float(kind(item["score"]).base_score))
        except CVSSError:  # of one vector: the others, and the database's word, still say how bad it is
            continue
    return max(scores, default=None)


def rating(identifier: str, score: float | None, stated: str) -> Severity:
    """The severity by base score (CVSS 3.1, "Qualitative Severity Rating Scale"), else as the database states it.

    A package that is malicious is critical whatever its record says; most say nothing.
    """
    if identifier.startswith(MALICIOUS):
        return Severity.CRITICAL
    if not score:
        return WORDS.get(stated.strip().lower(), Severity.UNRATED)
    for least, severity in ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM)):
        if score >= least:
            return severity
    return Severity.LOW
