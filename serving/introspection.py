"""What a model says of itself: class, parameters, signature, and its answers on the sample, from calling it as production would.

Loaded by the runner from its folder, in the model's own environment: standard library and numpy.
"""

import difflib
import importlib.metadata
import importlib.util
import json
import math
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from . import tensors
from .estimators import answer, features, qualified
from .model_error import TEXT_LIMIT, RunnerError, brief

METHODS = ("predict", "predict_proba", "decision_function", "transform")
PARAMS_LIMIT = 200


def introspect(model: Any, sample: list[dict[str, Any]]) -> dict[str, Any]:
    """Signature and answers of ``model``, from calling it with ``sample`` as production would."""
    columns = list(sample[0])
    failure: Exception | None = None
    for layout, inputs in _candidates(model, columns, sample):
        try:
            signature, answers = _try(model, layout, inputs, columns, sample)
        except RunnerError:
            raise
        except Exception as error:  # noqa: BLE001  # any estimator may raise anything
            failure = failure or error
            continue
        _find_nullable(model, signature, columns, sample)
        return {
            "class": qualified(type(model)),
            "classes": sorted({qualified(type(part)) for part in _parts(model)}),
            "params": _params(model),
            "n_features": _width(model),
            "labels": _labels(model),
            "libraries": _libraries(),
            "columns": columns,
            "signature": signature,
            "answers": answers,
            "rows": len(sample),
        }
    raise RunnerError(
        "predict-failed",
        f"predict fails on the sample: {brief(failure)}",
        "Call predict on exactly these rows in a fresh interpreter with the locked versions.",
    )


def _candidates(
    model: Any, columns: list[str], sample: list[dict[str, Any]]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Ways to call the model, most specific first: layout and input tensors."""
    trained = getattr(model, "feature_names_in_", None)
    kinds = {name: _column_kind(name, [row[name] for row in sample]) for name in columns}
    if trained is not None:
        _check_columns([str(name) for name in trained], columns)
        yield from _frames(model, [str(name) for name in trained], kinds, sample)
        return
    if len(columns) == 1 and kinds[columns[0]] == "BYTES":
        if columns != ["text"]:
            raise RunnerError(
                "sample-mismatch",
                f"the sample has the one column {columns[0]!r} of strings, and the model was trained without column names",
                "The sample of a text model has the one column `text`.",
            )
        yield "text", [_input("text", "BYTES", [-1])]
        return
    if "BYTES" not in kinds.values():
        width = _width(model) or len(columns)
        if width != len(columns):
            raise RunnerError(
                "sample-mismatch",
                f"the sample has {len(columns)} columns, the model was trained on {width}",
                "Give the sample one column per feature, in the order of the training.",
            )
        matrix = _input("input", "FP64", [-1, width], nullable=_has_null(sample, columns))
        yield "matrix", [matrix | ({"columns": columns} if all(columns) else {})]
    if "BYTES" in kinds.values() or importlib.util.find_spec("pandas") is not None:
        yield from _frames(model, columns, kinds, sample)


def _try(
    model: Any, layout: str, inputs: list[dict[str, Any]], columns: list[str], sample: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    signature: dict[str, Any] = {"layout": layout, "inputs": inputs, "outputs": []}
    rows = features(signature, encode(signature, columns, sample))
    answers = {}
    for name in METHODS:
        if not callable(getattr(model, name, None)):
            continue
        try:
            array = answer(model, name, rows, len(sample))
        except Exception:
            if name == "predict":
                raise
            continue  # a method that does not work on the sample is no output of the model
        datatype = datatype_of(array)
        if datatype is None:
            if name == "predict":
                raise ValueError(f"predict answers values of dtype {array.dtype}, which the protocol cannot carry")
            continue
        signature["outputs"].append(_output(model, name, datatype, array))
        answers[name] = tensors.to_values(tensors.from_array(name, datatype, array))
    return signature, answers


def encode(signature: dict[str, Any], columns: list[str], sample: list[dict[str, Any]]) -> list[tensors.Tensor]:
    """The sample as the tensors that a request with these rows would hold."""
    made = []
    for item in signature["inputs"]:
        if signature["layout"] == "matrix":
            shape: tuple[int, ...] = (len(sample), len(columns))
            values: list[Any] = [[_number(row[name]) for name in columns] for row in sample]
        else:
            shape = (len(sample),)
            values = [row[item["name"]] for row in sample]
        try:
            tensor = tensors.from_values(item["name"], item["datatype"], shape, values, nullable=item["nullable"])
            made.append(tensors.dates(tensor, item.get("zone")) if "content_type" in item else tensor)
        except tensors.TensorError as error:
            raise RunnerError("sample-mismatch", f"column {item['name']!r}: {error}") from None
    return made


def _find_nullable(model: Any, signature: dict[str, Any], columns: list[str], sample: list[dict[str, Any]]) -> None:
    """Mark the inputs that take a missing value although the sample shows none: those the model answers with a null in.

    Floats and strings only: pandas has no null in integers, so an integer column with nulls is FP64, and the sample says so.
    """

    def works(names: Iterable[str]) -> bool:
        row = {**sample[0], **dict.fromkeys(names)}
        attempt = {**signature, "inputs": [{**item, "nullable": True} for item in signature["inputs"]]}
        try:
            answer(model, "predict", features(attempt, encode(attempt, columns, [row])), 1)
        except Exception:  # noqa: BLE001  # whatever it raises, it does not take nulls
            return False
        return True

    candidates = [i for i in signature["inputs"] if not i["nullable"] and i["datatype"] in ("FP64", "BYTES")]
    named = {item["name"]: columns if signature["layout"] == "matrix" else [item["name"]] for item in candidates}
    if not candidates:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        every = works([name for names in named.values() for name in names])
        for item in candidates:
            item["nullable"] = every or (len(candidates) > 1 and works(named[item["name"]]))


def _frames(
    model: Any, order: list[str], kinds: dict[str, str], sample: list[dict[str, Any]]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A frame whose dates are text, then one that has them as dates; first where an encoder inside learned dates."""
    plain = _frame_inputs(model, order, kinds, sample)
    dates = [item for item in plain if item["datatype"] == "BYTES" and _are_dates(item, sample)]
    candidates = [plain]
    if dates:
        candidates.append([item | _dated(item, sample) if item in dates else item for item in plain])
    learned = {name for name, values in _encoded(model) if values.dtype.kind == "M"}
    if any(item["name"] in learned for item in dates):
        candidates.reverse()
    for inputs in candidates:
        yield "frame", inputs


def _dated(item: dict[str, Any], sample: list[dict[str, Any]]) -> dict[str, Any]:
    """What the signature says of a column of dates: what its BYTES mean, and its time zone where it has one."""
    zone = tensors.zone_of(row[item["name"]] for row in sample)
    return {"content_type": "datetime", **({"zone": zone} if zone else {})}


def _are_dates(item: dict[str, Any], sample: list[dict[str, Any]]) -> bool:
    values = [row[item["name"]] for row in sample]
    try:
        tensor = tensors.from_values(item["name"], "BYTES", (len(sample),), values, nullable=True)
        tensors.dates(tensor, tensors.zone_of(values))
    except tensors.TensorError:
        return False
    return True


def _frame_inputs(
    model: Any, order: list[str], kinds: dict[str, str], sample: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    known = _known_categories(model)
    inputs = []
    for name in order:
        nullable = _has_null(sample, [name])
        datatype = "FP64" if nullable and kinds[name] == "INT64" else kinds[name]
        inputs.append(_input(name, datatype, [-1], nullable=nullable))
        if datatype == "BYTES" and known.get(name):
            inputs[-1]["categories"] = known[name]
    return inputs


def _input(name: str, datatype: str, shape: list[int], *, nullable: bool = False) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "nullable": nullable}


def _output(model: Any, name: str, datatype: str, array: Any) -> dict[str, Any]:
    output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [-1, *array.shape[1:]]}
    labels = _labels(model)
    per_label = array.ndim == 2 and labels is not None and array.shape[1] == len(labels)
    if labels and ((name == "predict" and array.ndim == 1) or (name != "transform" and per_label)):
        output["labels"] = labels
    return output


def _check_columns(trained: list[str], columns: list[str]) -> None:
    missing = [name for name in trained if name not in columns]
    extra = [name for name in columns if name not in trained]
    if not missing and not extra:
        return
    near = [(m, difflib.get_close_matches(m, extra, n=1)) for m in missing]
    told = [f"lacks {m!r} (has {found[0]!r})" if found else f"lacks {m!r}" for m, found in near]
    told += [
        f"has {name!r}, which the training had not" for name in extra if name not in {f for _, fs in near for f in fs}
    ]
    more = f" and {len(told) - 5} more differences" if len(told) > 5 else ""
    raise RunnerError(
        "sample-mismatch",
        f"the sample {'; '.join(told[:5])}{more}",
        "Give the sample exactly the columns of the training; their order does not matter.",
    )


def _column_kind(name: str, values: list[Any]) -> str:
    types = {type(value) for value in values if value is not None}
    if types == {str}:
        return "BYTES"
    if types == {bool}:
        return "BOOL"
    if types == {int}:
        return "INT64"
    if types and types <= {int, float}:
        return "FP64"
    came = ", ".join(sorted(item.__name__ for item in types)) or "null in every row"
    raise RunnerError(
        "sample-mismatch",
        f"column {name!r} of the sample has values of these types: {came}",
        "Give a column strings, numbers, or true and false, and a value in at least one row.",
    )


def _known_categories(model: Any) -> dict[str, list[Any]]:
    """Column name to the categories that a fitted encoder inside the model knows for it."""
    return {name: [item for item in values.tolist() if isinstance(item, str)] for name, values in _encoded(model)}


def _encoded(model: Any) -> Iterator[tuple[str, Any]]:
    """Columns that a fitted encoder inside the model takes, each with the array of its categories."""
    for part in _parts(model):
        for _, transformer, columns in getattr(part, "transformers_", ()):
            if isinstance(columns, str | slice) or not all(isinstance(name, str) for name in columns):
                continue
            for step in (transformer, *(step for _, step in getattr(transformer, "steps", ()))):
                categories = getattr(step, "categories_", None)
                if isinstance(categories, list) and len(categories) == len(columns):
                    yield from zip(columns, categories, strict=True)


def _has_null(sample: list[dict[str, Any]], columns: list[str]) -> bool:
    return any(row[name] is None for row in sample for name in columns)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, bool) else value


def _parts(model: Any) -> Iterator[Any]:
    """The model and the estimators inside it, by its parameters and fitted steps."""
    seen: set[int] = set()
    pending = [model]
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple):
            pending.extend(item for item in part if isinstance(item, list | tuple) or hasattr(item, "get_params"))
        elif hasattr(part, "get_params") and not isinstance(part, type):
            yield part
            pending.extend([*part.get_params(deep=False).values(), getattr(part, "transformers_", ())])


def _params(model: Any) -> dict[str, Any]:
    params = model.get_params(deep=True) if hasattr(model, "get_params") else {}
    shown = {str(key): _plain(params[key]) for key in sorted(params, key=str)[:PARAMS_LIMIT]}
    if len(params) > PARAMS_LIMIT:
        shown["..."] = f"{len(params) - PARAMS_LIMIT} more"
    return shown


def _plain(value: Any, depth: int = 0) -> Any:
    """A parameter as JSON that is the same on every run: no addresses, no order of sets."""
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 and hasattr(value, "item"):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT] + "..."
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple) and depth < 3:
        rest = [f"... {len(value) - 20} more"] if len(value) > 20 else []
        return [_plain(item, depth + 1) for item in value[:20]] + rest
    if isinstance(value, dict) and depth < 3:
        return {str(key): _plain(value[key], depth + 1) for key in sorted(value, key=str)[:20]}
    if hasattr(value, "__qualname__"):
        return f"{getattr(value, '__module__', None) or 'builtins'}:{value.__qualname__}"  # str.split has no module
    return f"<{qualified(type(value))}>"


def _width(model: Any) -> int | None:
    width = getattr(model, "n_features_in_", None)
    return None if width is None else int(width)


def _labels(model: Any) -> list[Any] | None:
    """The classes of a classifier as JSON scalars, ``None`` when it has none or several sets of them."""
    classes = getattr(model, "classes_", None)
    if classes is None or getattr(classes, "ndim", None) != 1:
        return None
    labels: list[Any] = classes.tolist()
    return labels if all(isinstance(item, str | int | float) for item in labels) else None


def _libraries() -> dict[str, str]:
    """Name and version of every distribution that loading and predicting imported."""
    owners = importlib.metadata.packages_distributions()
    imported = {name.partition(".")[0] for name in sys.modules}
    found = {distribution for module in imported for distribution in owners.get(module, ())}
    return {name: importlib.metadata.version(name) for name in sorted(found)}


def read_sample(path: Path) -> list[dict[str, Any]]:
    """:raises RunnerError: sample-mismatch, naming the line."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except ValueError as error:
            raise RunnerError("sample-mismatch", f"line {number} of the sample is not JSON: {error}") from None
        if not isinstance(row, dict) or not row:
            raise RunnerError("sample-mismatch", f"line {number} of the sample is not an object with a key per column")
        if rows and row.keys() != rows[0].keys():
            odd = ", ".join(sorted(row.keys() ^ rows[0].keys()))
            raise RunnerError("sample-mismatch", f"line {number} of the sample has other columns than the first: {odd}")
        rows.append(row)
    if not rows:
        raise RunnerError("sample-mismatch", "the sample has no rows", "Give at least one record per line.")
    return rows


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON; write null for a missing number")


def datatype_of(array: Any) -> str | None:
    """Protocol datatype of an answer, ``None`` when the protocol has none for it."""
    kind = array.dtype.kind
    if kind in "US" or (kind == "O" and all(isinstance(item, str) for item in array.reshape(-1).tolist())):
        return "BYTES"
    if kind == "f":
        return "FP32" if array.dtype.itemsize <= 4 else "FP64"
    if kind == "u" and array.dtype.itemsize == 8:
        return "UINT64"
    return {"b": "BOOL", "i": "INT64", "u": "INT64"}.get(kind)
