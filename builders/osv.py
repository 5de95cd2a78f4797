"""Reading a bundle of OSV records, ``all.zip`` of the PyPI ecosystem as osv.dev publishes it.

Entries are read one after another and only what an evaluation needs is kept, so that memory is bounded by the number of
records. Withdrawn records are left out; a record that cannot be understood refuses the whole bundle, by name: what it
would have said is not known. Records that name each other as aliases are merged to one advisory.
Source: Open Source Vulnerability format, schema 1.7, "affected[] fields" and "Evaluation".
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from packaging.utils import canonicalize_name

from builders import cvss_scores
from builders.jobs import JobFailed
from registry.importing import Affected, Contents, Record
from registry.matching import Range, covers, order

ECOSYSTEM = "PyPI"
MAX_RECORDS = 200_000
MAX_RECORD = 8 << 20
"""Bytes of one record; the largest of osv.dev list some thousand versions."""
MAX_TOTAL = 8 << 30
"""Bytes of all records."""
NAMED = 20
"""Most faulty records that are named."""


def _bad(message: str, *, hint: str) -> JobFailed:
    return JobFailed("bad-advisory-bundle", message, hint=hint)


def read(file: BinaryIO) -> Contents:
    """Everything in a bundle.

    :raises JobFailed: not a zip, too large, without records of PyPI, or with records that cannot be understood.
    """
    records: list[Record] = []
    faults: list[tuple[str, str]] = []
    try:
        with zipfile.ZipFile(file) as archive:
            for name, data in _entries(archive):
                try:
                    record = parse(json.loads(data))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                    faults.append((name, str(error)[:200] or type(error).__name__))
                    continue
                if record is not None:
                    records.append(record)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _bad(
            f"the file is not a zip that can be read: {error}", hint="Send all.zip of the PyPI ecosystem as it is."
        ) from None
    if faults:
        listed = "; ".join(f"{name}: {what}" for name, what in faults[:NAMED])
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise _bad(
            f"{len(faults)} records cannot be understood: {listed}{more}",
            hint="Nothing was taken over. Fetch the bundle again, or leave these records out.",
        )
    if not records:
        raise _bad(f"no record in it is about {ECOSYSTEM}", hint="Send the bundle of that ecosystem, not of another.")
    newest_at = max(record.modified_at for record in records)
    return Contents(len(records), newest_at, list(merged(records)))


def _entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """The JSON files of the archive, each bounded whatever its header says."""
    infos = [info for info in archive.infolist() if info.filename.endswith(".json") and not info.is_dir()]
    if len(infos) > MAX_RECORDS:
        raise _bad(f"it has {len(infos)} records, at most {MAX_RECORDS} are read", hint="Send one ecosystem only.")
    total = 0
    for info in infos:
        with archive.open(info) as entry:
            data = entry.read(MAX_RECORD + 1)
        total += len(data)
        if len(data) > MAX_RECORD or total > MAX_TOTAL:
            raise _bad(
                f"{info.filename} is where it becomes too large: {MAX_RECORD} bytes a record, {MAX_TOTAL} in all",
                hint="Send the bundle as it was published.",
            )
        yield info.filename, data


def parse(record: Any) -> Record | None:
    """One OSV record; ``None`` when it was withdrawn or is about other ecosystems.

    :raises ValueError: it is not what the schema says (or TypeError, KeyError, AttributeError).
    """
    identifier = _text(record["id"], "id", most=80)
    modified = _moment(record["modified"])
    packages: dict[str, Affected] = {}
    severities = list(record.get("severity") or ())
    for affected in record.get("affected") or ():
        package = affected.get("package") or {}
        if package.get("ecosystem", "").partition(":")[0] != ECOSYSTEM:
            continue
        name = canonicalize_name(_text(package["name"], "package name", most=200))
        found = _affected(affected)
        before = packages.get(name)
        packages[name] = union(before, found) if before else found
        severities += affected.get("severity") or ()
    if record.get("withdrawn") or not packages:
        return None
    score = cvss_scores.highest(severities)
    stated = str((record.get("database_specific") or {}).get("severity") or "")
    return Record(
        id=identifier,
        aliases=frozenset(_text(alias, "alias", most=80) for alias in record.get("aliases") or ()) - {identifier},
        summary=str(record.get("summary") or record.get("details") or "").strip().partition("\n")[0][:300],
        severity=cvss_scores.rating(identifier, score, stated),
        score=score,
        modified_at=modified,
        packages=packages,
    )


def _affected(affected: Mapping[str, Any]) -> Affected:
    ranges: list[Range] = []
    for given in affected.get("ranges") or ():
        if given["type"] == "ECOSYSTEM":
            ranges += _ranges(given["events"])
        elif given["type"] not in ("GIT", "SEMVER"):
            raise ValueError(f"unknown type of range {given['type']!r}")
    versions = affected.get("versions") or []
    if not isinstance(versions, list):
        raise TypeError("versions is not a list")
    named = {_text(version, "version", most=100) for version in versions}
    if not ranges and not named:
        # Only commits are given, or nothing: which releases hold them is not said, so all of them may.
        ranges = [Range("0", None, None)]
    return Affected(tuple(ranges), frozenset(version for version in named if not covers(ranges, version)))


def _ranges(events: Sequence[Mapping[str, str]]) -> Iterator[Range]:
    """Pairs of events: introduced, and where it ends."""
    begun: str | None = None
    if not events:
        raise ValueError("a range without events")
    for kind, value in _in_order(events):
        if kind == "introduced":
            if begun is not None:
                yield Range(begun, None, None)
            begun = value
        elif kind in ("fixed", "last_affected"):
            yield Range(begun or "0", value if kind == "fixed" else None, value if kind == "last_affected" else None)
            begun = None
        elif kind != "limit":
            raise ValueError(f"unknown event {kind!r}")
    if begun is not None:
        yield Range(begun, None, None)


def _in_order(events: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Events by version, as the schema evaluates them; as they stand where one of their versions has no order."""
    given = [(kind, _text(value, kind, most=100)) for event in events for kind, value in event.items()]
    orders = {value: order(value) for _, value in given}
    if not all(orders.values()):
        return given
    ranks = {"fixed": 0, "introduced": 1, "last_affected": 2}
    return sorted(given, key=lambda item: (item[1] != "0", orders[item[1]], ranks.get(item[0], 3)))


def union(one: Affected, other: Affected) -> Affected:
    """What either says."""
    return Affected(tuple(dict.fromkeys((*one.ranges, *other.ranges))), one.versions | other.versions)


def merged(records: Sequence[Record]) -> Iterator[Record]:
    """Records that share a name become one advisory: PyPA's and GitHub's of the same CVE are not two vulnerabilities."""
    leader: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := leader.setdefault(name, name)) != name:
            leader[name] = leader[above]
            name = above
        return name

    for record in records:
        for alias in record.aliases:
            leader[root(alias)] = root(record.id)
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(root(record.id), []).append(record)
    for group in groups.values():
        yield _one(sorted(group, key=lambda record: (not record.id.startswith("GHSA-"), record.id)))


def _one(group: Sequence[Record]) -> Record:
    first = group[0]
    if len(group) == 1:
        return first
    packages: dict[str, Affected] = {}
    for record in group:
        for name, affected in record.packages.items():
            packages[name] = union(packages[name], affected) if name in packages else affected
    return replace(
        first,
        aliases=frozenset().union(*(record.aliases | {record.id} for record in group)) - {first.id},
        summary=next((record.summary for record in group if record.summary), ""),
        severity=max(record.severity for record in group),
        score=max((record.score for record in group if record.score is not None), default=None),
        modified_at=max(record.modified_at for record in group),
        packages=packages,
    )


def _text(value: Any, what: str, *, most: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise ValueError(f"{what} is {value!r:.80}, not a text of 1 to {most} characters")
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value, "modified", most=40))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
