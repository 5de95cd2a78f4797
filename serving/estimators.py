"""A model's file becomes an estimator, and is asked: the path that the check and production share.

Loaded by the runner from its folder, in the model's own environment: standard library and numpy.
"""

import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import natives, tensors
from .model_error import VERSIONS_HINT, RunnerError, brief


def load(path: Path, file_format: str, allowed: frozenset[str]) -> Any:
    """Load ``path`` with the one loader of its declared format.

    A format that names what it imports gets nothing but the names of ``allowed`` (`module:qualname`, as the scan found them).

    :raises RunnerError: load-refused for a name outside the list, not-an-estimator, load-failed for anything else.
    """
    model = _read(path, file_format, allowed)
    check_estimator(model)
    return model


def _read(path: Path, file_format: str, allowed: frozenset[str]) -> Any:
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
        raise RunnerError("load-failed", f"the file cannot be loaded: {brief(error)}", VERSIONS_HINT) from None


_OTHER_FILE_HINT = "The file is not the one that was scanned, or it was scanned under another format. Push it again."


def _finder(base: type[pickle.Unpickler], allowed: frozenset[str]) -> Callable[[Any, str, str], Any]:
    def find_class(self: Any, module: str, name: str) -> Any:
        if f"{module}:{name}" not in allowed:
            raise RunnerError(
                "load-refused",
                f"the file asks for {module}:{name}, which is not on its allow-list",
                _OTHER_FILE_HINT,
            )
        return base.find_class(self, module, name)

    return find_class


def _pickle_loader(file: Any, allowed: frozenset[str]) -> Any:
    loader = type("AllowListUnpickler", (pickle.Unpickler,), {"find_class": _finder(pickle.Unpickler, allowed)})
    return loader(file)


def _load_joblib(path: Path, file: Any, allowed: frozenset[str]) -> Any:
    try:
        from joblib import __version__ as version  # noqa: PLC0415  # the model's own library
        from joblib import numpy_pickle  # noqa: PLC0415  # as above
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
    with numpy_pickle._validate_fileobject_and_memmap(file, str(path)) as (stream, _):  # noqa: SLF001  # what joblib.load calls itself
        if isinstance(stream, str):
            raise RunnerError(
                "load-refused", "the file was written by joblib before 0.10", "Save it again with a current joblib."
            )
        return loader(str(path), stream, ensure_native_byte_order=True).load()


def check_estimator(model: Any) -> None:
    if isinstance(model, type) or not callable(getattr(model, "predict", None)):
        raise RunnerError(
            "not-an-estimator",
            f"the file holds a {qualified(type(model))}, which has no predict method",
            "Save the fitted estimator or pipeline itself, not a dictionary, a list or a class.",
        )


def features(signature: dict[str, Any], inputs: list[tensors.Tensor]) -> Any:
    """What the estimator is called with: a list of strings, an array, or a DataFrame with the training's columns."""
    layout = signature["layout"]
    if layout == "text":
        return tensors.to_strings(inputs[0])
    if layout == "matrix":
        return tensors.to_array(inputs[0])
    dates = {item["name"]: item.get("zone") for item in signature["inputs"] if "content_type" in item}
    return data_frame({tensor.name: tensor for tensor in inputs}, dates)


def data_frame(columns: dict[str, tensors.Tensor], dates: Mapping[str, str | None]) -> Any:
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
    # A copy each time: a step with copy=False would hand its scaled rows to the next method.
    array = getattr(model, name)(rows.copy())
    array = np.asarray(array.toarray() if hasattr(array, "toarray") else array)
    if array.ndim not in (1, 2) or array.shape[0] != count:
        raise ValueError(f"{name} answered an array of shape {list(array.shape)} for {count} rows")
    return array


def qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
