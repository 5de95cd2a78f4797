"""What the checks noticed beside a clean result, and which of it must be answered before an approval.

A notice is part of the report of the step that saw it, so that the release digest covers it. An answer is an entry of the
request's dossier that names the notice's code: the decision covers both.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from registry.orm.catalog import CheckReport

MUST_ANSWER = frozenset({"training-rows", "personal-data"})
"""Whose data a model holds is the requester's to explain; the other notices are for the reviewers to judge."""

TITLES = {
    "reads-path": "Reads files by paths in the rows",
    "cache-folder": "Keeps a cache folder",
    "names-callable": "Calls functions by name",
    "training-rows": "Keeps training rows",
    "personal-data": "May hold personal data",
    "file-use": "Used files when it was tried",
    "network-use": "Tried to use the network",
    "weak-isolation": "Tried under weak isolation",
}


@dataclass(frozen=True)
class Notice:
    """One thing that reviewers should know. ``code`` is stable, and there is one per code."""

    code: str
    message: str

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
