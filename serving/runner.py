"""The one program that loads a model: in the sandbox when it is checked, and in production.

    python -I -B runner.py introspect --site DIR --model FILE --format FORMAT --allow FILE --sample FILE
    python -I -B runner.py serve      --site DIR --model FILE --format FORMAT --allow FILE --signature FILE --fd N

`introspect` prints one JSON object: class, parameters, signature and answers of the model on the sample. `serve` answers
frames (`tensors.pack`) on a socket until it closes. Both exit 3 with `{"error": {"code", "message", "hint"}}` when they cannot.
It runs in the model's own environment (``--site``), so it needs the standard library and numpy, and of ours only `tensors.py`,
`natives.py`, `notices.py` and `own_code.py` beside it. One program for both uses makes what was checked and what answers later the same code.
"""

import argparse
import difflib
import gc
import importlib.metadata
import importlib.util
import json
import math
import os
import pickle
import socket
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from serving import natives, notices, own_code, tensors  # noqa: TC004  # at run time enter() puts the files' own modules here

# One thread per model process, in the check as in production, so that sums are taken in the same order.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
FORMATS = ("joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost")
METHODS = ("predict", "predict_proba", "decision_function", "transform")
TEXT_LIMIT = 200  # characters of one parameter or message
PARAMS_LIMIT = 200
FAILED = 3


class RunnerError(Exception):
    """The model cannot be loaded or run. ``code`` is stable; ``hint`` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": str(self), "hint": self.hint}


# --- The environment -------------------------------------------------------------------------------------------------


def enter(site: Path) -> None:
    """Import from the standard library and ``site`` only, and load our modules from this file's folder by their paths.

    Neither the host's packages nor our folder go on the path: a library missing in the model's lock must be missed here, and
    none of our modules may stand in for one of its own.
    """
    for variable in THREADS:
        os.environ.setdefault(variable, "1")
    host = [entry for entry in sys.path if Path(entry).name not in ("site-packages", "dist-packages")]
    sys.path[:] = [str(site), *(entry for entry in host if Path(entry).resolve() != Path(__file__).resolve().parent)]
    for name in ("tensors", "natives", "notices", "own_code"):
        spec = importlib.util.spec_from_file_location(f"countersign_{name}", Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except ImportError as error:
            raise RunnerError(
                "load-failed",
                f"numpy cannot be imported from the model's lock: {error}",
                "Add numpy to requirements.txt.",
            ) from None
        globals()[name] = module


# --- Loading ---------------------------------------------------------------------------------------------------------


def load(path: Path, file_format: str, allowed: frozenset[str]) -> Any:
    """Load ``path`` with the one loader of its declared format.

    A format that names what it imports gets nothing but the names of ``allowed`` (`module:qualname`, as the scan found them).

    :raises RunnerError: load-refused for a name outside the list, load-failed for anything else.
    """
    try:
        if file_format in natives.LOADERS:
            return natives.LOADERS[file_format](path)
        if file_format == "skops":
            return natives.load_skops(path, allowed)
        with path.open("rb") as file:
            return (
                _load_joblib(path, file, allowed) if file_format == "joblib" else _pickle_loader(file, allowed).load()
            )
    except RunnerError:
        raise
    except natives.Untrusted as error:
        raise RunnerError("load-refused", str(error), _OTHER_FILE_HINT) from None
    except ModuleNotFoundError as error:
        raise RunnerError(
            "load-failed",
            f"the model needs the module {error.name!r}, which its lock does not have",
            "Name the library that provides it in requirements.txt and push again.",
        ) from None
    except Exception as error:  # noqa: BLE001  # a pickle can fail in any way its classes can
        raise RunnerError("load-failed", f"the file cannot be loaded: {_brief(error)}", _VERSIONS_HINT) from None


_OTHER_FILE_HINT = "The file is not the one that was scanned, or it was scanned under another format. Push it again."
_OTHER_CODE_HINT = "The libraries are not those of the lock that was approved. Build the image again."
_VERSIONS_HINT = "Most often the lock has other library versions than the training had; compare them."


def _finder(base: type, allowed: frozenset[str]) -> Callable[[Any, str, str], Any]:
    def find_class(self: Any, module: str, name: str) -> Any:
        if f"{module}:{name}" not in allowed:
            raise RunnerError(
                "load-refused",
                f"the file asks for {module}:{name}, which is not on its allow-list",
                _OTHER_FILE_HINT,
            )
        return base.find_class(self, module, name)  # type: ignore[attr-defined]

    return find_class


def _pickle_loader(file: Any, allowed: frozenset[str]) -> Any:
    loader = type("AllowListUnpickler", (pickle.Unpickler,), {"find_class": _finder(pickle.Unpickler, allowed)})
    return loader(file)


def _load_joblib(path: Path, file: Any, allowed: frozenset[str]) -> Any:
    try:
        from joblib import __version__ as version  # noqa: PLC0415  # the model's own library
        from joblib import numpy_pickle  # noqa: PLC0415
    except ImportError:
        raise RunnerError(
            "load-failed", "the lock has no joblib, which a joblib file needs", "Add joblib to requirements.txt."
        ) from None
    # Older ones read nested arrays of objects with an unpickler that does not ask find_class (GHSA-m62q-453p-gv66).
    if tuple(int(part) for part in version.split(".")[:2]) < (1, 6):
        raise RunnerError(
            "load-refused",
            f"joblib {version} can be made to import names past the allow-list",
            "Use joblib 1.6 or newer.",
        )
    base = numpy_pickle.NumpyUnpickler
    loader = type("AllowListUnpickler", (base,), {"find_class": _finder(base, allowed)})
    with numpy_pickle._validate_fileobject_and_memmap(file, str(path)) as (stream, _):  # noqa: SLF001
        if isinstance(stream, str):
            raise RunnerError(
                "load-refused", "the file was written by joblib before 0.10", "Save it again with a current joblib."
            )
        return loader(str(path), stream, ensure_native_byte_order=True).load()


def check_estimator(model: Any) -> None:
    if isinstance(model, type) or not callable(getattr(model, "predict", None)):
        raise RunnerError(
            "not-an-estimator",
            f"the file holds a {_qualified(type(model))}, which has no predict method",
            "Save the fitted estimator or pipeline itself, not a dictionary, a list or a class.",
        )


# --- Features and answers: the path that the check and production share ------------------------------------------------


def features(signature: dict[str, Any], inputs: "list[tensors.Tensor]") -> Any:
    """What the estimator is called with: a list of strings, an array, or a DataFrame with the training's columns."""
    layout = signature["layout"]
    if layout == "text":
        return tensors.to_strings(inputs[0])
    if layout == "matrix":
        return tensors.to_array(inputs[0])
    dates = {item["name"]: item.get("zone") for item in signature["inputs"] if "content_type" in item}
    return data_frame({tensor.name: tensor for tensor in inputs}, dates)


def data_frame(columns: "dict[str, tensors.Tensor]", dates: Mapping[str, str | None]) -> Any:
    """A DataFrame as pandas itself would read the columns: NaN where a value is missing, its own dtypes for text and dates.

    :param dates: columns of dates to their time zone, None for local times.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # the model's own library
    except ImportError:
        raise RunnerError(
            "load-failed",
            "the model takes a DataFrame, and its lock has no pandas",
            "Add pandas to requirements.txt, with the version used in training.",
        ) from None
    text_dtype = pd.Series(["text"]).dtype  # `str` since pandas 3, object before; all-null columns keep it, too
    series = {}
    for name, tensor in columns.items():
        if name in dates:
            zone = dates[name]
            moments = pd.Series(pd.to_datetime(tensors.to_strings(tensor), utc=zone is not None))
            series[name] = moments.dt.tz_convert(zone) if zone is not None else moments
        elif tensor.datatype == "BYTES":
            values = [math.nan if item is None else item for item in tensors.to_strings(tensor)]
            series[name] = pd.Series(values, dtype=text_dtype)
        else:
            array = tensors.to_array(tensor)
            if tensor.nulls:
                array = array.astype(object)
                array[list(tensor.nulls)] = math.nan
            series[name] = pd.Series(array)
    return pd.DataFrame(series)


def answer(model: Any, name: str, rows: Any, count: int) -> Any:
    """What one method answers on ``count`` rows, as an array of one or two axes, rows first.

    :raises ValueError: the method answers something else.
    """
    import numpy as np  # noqa: PLC0415  # found only after enter()

    # A copy each time: a step with copy=False would hand its scaled rows to the next method.
    array = getattr(model, name)(rows.copy())
    array = np.asarray(array.toarray() if hasattr(array, "toarray") else array)
    if array.ndim not in (1, 2) or array.shape[0] != count:
        raise ValueError(f"{name} answered an array of shape {list(array.shape)} for {count} rows")
    return array


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


# --- Introspection -----------------------------------------------------------------------------------------------------


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
            "class": _qualified(type(model)),
            "classes": sorted({_qualified(type(part)) for part in _parts(model)}),
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
        f"predict fails on the sample: {_brief(failure)}",
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


def encode(signature: dict[str, Any], columns: list[str], sample: list[dict[str, Any]]) -> "list[tensors.Tensor]":
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
    return f"<{_qualified(type(value))}>"


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


def _qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _brief(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:TEXT_LIMIT]}"


# --- Serving -----------------------------------------------------------------------------------------------------------


def serve(model: Any, signature: dict[str, Any], link: socket.socket) -> None:
    """Answer frames on ``link`` until the other side closes it: a server that died leaves no model process behind."""
    datatypes = {output["name"]: output["datatype"] for output in signature["outputs"]}
    try:
        _send(link, {"ready": True})
        while True:
            _answer_frame(model, signature, datatypes, link)
    except (EOFError, ConnectionError):
        return


def _answer_frame(model: Any, signature: dict[str, Any], datatypes: dict[str, str], link: socket.socket) -> None:
    head_size, data_size = tensors.FRAME.unpack(_read(link, tensors.FRAME.size))
    head, inputs = tensors.unpack(_read(link, head_size), _read(link, data_size))
    try:
        rows = features(signature, inputs)
        count = inputs[0].shape[0]
        outputs = [
            tensors.from_array(name, datatypes[name], answer(model, name, rows, count)) for name in head["outputs"]
        ]
    except Exception as error:  # noqa: BLE001  # a row may make an estimator raise anything; the next batch is another
        # What a model says of values it was given is the caller's business; any other error is the model's.
        refused = isinstance(error, ValueError | TypeError)
        _send(link, {"error": {"message": _brief(error), "refused": refused}})
    else:
        _send(link, {}, outputs)


def _read(link: socket.socket, size: int) -> bytearray:
    """Exactly ``size`` bytes.

    :raises EOFError: the other side has closed.
    """
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = link.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return buffer


def _send(link: socket.socket, head: dict[str, Any], outputs: "Iterable[tensors.Tensor]" = ()) -> None:
    link.sendall(b"".join(tensors.pack(head, list(outputs))))


# --- The command -------------------------------------------------------------------------------------------------------


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="runner.py")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("introspect", "serve"):
        command = commands.add_parser(name)
        command.add_argument("--site", type=Path, required=True, help="folder of the model's own libraries")
        command.add_argument("--model", type=Path, required=True)
        command.add_argument("--format", choices=FORMATS, required=True)
        command.add_argument("--allow", type=Path, required=True, help="allow.json of the scan")
        if name == "introspect":
            command.add_argument("--sample", type=Path, required=True, help="records, one JSON object per line")
        else:
            command.add_argument("--signature", type=Path, required=True)
            command.add_argument("--fd", type=int, required=True, help="inherited socket to the server")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    arguments = _arguments(argv)
    # What a model prints must not stand among what we print: from here on file 1 is file 2.
    own_output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    link = socket.socket(fileno=arguments.fd) if arguments.command == "serve" else None
    try:
        enter(arguments.site)
        listed = json.loads(arguments.allow.read_bytes())
        allowed = frozenset(listed["globals"])
        try:
            own_code.check(arguments.site, listed.get("own_code", ()))
        except own_code.OtherCode as other:
            raise RunnerError(
                "load-refused", f"its own code is not the approved one: {other}", _OTHER_CODE_HINT
            ) from None
        sample = None if link else read_sample(arguments.sample)
        seen = None if link else notices.watch(arguments.site, arguments.model.parent)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = load(arguments.model, arguments.format, allowed)
            check_estimator(model)
            found = None if sample is None else introspect(model, sample)
        if found is None or seen is None:
            assert link is not None
            gc.freeze()
            serve(model, json.loads(arguments.signature.read_bytes()), link)
        else:
            found["notices"] = notices.of(model, arguments.model, sorted(seen))
            found["warnings"] = sorted({_brief(item.message) for item in caught if isinstance(item.message, Warning)})
            own_output.write(json.dumps(found, allow_nan=False) + "\n")
    except Exception as raised:  # noqa: BLE001  # the one place where any failure becomes an answer
        error = (
            raised if isinstance(raised, RunnerError) else RunnerError("load-failed", _brief(raised), _VERSIONS_HINT)
        )
        if link is None:
            own_output.write(json.dumps({"error": error.to_dict()}) + "\n")
        else:  # a frame made by hand: the codec may be what could not be loaded
            text = json.dumps({"error": error.to_dict(), "tensors": []}).encode()
            link.sendall(len(text).to_bytes(4, "little") + bytes(8) + text)
        return FAILED
    finally:
        own_output.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
