"""The sample rows of a version, `sample.jsonl`: judged here before anything foreign runs on them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from builders.checks.report import Finding
from formats import canonical

MOST_ROWS = 1000
_MOST_COLUMNS = 10_000
_MOST_BYTES = 64 << 20
_LONGEST_TEXT = 1 << 20  # characters of one value
_LONGEST_NAME = 256
_MOST_FINDINGS = 20

_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Sample:
    """Rows that are plain JSON, all with the same keys; or what is wrong with them."""

    rows: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0]) if self.rows else []

    @property
    def needs_frame(self) -> bool:
        """Whether these rows can only reach an estimator as a DataFrame: text beside other columns."""
        texts = any(isinstance(value, str) for row in self.rows for value in row.values())
        return texts and self.columns != ["text"]

    @property
    def data(self) -> bytes:
        """The rows again, one JSON object per line: what the sandbox gets is what was judged.

        Not canonical JSON, which would sort the columns and make 1.0 a whole number.
        """
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in self.rows)


def read(data: bytes) -> Sample:
    """Judge the bytes of a `sample.jsonl`."""
    if len(data) > _MOST_BYTES:
        return _refused(
            "sample-too-large",
            f"sample.jsonl has {len(data)} bytes; {_MOST_BYTES} are allowed.",
            "Send fewer rows: some tens that cover the usual cases are enough.",
        )
    rows: list[dict[str, Any]] = []
    findings: list[Finding] = []
    # By line feed only: JSON text may hold the other characters that splitlines() takes for an end.
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        row, problem = _row(line)
        if problem is None and rows and row.keys() != rows[0].keys():
            problem = _other_columns(row, rows[0])
        if problem is not None:
            findings.append(Finding("sample-row", f"Line {number} of sample.jsonl {problem}.", _ROW_HINT))
        rows.append(row)
        if len(rows) > MOST_ROWS or len(findings) >= _MOST_FINDINGS:
            break
    if len(rows) > MOST_ROWS:
        return _refused(
            "sample-too-many",
            f"sample.jsonl has more than {MOST_ROWS} rows.",
            f"Send 1 to {MOST_ROWS}; some tens that cover the usual cases are enough.",
        )
    if not rows:
        return _refused("sample-empty", "sample.jsonl has no rows.", _ROW_HINT)
    return Sample((), tuple(findings)) if findings else Sample(_in_one_order(rows), ())


_ROW_HINT = (
    'Write one JSON object per line with the same keys on each, as {"amount": 12.5, "region": "north"}; a text model has the one '
    'key "text".'
)


def _row(line: bytes) -> tuple[dict[str, Any], str | None]:
    try:
        row = canonical.loads(line)
    except canonical.CanonicalError as error:
        return {}, f"cannot be read: {str(error)[:200]}"
    if not isinstance(row, dict) or not row:
        return {}, "is not an object with a key per column"
    if len(row) > _MOST_COLUMNS:
        return {}, f"has {len(row)} columns; {_MOST_COLUMNS} are allowed"
    for name, value in row.items():
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            return {}, f"has a column whose name is empty, too long or not printable: {name[:40]!r}"
        if not isinstance(value, _SCALARS) or (isinstance(value, float) and not math.isfinite(value)):
            return (
                {},
                f"has a {type(value).__name__} in column {name!r}; a value is text, a number, true, false or null",
            )
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            return {}, f"has {len(value)} characters in column {name!r}; {_LONGEST_TEXT} are allowed"
    return row, None


def _other_columns(row: dict[str, Any], first: dict[str, Any]) -> str:
    odd = sorted(row.keys() ^ first.keys())
    return f"has other columns than the first row: {', '.join(repr(name) for name in odd[:5])}"


def _in_one_order(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    # A model without column names takes the columns in the order of the first row.
    return tuple({name: row[name] for name in rows[0]} for row in rows)


def _refused(code: str, message: str, hint: str) -> Sample:
    return Sample((), (Finding(code, message, hint),))
