"""Read a model file with the inert unpickler and put what was found into words. Runs in the scan's child process."""

from dataclasses import dataclass
from typing import BinaryIO

from builders.checks import unpickle
from builders.checks.container import open_source
from builders.checks.limits import Limits
from builders.checks.names import AllowList
from builders.checks.report import Finding, Refused
from builders.checks.stream import SAVE_AGAIN
from builders.checks.unpickle import printable
from builders.checks.values import Global

_MOST_NAMES = 50  # unlisted names that are explained one by one
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


def examine(file: BinaryIO, declared: str, limits: Limits, allowed: AllowList) -> Examined:
    """Read ``file`` from its first byte to its last.

    :param file: unbuffered and seekable.
    :param declared: `joblib` or `pickle`.
    """
    names = unpickle.Names(allowed)
    findings: list[Finding] = []
    opcodes, columns = 0, False
    try:
        source = open_source(file, declared, limits)
        machine = unpickle.Machine(source, names, arrays_inside=declared == "joblib", opcodes=limits.opcodes)
        try:
            machine.run()
        finally:
            opcodes, columns = machine.count, machine.has_columns
        if not source.at_end():
            raise Refused(
                "trailing-bytes",
                f"The pickle ends at byte {source.position}, and more bytes follow.",
                f"Nothing may follow the model. {SAVE_AGAIN}",
            )
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
    explained = [_explain(name, where) for name, where in unlisted[:_MOST_NAMES]]
    if len(unlisted) > _MOST_NAMES:
        more = len(unlisted) - _MOST_NAMES
        explained.append(
            Finding("unknown-name", f"{more} more names are not on the list.", "Mend the first ones and push again.")
        )
    return Examined(
        opcodes=opcodes,
        globals=tuple(sorted(printable(label) for label in names.met)),
        columns=columns,
        findings=(*explained, *findings),
    )


def _explain(name: Global, where: str) -> Finding:
    label = printable(name.label)
    place = f" It is at: {where}." if where else ""
    top = name.module.split(".")[0]
    if "<lambda>" in name.name or "<locals>" in name.name or top in _BY_VALUE or ".cloudpickle" in name.module:
        return Finding(
            "lambda",
            f"The file holds a lambda or a function made inside of another one ({label}).{place}",
            "Replace it: scikit-learn's transformers cover most uses, and a FunctionTransformer may name a NumPy function such "
            "as numpy.log1p. Functions travel as code, and code is not accepted inside of a model file.",
        )
    if top in ("__main__", "__mp_main__"):
        return Finding(
            "main-name",
            f"The file needs {printable(name.name)} from __main__: a class or function defined in a notebook or a script, "
            f"which exists nowhere else.{place}",
            "Use a transformer of scikit-learn instead, or move it into a package of yours, built as a wheel, and train with that.",
        )
    return Finding(
        "unknown-name",
        f"The file imports {label}, which is not on the list of names that a model may use.{place}",
        "Use an estimator of scikit-learn, LightGBM or XGBoost instead. If prediction does not need this part (a grid search, a "
        "callback, training data), push the fitted estimator without it. The operator can show you the list of names.",
    )
