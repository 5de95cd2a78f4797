"""The code a version brings of its own, as its report has it, and how it differs from what was approved before."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from registry import checking
from registry.orm.catalog import ModelVersion
from registry.store import LocalStore

MOST_LINES = 2_000
"""Lines of a file on both sides up to which it is compared line by line: the time this takes grows with their product."""
LARGEST_FILE = 16 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file of an own wheel, by its path in it; size in bytes."""

    path: str
    digest: str
    size: int
    lines: int


@dataclass(frozen=True)
class OwnWheel:
    """A wheel of the version's own; ``source`` is `push` or `index`."""

    name: str
    version: str
    filename: str
    digest: str
    size: int
    source: str
    files: Sequence[SourceFile]


@dataclass(frozen=True)
class Changed:
    """A file that is new, changed or gone: how it was and is, either of which may be missing."""

    wheel: str
    path: str
    before: SourceFile | None
    after: SourceFile | None

    @property
    def word(self) -> str:
        if self.before is None:
            return "new"
        return "gone" if self.after is None else "changed"


@dataclass(frozen=True)
class FileDiff:
    """The lines of a unified diff of one file."""

    changed: Changed
    lines: Sequence[str]
    added: int
    removed: int


def wheels_of(version: ModelVersion | None) -> list[OwnWheel]:
    """The wheels of a version's own, by name; empty when it brings none, or none was accepted."""
    report = next((report for report in version.reports if report.step == checking.OWN_CODE), None) if version else None
    return [_wheel(item) for item in report.body["facts"].get("wheels", ())] if report else []


def _wheel(facts: dict[str, Any]) -> OwnWheel:
    files = [SourceFile(file["path"], file["sha256"], file["size"], file["lines"]) for file in facts["files"]]
    return OwnWheel(
        facts["name"], facts["version"], facts["filename"], facts["sha256"], facts["size"], facts["source"], files
    )


def changes(base: ModelVersion | None, version: ModelVersion) -> list[Changed]:
    """Files that differ between the own code of two versions, by wheel and path; all are new without a base."""
    before, after = _files(base), _files(version)
    return [
        Changed(*key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if _digest(before.get(key)) != _digest(after.get(key))
    ]


def _files(version: ModelVersion | None) -> dict[tuple[str, str], SourceFile]:
    """By wheel and path; the folder of its metadata is called the same in every version of a wheel."""
    found = {}
    for wheel in wheels_of(version):
        for file in wheel.files:
            top, slash, rest = file.path.partition("/")
            path = f"{wheel.name}.dist-info/{rest}" if slash and top.endswith(".dist-info") else file.path
            found[wheel.name, path] = file
    return found


def _digest(file: SourceFile | None) -> str | None:
    return file.digest if file else None


def diffs(store: LocalStore, changed: Sequence[Changed]) -> Iterator[FileDiff]:
    """The difference of each file, read from the store as it is asked for.

    :raises NotFound: the store has lost a file.
    """
    for item in changed:
        before, after = _lines(store, item.before), _lines(store, item.after)
        names = (item.path if item.before else "/dev/null", item.path if item.after else "/dev/null")
        if max(len(before), len(after)) <= MOST_LINES or not (before and after):
            lines = list(difflib.unified_diff(before, after, *names, lineterm=""))
        else:
            head = [f"--- {names[0]}", f"+++ {names[1]}", f"@@ -1,{len(before)} +1,{len(after)} @@ too long to compare"]
            lines = [*head, *(f"-{line}" for line in before), *(f"+{line}" for line in after)]
        yield FileDiff(
            item,
            lines,
            added=sum(line.startswith("+") for line in lines[2:]),
            removed=sum(line.startswith("-") for line in lines[2:]),
        )


def _lines(store: LocalStore, file: SourceFile | None) -> list[str]:
    return store.read(file.digest, limit=LARGEST_FILE).decode().splitlines() if file else []
