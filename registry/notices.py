"""What the checks noticed beside a clean result, and which of it must be answered before an approval.

A notice is part of the report of the step that saw it, so that the release digest covers it. An answer is an entry of the
request's dossier that names the notice's code: the decision covers both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from registry.advisories import Standing
from registry.orm.catalog import CheckReport

MUST_ANSWER = frozenset(
    {"own-code", "training-rows", "personal-data", "advisories-unknown", "advisories-stale", "advisories-known"}
)
"""What code of its own a model runs, whose data it holds, and why libraries may do that nobody can call clean, is the requester's to explain; the
other notices are for the reviewers to judge."""

SHOWN = 10
"""Most advisories that one notice names."""

TITLES = {
    "own-code": "Brings code of its own",
    "reads-path": "Reads files by paths in the rows",
    "cache-folder": "Keeps a cache folder",
    "names-callable": "Calls functions by name",
    "training-rows": "Keeps training rows",
    "personal-data": "May hold personal data",
    "file-use": "Used files when it was tried",
    "network-use": "Tried to use the network",
    "weak-isolation": "Tried under weak isolation",
    "advisories-unknown": "Not compared with known vulnerabilities",
    "advisories-stale": "Compared with old advisories only",
    "advisories-known": "Libraries with known vulnerabilities",
}


@dataclass(frozen=True)
class Notice:
    """One thing that reviewers should know. ``code`` is stable, and there is one per code."""

    code: str
    message: str
    since: datetime | None = None
    """When what it says came in, where that can change after an answer: an earlier answer does not speak of it."""

    @property
    def title(self) -> str:
        return TITLES.get(self.code, self.code)

    @property
    def must_answer(self) -> bool:
        return self.code in MUST_ANSWER


def of_reports(reports: Iterable[CheckReport]) -> list[Notice]:
    """The notices of a version's reports, those to answer first."""
    found: list[Notice] = []
    for report in reports:
        facts = report.body.get("facts", {})
        found += [Notice(item["code"], item["message"]) for item in facts.get("notices", ())]
        if report.step == "introspect" and report.isolation == "process":
            message = (
                "The checks ran in a process of the worker's user, not in a container: what it did was less confined."
            )
            found.append(Notice("weak-isolation", message))
    return sorted(found, key=lambda notice: (not notice.must_answer, notice.code))


def of_all(reports: Iterable[CheckReport], standing: Standing | None) -> list[Notice]:
    """What the checks noticed and what is to be said of the libraries, those to answer first."""
    found = [*of_reports(reports), *(of_wheels(standing) if standing else ())]
    return sorted(found, key=lambda notice: (not notice.must_answer, notice.code))


def of_wheels(standing: Standing) -> list[Notice]:
    """What is to be answered of a version's libraries: nothing when they are clean."""
    bundle = standing.bundle
    if standing.state == "clean":
        return []
    if standing.state == "vulnerable":
        listed = "; ".join(f"{item.id} ({item.severity.word}) in {item.wheel}" for item in standing.open[:SHOWN])
        more = f"; and {len(standing.open) - SHOWN} more" if len(standing.open) > SHOWN else ""
        return [Notice("advisories-known", f"{listed}{more}.", standing.since)]
    if bundle is None:
        message = "No bundle of advisories was ever imported: what is known of its libraries was not looked up."
    elif standing.state == "unknown":
        message = "It has no lock, so that its exact libraries are not known."
    else:
        message = (
            f"The newest advisory that was imported is of {bundle.newest_at:%Y-%m-%d}, more than {bundle.stale_days} days "
            "ago: what came since is not known here."
        )
    return [Notice(f"advisories-{standing.state}", message, standing.since)]
