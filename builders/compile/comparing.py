"""Parity: the same rows through a compiled form as through the original. Labels equal, scores within a tolerance.

Every row is answered alone, in batches of 64, with all others, and among 1,000 rows: a form whose answer depends on the company
a row is in would otherwise pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from builders.compile.outputs import as_array
from serving import forms, tensors
from serving.tensors import Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MANY = 1000
_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class Rows:
    """Inputs with the original's answers, and inputs that it refuses. ``labels``: outputs that hold labels."""

    inputs: list[Tensor]
    expected: dict[str, Array]
    refused: list[Tensor]
    labels: frozenset[str]
    sample: int

    @property
    def count(self) -> int:
        return self.inputs[0].shape[0]

    @property
    def turned_away(self) -> int:
        return self.refused[0].shape[0] if self.refused else 0


def read(folder: Path) -> Rows:
    """The rows as the compiling program wrote them."""
    head, found = _unpack((folder / "answered.bin").read_bytes())
    refused = folder / "refused.bin"
    return Rows(
        found[: head["inputs"]],
        {tensor.name: as_array(tensor) for tensor in found[head["inputs"] :]},
        _unpack(refused.read_bytes())[1] if refused.is_file() else [],
        frozenset(item["name"] for item in head["outputs"] if item["label"]),
        head["sample"],
    )


def compare(folders: Sequence[Path], rows: Rows, tolerance: float) -> dict[str, Any]:
    """What the program prints: the rows' numbers, and for each candidate how far it is from the original."""
    counts = {"sample": rows.sample, "edge": rows.count - rows.sample, "refused": rows.turned_away}
    return {"rows": counts, "candidates": [_compare(folder, rows, tolerance) for folder in folders]}


def _compare(folder: Path, rows: Rows, tolerance: float) -> dict[str, Any]:
    held = _Held(rows, tolerance)
    try:
        form = forms.load(folder)
        for places in _ways(rows.count):
            held.against(places, form.answer(_pick(rows.inputs, places), list(rows.expected)))
        for place in range(rows.turned_away):
            try:
                form.answer(_pick(rows.refused, [place]), list(rows.expected))
            except forms.RowsNotTaken:
                continue
            held.tell(f"edge row {place} of those the original refuses is answered")
    except Exception as error:  # noqa: BLE001  # a form that fails on a row the original takes is no form of it
        held.tell(
            f"it fails on a row that the original answers ({type(error).__name__})"
        )  # its words may quote the row
    return held.to_dict()


def _ways(count: int) -> Iterator[list[int]]:
    """Places of the rows of each batch."""
    every = list(range(count))
    yield every
    yield [place % count for place in range(MANY)]
    for size in (1, 64):
        yield from (every[start : start + size] for start in range(0, count, size))


class _Held:
    """Differences as they are found."""

    def __init__(self, rows: Rows, tolerance: float) -> None:
        self._rows, self._tolerance = rows, tolerance
        self._unequal: set[int] = set()
        self._largest = 0.0
        self._problems: list[str] = []

    def tell(self, problem: str) -> None:
        if problem not in self._problems:
            self._problems.append(problem)

    def against(self, places: list[int], answered: Sequence[Tensor]) -> None:
        for tensor in answered:
            expected, found = self._rows.expected[tensor.name][places], as_array(tensor)
            if expected.shape != found.shape or expected.dtype.kind != found.dtype.kind:
                self.tell(f"{tensor.name} has another shape or type")
            elif tensor.name in self._rows.labels:
                for row in np.flatnonzero(expected != found):
                    self._unequal.add(places[row])
            else:
                self._scores(tensor.name, places, expected, found)

    def _scores(self, name: str, places: list[int], expected: Array, found: Array) -> None:
        same = (expected == found) | (np.isnan(expected) & np.isnan(found))
        with np.errstate(all="ignore"):
            apart = np.where(same, 0.0, np.abs(expected - found) / np.maximum(1.0, np.abs(expected)))
        apart = np.where(np.isnan(apart), np.inf, apart)
        worst = float(apart.max())
        self._largest = max(self._largest, worst)
        if worst > self._tolerance:
            row = places[int(np.unravel_index(apart.argmax(), apart.shape)[0])]
            self.tell(f"{name} of row {row} is off by more than the tolerance")

    def to_dict(self) -> dict[str, Any]:
        labels = None
        if self._rows.labels:
            labels = {"equal": self._rows.count - len(self._unequal), "of": self._rows.count}
            if self._unequal:
                self.tell(f"another label for row {min(self._unequal)}")
        return {
            "equal": not self._problems,
            "labels": labels,
            "largest": self._largest if np.isfinite(self._largest) else None,
            "problems": self._problems[:_MOST_PROBLEMS],
        }


def _unpack(data: bytes) -> tuple[dict[str, Any], list[Tensor]]:
    start = tensors.FRAME.size
    end = start + tensors.FRAME.unpack(data[:start])[0]
    return tensors.unpack(data[start:end], data[end:])


def _pick(inputs: Sequence[Tensor], places: Sequence[int]) -> list[Tensor]:
    """The rows of ``inputs`` at ``places``, as a request with these rows would hold them."""
    return [_pick_one(tensor, places) for tensor in inputs]


def _pick_one(tensor: Tensor, places: Sequence[int]) -> Tensor:
    shape = (len(places), *tensor.shape[1:])
    missing = set(tensor.nulls)
    nulls = tuple(row for row, place in enumerate(places) if place in missing)
    if tensor.datatype == "BYTES":
        elements = list(tensors.elements_of(tensor.data))
        data = tensors.join_elements(bytes(elements[place]) for place in places)
    else:
        data = tensors.to_array(tensor)[list(places)].tobytes()
    return Tensor(tensor.name, tensor.datatype, shape, data, nulls)
