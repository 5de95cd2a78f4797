"""Models whose format is data, as the runner calls an estimator: ONNX, LightGBM's text, XGBoost's JSON. And skops' trust list.

Loaded by the runner from its folder, in the model's own environment: standard library and numpy, and each function imports
the one library that reads its format. What a library itself answers is passed on as it is.
"""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

SKOPS_FLOOR = (0, 13)  # older ones build a bound method or an operator that a file names (CVE-2025-54412, -54413)


class Untrusted(Exception):
    """The file asks for a name that its scan did not find, or the library that reads it cannot be trusted with it."""


def load_skops(path: Path, allowed: frozenset[str]) -> Any:
    """:raises Untrusted: a name outside of ``allowed`` (`module:qualname`), which skops might trust by itself."""
    from skops import __version__ as version  # noqa: PLC0415  # the model's own library
    from skops import io  # noqa: PLC0415

    if tuple(int(part) for part in version.split(".")[:2]) < SKOPS_FLOOR:
        raise Untrusted(f"skops {version} builds what it should refuse; use 0.13 or newer")
    with zipfile.ZipFile(path) as archive:
        pending: list[Any] = [json.loads(archive.read("schema.json"))]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            pending += part.values()
            label = f"{part.get('__module__')}:{part.get('__class__')}"
            if "__loader__" in part and label not in allowed and label not in _PLAIN:
                raise Untrusted(f"the file asks for {label}, which is not on its allow-list")
        elif isinstance(part, list):
            pending += part
    return io.load(path, trusted=[label.replace(":", ".") for label in sorted(allowed)])


_PLAIN = {f"builtins:{name}" for name in ("str", "dict", "list", "tuple", "set", "slice")} | {
    f"numpy:{name}"
    for name in (
        *("ndarray", "bool", "bool_", "str_", "bytes_", "datetime64", "timedelta64", "complex64", "complex128"),
        *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *("float16", "float32", "float64"),
    )
}
"""What skops makes of Python's and NumPy's own, which the scan does not list as names."""


class OnnxModel:
    """An ONNX graph. `predict` is its first output, `predict_proba` the second where it has one of scores."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort  # noqa: PLC0415  # the model's own library

        options = ort.SessionOptions()
        # One thread, so that sums are taken in the same order; and silence, because standard output is the answer.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # From bytes, not from the path: nothing beside the file is ever looked for.
        self._session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        self._inputs = self._session.get_inputs()
        self._outputs = [item.name for item in self._session.get_outputs()][:2]
        if len(self._inputs) > 1:
            self.feature_names_in_ = np.array([item.name for item in self._inputs], dtype=object)
        elif len(self._inputs[0].shape or ()) == 2 and isinstance(self._inputs[0].shape[1], int):
            self.n_features_in_ = self._inputs[0].shape[1]
        if len(self._outputs) > 1:
            self.predict_proba = self._scores

    def predict(self, rows: Any) -> Any:
        answer = np.asarray(self._session.run(self._outputs[:1], self._feed(rows))[0])
        return answer[:, 0] if answer.ndim == 2 and answer.shape[1] == 1 else answer

    def _scores(self, rows: Any) -> Any:
        answer = self._session.run(self._outputs[1:], self._feed(rows))[0]
        if isinstance(answer, list) and answer and isinstance(answer[0], dict):  # a ZipMap: one dict a row
            self.classes_ = np.array(list(answer[0]))
            return np.array([list(row.values()) for row in answer])
        return np.asarray(answer)

    def _feed(self, rows: Any) -> dict[str, Any]:
        if len(self._inputs) > 1:
            columns = {item.name: np.asarray(rows[item.name]).reshape(-1, 1) for item in self._inputs}
        elif hasattr(rows, "columns"):
            columns = {self._inputs[0].name: rows.to_numpy()}
        else:
            array = np.asarray(rows)
            columns = {self._inputs[0].name: array.reshape(-1, 1) if array.ndim == 1 else array}
        return {item.name: _cast(columns[item.name], item.type, len(item.shape or ())) for item in self._inputs}


def _cast(array: Any, kind: str, axes: int) -> Any:
    """``array`` as the graph's input wants it: `tensor(float)`, `tensor(string)`, ..."""
    dtype = _ONNX_TYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
    if dtype is None:
        raise ValueError(f"the graph takes {kind}, which rows cannot be made into")
    if dtype is object:
        array = np.array(["" if _is_nan(item) else str(item) for item in array.reshape(-1)], dtype=object).reshape(
            array.shape
        )
    return array.reshape(-1) if axes == 1 else array.astype(dtype)


def _is_nan(item: Any) -> bool:
    return isinstance(item, float) and math.isnan(item)


_ONNX_TYPES: dict[str, Any] = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "int64": np.int64, "int32": np.int32,
    "int16": np.int16, "int8": np.int8, "uint8": np.uint8, "bool": np.bool_, "string": object,
}  # fmt: skip


class LightgbmModel:
    """A LightGBM booster. `predict` answers what `Booster.predict` does: for a classifier, probabilities."""

    def __init__(self, path: Path) -> None:
        import lightgbm  # noqa: PLC0415  # the model's own library

        self._booster = lightgbm.Booster(model_str=path.read_text(encoding="utf-8"))
        names = self._booster.feature_name()
        self.n_features_in_ = len(names)
        if names != [f"Column_{number}" for number in range(len(names))]:
            self.feature_names_in_ = np.array(names, dtype=object)

    def predict(self, rows: Any) -> Any:
        return self._booster.predict(_numbers(self, rows), num_threads=1)


class XgboostModel:
    """An XGBoost booster. `predict` answers what `Booster.predict` does: for a classifier, mostly probabilities."""

    def __init__(self, path: Path) -> None:
        import xgboost  # noqa: PLC0415  # the model's own library

        self._matrix = xgboost.DMatrix
        self._booster = xgboost.Booster({"nthread": 1})
        self._booster.load_model(bytearray(path.read_bytes()))
        self.n_features_in_ = self._booster.num_features()
        if self._booster.feature_names:
            self.feature_names_in_ = np.array(self._booster.feature_names, dtype=object)

    def predict(self, rows: Any) -> Any:
        names, kinds = self._booster.feature_names, self._booster.feature_types
        matrix = self._matrix(
            _numbers(self, rows), feature_names=names, feature_types=kinds, nthread=1, enable_categorical=True
        )
        return self._booster.predict(matrix)


def _numbers(model: Any, rows: Any) -> Any:
    """``rows`` as an array of floats, in the order of the training; a categorical column comes as its codes."""
    if hasattr(rows, "columns"):
        rows = rows[list(model.feature_names_in_)].to_numpy()
    return np.asarray(rows, dtype=np.float64)


LOADERS = {"onnx": OnnxModel, "lightgbm": LightgbmModel, "xgboost": XgboostModel}
