"""Cores: what computes. A linear map and tables of leaves here, trees and graphs by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from serving.forms.text import Text
from serving.tensors import Tensor

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Graph: TypeAlias = Path | bytes


def session(graph: Graph) -> Any:
    """An ONNX Runtime session with one thread, so that sums are taken in one order, on one core."""
    import onnxruntime  # noqa: PLC0415  # forms of arrays need it not, and start in half the time without

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
    )


class Linear:
    """Rows times ``coef`` [features, k], plus ``intercept`` [k]."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._coef = arrays["coef"]
        self._intercept = np.atleast_2d(arrays["intercept"])  # as a row, see columns

    def of_matrix(self, matrix: Array) -> Array:
        return np.asarray(matrix @ self._coef + self._intercept)

    def of_text(self, text: Text, inputs: Sequence[Tensor]) -> Array:
        return np.asarray(sum(terms.times(self._coef) for terms in text(inputs)) + self._intercept)


class Centres(Linear):
    """Squared distances to each centre but for the row's own square, which comes as the last column."""

    def of_matrix(self, matrix: Array) -> Array:
        return np.column_stack([super().of_matrix(matrix), (matrix**2).sum(axis=1)])

    def of_text(self, text: Text, inputs: Sequence[Tensor]) -> Array:
        found = text(inputs)
        scores = sum(terms.times(self._coef) for terms in found) + self._intercept
        return np.column_stack([scores, sum(terms.squares() for terms in found)])


class Kernel:
    """A linear map over how near a row is to each of the support vectors."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self._support = arrays["support"]
        self._squares = (self._support**2).sum(axis=1)
        self._near = {"rbf": self._rbf, "poly": self._poly, "sigmoid": self._sigmoid, "linear": self._dot}[
            spec["kernel"]
        ]
        self._gamma, self._shift, self._degree = spec["gamma"], spec["coef0"], spec["degree"]
        self._linear = Linear(arrays)

    def of_matrix(self, matrix: Array) -> Array:
        return self._linear.of_matrix(self._near(matrix))

    def _dot(self, matrix: Array) -> Array:
        return np.asarray(matrix @ self._support.T)

    def _rbf(self, matrix: Array) -> Array:
        apart = (matrix**2).sum(axis=1)[:, None] + self._squares - 2.0 * self._dot(matrix)
        return np.asarray(np.exp(-self._gamma * np.maximum(apart, 0.0)))

    def _poly(self, matrix: Array) -> Array:
        return np.asarray((self._gamma * self._dot(matrix) + self._shift) ** self._degree)

    def _sigmoid(self, matrix: Array) -> Array:
        return np.asarray(np.tanh(self._gamma * self._dot(matrix) + self._shift))


class Trees:
    """A TreeEnsemble graph in float64. With ``table``, the graph names the leaf of each tree, and the table holds the leaves."""

    def __init__(self, spec: Mapping[str, Any], arrays: Mapping[str, Array], graph: Graph) -> None:
        self._run = session(graph).run
        self._single, self._nought = spec["single"], spec["nought"]
        self._table = arrays.get("table")
        self._start = arrays["start"]
        self._divisor, self._isolation, self._offset = spec["divisor"], spec["isolation"], spec["offset"]

    def of_matrix(self, matrix: Array) -> Array:
        if self._single:  # the original compares in float32
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32).astype(np.float64)
        if self._nought is not None:  # the original takes what is so near to 0 for 0
            matrix = np.where(np.abs(matrix) <= self._nought, 0.0, matrix)
        (found,) = self._run(None, {"x": matrix})
        scores = found if self._table is None else self._table[found.astype(np.intp)].sum(axis=1)
        if self._isolation is not None:  # the mean depth at which a row stands alone, against that of any row
            return np.asarray(-(2.0 ** (-scores / self._isolation)) - self._offset)
        return np.asarray(self._start + scores / self._divisor)


class Graphs:
    """Graphs that end in the outputs themselves."""

    def __init__(self, outputs: Sequence[Mapping[str, Any]], graphs: Mapping[str, Graph]) -> None:
        self._sessions = {name: session(graphs[name]) for name in sorted({item["file"] for item in outputs})}

    def output(self, spec: Mapping[str, Any], matrix: Array) -> Array:
        (found,) = self._sessions[spec["file"]].run([spec["node"]], {"x": matrix})
        array = np.asarray(found)
        if spec["take"] == "last":
            return np.asarray(array.reshape(len(matrix), -1)[:, -1])
        return array.reshape(len(matrix), -1) if spec["take"] == "rows" else array
