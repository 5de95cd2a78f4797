"""Read a model file of any format and put what was found into words. Runs in the scan's child process."""

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import BinaryIO

from builders.checks import lightgbm_text, onnx_file, skops_file, unpickle, xgboost_json
from builders.checks.container import measure, open_source
from builders.checks.limits import Limits
from builders.checks.names import AllowList
from builders.checks.report import Finding, Refused
from builders.checks.stream import SAVE_AGAIN
from builders.checks.unpickle import printable
from builders.checks.values import Global

_MOST_NAMES = 50  # unlisted names that are explained one by one
_OWN_CODE = "`countersign wheel init NAME` makes a package for it. Train with that, build its wheel, and push again with --wheel FILE."
_BY_VALUE = {"cloudpickle", "dill", "marshal", "types"}  # what functions are rebuilt with that have no importable name


@dataclass(frozen=True)
class Examined:
    """What a file holds; without findings it may pass.

    ``globals``: `module:qualname` of every name it imports, sorted. ``columns``: some estimator in it was fitted on named
    columns, so that it needs a DataFrame.
    """

    opcodes: int
    globals: tuple[str, ...]
    columns: bool
    findings: tuple[Finding, ...]


@dataclass
class Seen:
    """What a reader counted and noticed, also when it then refused: operations, and whether columns have names."""

    opcodes: int = 0
    columns: bool = False


def examine(file: BinaryIO, declared: str, limits: Limits, allowed: AllowList) -> Examined:
    """Read ``file`` from its first byte to its last.

    :param file: unbuffered and seekable.
    :param declared: a key of `READERS`; it alone decides how the file is read.
    """
    names = unpickle.Names(allowed)
    findings: list[Finding] = []
    seen = Seen()
    try:
        READERS[declared](file, declared, limits, names, seen)
    except Refused as refused:
        findings.append(refused.finding)
    except MemoryError:
        findings.append(
            Finding(
                "too-large",
                f"Reading the file needs more than the {limits.memory} bytes of memory allowed.",
                "Store large vocabularies and tables as arrays, drop what prediction does not need, or ask the operator for a higher limit.",
            )
        )
    unlisted = list(names.unlisted.values())
    known = set(allowed.distributions) | sys.stdlib_module_names
    own = {label.partition(":")[0].partition(".")[0] for label in allowed.uses} - known
    explained = [_explain(name, where, known=known, own=own) for name, where in unlisted[:_MOST_NAMES]]
    if len(unlisted) > _MOST_NAMES:
        more = len(unlisted) - _MOST_NAMES
        explained.append(
            Finding("unknown-name", f"{more} more names are not on the list.", "Mend the first ones and push again.")
        )
    return Examined(
        opcodes=seen.opcodes,
        globals=tuple(sorted(printable(label) for label in names.met)),
        columns=seen.columns,
        findings=(*explained, *findings),
    )


def _read_pickle(file: BinaryIO, declared: str, limits: Limits, names: unpickle.Names, seen: Seen) -> None:
    source = open_source(file, declared, limits)
    machine = unpickle.Machine(source, names, arrays_inside=declared == "joblib", opcodes=limits.opcodes)
    try:
        machine.run()
    finally:
        seen.opcodes, seen.columns = machine.count, machine.has_columns
    if not source.at_end():
        raise Refused(
            "trailing-bytes",
            f"The pickle ends at byte {source.position}, and more bytes follow.",
            f"Nothing may follow the model. {SAVE_AGAIN}",
        )


def _read_skops(file: BinaryIO, declared: str, limits: Limits, names: unpickle.Names, seen: Seen) -> None:
    reader = skops_file.Reader(names, limits)
    try:
        reader.read(file, measure(file, declared, limits))
    finally:
        seen.opcodes, seen.columns = reader.count, reader.has_columns


def _read_onnx(file: BinaryIO, declared: str, limits: Limits, _names: unpickle.Names, seen: Seen) -> None:
    reader = onnx_file.Reader(limits)
    reader.read(file, measure(file, declared, limits))
    # One tensor may be the whole row; several are columns.
    seen.opcodes, seen.columns = reader.count, len(reader.inputs) > 1


def _read_trees(file: BinaryIO, declared: str, limits: Limits, _names: unpickle.Names, seen: Seen) -> None:
    reader = lightgbm_text.Reader(limits) if declared == "lightgbm" else xgboost_json.Reader(limits)
    reader.read(file, measure(file, declared, limits))
    seen.opcodes, seen.columns = reader.count, reader.has_columns


READERS: dict[str, Callable[[BinaryIO, str, Limits, unpickle.Names, Seen], None]] = {
    "joblib": _read_pickle,
    "pickle": _read_pickle,
    "skops": _read_skops,
    "onnx": _read_onnx,
    "lightgbm": _read_trees,
    "xgboost": _read_trees,
}
"""How a file of each format is read."""


def _explain(name: Global, where: str, *, known: Collection[str], own: Collection[str]) -> Finding:
    """Why a name is refused, and what to do.

    :param known: top-level modules that the list has names of, and the standard library's.
    :param own: those of the code that the version brings.
    """
    label = printable(name.label)
    place = f" It is at: {where}." if where else ""
    top = name.module.split(".")[0]
    if "<lambda>" in name.name or "<locals>" in name.name or top in _BY_VALUE or ".cloudpickle" in name.module:
        return Finding(
            "lambda",
            f"The file holds a lambda or a function made inside of another one ({label}).{place}",
            "Replace it: scikit-learn's transformers cover most uses, and a FunctionTransformer may name a NumPy function such "
            "as numpy.log1p. Functions travel as code, and code is not accepted inside of a model file. "
            f"Or write it as a named function in a package of yours: {_OWN_CODE}",
        )
    if top in ("__main__", "__mp_main__"):
        return Finding(
            "main-name",
            f"The file needs {printable(name.name)} from __main__: a class or function defined in a notebook or a script, "
            f"which exists nowhere else.{place}",
            f"Use a transformer of scikit-learn instead, or move it into a package of yours: {_OWN_CODE}",
        )
    what = f"{printable(name.name)} of the module {printable(name.module)}"
    if top in own:
        return Finding(
            "unknown-name",
            f"The file imports {what}, which the wheel that it brings does not define at the top level of that module.{place}",
            "Build the wheel from the code that the model was trained with, and push both again.",
        )
    if top in known:
        return Finding(
            "unknown-name",
            f"The file imports {what}, which is not on the list of names that a model may use.{place}",
            "Use an estimator of scikit-learn, LightGBM or XGBoost instead. If prediction does not need this part (a grid search, "
            "a callback, training data), push the fitted estimator without it. The operator can show you the list of names.",
        )
    return Finding(
        "unknown-name",
        f"The file imports {what}, which is not on the list of names that a model may use.{place}",
        f"If it is code of yours: {_OWN_CODE} Else use an estimator of scikit-learn, LightGBM or XGBoost instead.",
    )
