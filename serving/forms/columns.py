"""The stage before a core that takes numbers: from input tensors to one float64 matrix, as the fitted preprocessing does it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from serving.tensors import Tensor, to_strings, view

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Cells: TypeAlias = Array | list[str | None]


class RowsNotTaken(ValueError):
    """The original refuses rows like these, so the compiled form does."""


class Columns:
    """``blocks`` side by side make the matrix; None means the inputs as they are."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self._limits = arrays.get("limits")
        # Above the largest float64 there is only infinity, and that is looked for in half the time.
        self._are_infinite = self._limits is not None and bool((self._limits == np.finfo(np.float64).max).all())
        self._blocks = None
        if spec["blocks"] is not None:
            self._blocks = [
                Numbers(block, arrays) if block["kind"] == "numbers" else Codes(block) for block in spec["blocks"]
            ]

    def __call__(self, inputs: Sequence[Tensor]) -> Array:
        """:raises RowsNotTaken: a value the original refuses."""
        if len(inputs[0].shape) == 2:
            matrix = view(inputs[0])
            self._check(matrix)
            if self._blocks is None:
                return matrix
            return _side_by_side([block(matrix.T) for block in self._blocks])
        cells = [_cells(tensor) for tensor in inputs]
        if self._limits is not None:
            self._check(_stack([column for column in cells if not isinstance(column, list)]))
        if self._blocks is None:
            return _stack(cells)
        return _side_by_side([block(cells) for block in self._blocks])

    def _check(self, matrix: Array) -> None:
        if self._limits is None:
            return
        beyond = np.isinf(matrix) if self._are_infinite else np.abs(matrix) > self._limits
        if np.count_nonzero(beyond):
            raise RowsNotTaken("a number is infinite, or too large for this model")


class Numbers:
    """Columns that stay numbers: filled, shifted and scaled."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self._inputs = spec["inputs"]
        self._are_first = self._inputs == list(range(len(self._inputs)))
        self._steps = [_step(_OPERATIONS[step["do"]], arrays[step["with"]]) for step in spec["steps"]]

    def __call__(self, cells: "Sequence[Cells] | Array") -> Array:
        matrix = self._matrix(cells)
        for do, operand in self._steps:
            matrix = do(matrix, operand)
        return matrix

    def _matrix(self, cells: "Sequence[Cells] | Array") -> Array:
        if self._are_first and len(cells) == len(self._inputs) and isinstance(cells, np.ndarray):
            return np.asarray(cells.T, dtype=np.float64)  # the matrix as it came, rows first: no copy of a large one
        return _stack([cells[place] for place in self._inputs])


def _fill(matrix: Array, values: Array) -> Array:
    return np.where(np.isnan(matrix), values, matrix)


def _flag_missing(matrix: Array, columns: Array) -> Array:
    """Beside the columns as they are, one for each of ``columns``: 1 where its value is missing."""
    return np.hstack([matrix, np.isnan(matrix[:, columns]).astype(np.float64)])


def _apply(matrix: Array, function: Array) -> Array:
    return _FUNCTIONS[str(function)](matrix)


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "log1p": np.log1p,
    "expm1": np.expm1,
    "log": np.log,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "square": np.square,
    "abs": np.abs,
    "absolute": np.abs,
}
_OPERATIONS: dict[str, Callable[[Array, Array], Array]] = {
    "fill": _fill,
    "flag": _flag_missing,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "at_least": np.maximum,
    "at_most": np.minimum,
    "apply": _apply,
}


def _step(do: Callable[[Array, Array], Array], operand: Array) -> tuple[Callable[[Array, Array], Array], Array]:
    """``operand`` as a row, where that is all the same: with a row like itself numpy takes half the time."""
    return do, np.atleast_2d(operand) if isinstance(do, np.ufunc) else operand


class Codes:
    """A column of categories: to a place among ``width`` zeros, or with ``width`` 0 to a number of its own.

    ``missing`` and ``unknown`` are what a null and a category not in ``keys`` become; None refuses the row, -1 marks no place.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._input = spec["input"]
        self._known = dict(zip(spec["keys"], spec["codes"], strict=True))
        self._width = spec["width"]
        self._missing = spec["missing"]
        self._unknown = spec["unknown"]

    def __call__(self, cells: "Sequence[Cells] | Array") -> Array:
        column = cells[self._input]
        values = column if isinstance(column, list) else column.tolist()
        codes = [self._known.get(value, self._unknown) for value in values]
        for row, value in enumerate(values):
            if value is None or value != value:  # noqa: PLR0124  # NaN
                codes[row] = self._missing
        if None in codes:
            shown = values[codes.index(None)]
            what = "a missing value" if shown is None or shown != shown else f"the category {str(shown)[:40]!r}"  # noqa: PLR0124
            raise RowsNotTaken(f"{what} is not among those this model was trained with")
        if self._width == 0:
            return np.array([math.nan if code == "missing" else code for code in codes], dtype=np.float64)[:, None]
        matrix = np.zeros((len(codes), self._width))
        for row, code in enumerate(codes):
            if code >= 0:
                matrix[row, code] = 1.0
        return matrix


def _cells(tensor: Tensor) -> Cells:
    if tensor.datatype == "BYTES":
        return to_strings(tensor)
    array = view(tensor)
    if tensor.nulls:
        array = array.astype(np.float64)
        array[list(tensor.nulls)] = math.nan
    return array


def _stack(columns: Sequence[Any]) -> Array:
    """One float64 matrix of ``columns``, row-major as cores want it."""
    matrix = np.empty((len(columns[0]), len(columns)))
    for place, column in enumerate(columns):
        matrix[:, place] = column
    return matrix


def _side_by_side(blocks: list[Array]) -> Array:
    return blocks[0] if len(blocks) == 1 else np.hstack(blocks)
