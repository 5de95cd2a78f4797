"""Sample rows and the answers that were approved with them: as a request, and compared with what a model answers now."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formats.manifest import Model
from formats.signature import Signature
from serving.errors import Refusal

FILE = "sealed.json"
TOLERANCE = 1e-6  # relative, and absolute around 0: sums in another order may differ in their last bits
SHOWN = 5  # differences listed; more are counted


@dataclass(frozen=True, slots=True)
class Approved:
    """Rows by column, and per output the answers, one per row.

    :param columns: order of the columns, which a matrix needs; by default that of the first row's keys.
    """

    rows: list[dict[str, Any]]
    answers: dict[str, list[Any]]
    columns: list[str]

    @classmethod
    def from_dict(cls, value: Any, place: str) -> "Approved":
        """:raises Refusal: ``value`` is not `{"rows": [{column: value}], "answers": {output: [answer per row]}}`."""
        try:
            rows, answers = list(value["rows"]), dict(value["answers"])
            columns = list(value.get("columns") or rows[0])
            fits = all(set(row) == set(columns) for row in rows) and all(len(a) == len(rows) for a in answers.values())
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            fits = False
        if not fits or not answers:
            raise Refusal(f"{place}: expected rows with the same columns, and for every output one answer per row")
        return cls(rows, answers, columns)

    def request(self, signature: Signature) -> dict[str, Any]:
        """An inference request of the protocol, as JSON, for exactly the outputs that were approved."""
        count = len(self.rows)
        if signature.layout == "matrix":
            values = [
                [float(row[name]) if isinstance(row[name], bool) else row[name] for name in self.columns]
                for row in self.rows
            ]
            data = [{"name": "input", "datatype": "FP64", "shape": [count, len(self.columns)], "data": values}]
        else:
            data = [
                {
                    "name": item.name,
                    "datatype": item.datatype,
                    "shape": [count],
                    "data": [row.get(item.name) for row in self.rows],
                }
                for item in signature.inputs
            ]
        return {"inputs": data, "outputs": [{"name": name} for name in self.answers]}

    def differences(self, answers: dict[str, list[Any]]) -> list[str]:
        """What differs from the approved answers, in words; ``answers`` nested or flat, as the protocol has them."""
        found = []
        for name, expected in self.answers.items():
            approved, now = _flat(expected), _flat(answers.get(name, []))
            if len(approved) != len(now):
                found.append(f"{name} has {len(now)} values, approved were {len(approved)}")
                continue
            width = max(1, len(approved) // len(self.rows))
            found += [
                f"{name} of row {place // width} is {b!r}, approved was {a!r}"
                for place, (a, b) in enumerate(zip(approved, now, strict=True))
                if not _same(a, b)
            ]
        return found if len(found) <= SHOWN else [*found[:SHOWN], f"and {len(found) - SHOWN} more"]


def sealed(folder: Path, model: Model) -> Approved | None:
    """The rows sealed with ``model``; None when its sample may not travel (it was not declared synthetic).

    :raises Refusal: the file is not of its format.
    """
    if FILE not in {file.path for file in model.files}:
        return None
    path = folder / FILE
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise Refusal(f"{path}: not JSON: {error}") from None
    return Approved.from_dict(value, str(path))


def _flat(values: list[Any]) -> list[Any]:
    return [item for row in values for item in (row if isinstance(row, list) else [row])]


def _same(approved: Any, now: Any) -> bool:
    """Equal; for floats, within the tolerance. True is not 1, and 1 is not 1.0 only where one of them is a label's text."""
    if (
        isinstance(approved, bool)
        or isinstance(now, bool)
        or isinstance(approved, str)
        or approved is None
        or now is None
    ):
        return type(approved) is type(now) and approved == now
    if isinstance(approved, int) and isinstance(now, int):
        return approved == now
    return isinstance(now, int | float) and math.isclose(approved, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
