"""What can be judged before the first byte is sent, each fault with what to do about it.

Every check yields findings: `ok`, `warning`, or `error`, which stops a push. The server judges again, and decides.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import countersign
from countersign import cards, collecting, environment, inspecting, own_wheels, requirements, sampling, uploading
from countersign.collecting import Plan
from countersign.errors import CheckFailed, Unusable
from countersign.formats import own_code
from countersign.models import Server

OK, WARNING, ERROR = "ok", "warning", "error"
_BY_VALUE = frozenset({"cloudpickle", "dill"})  # they pickle the code of functions, which no allow-list can name
_MAX_LINE = 1 << 20
_KINDS = {"skops": "zip", "onnx": "onnx", "lightgbm": "lightgbm", "xgboost": "json"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement: ``level``, a stable ``code``, what was found, and what to do."""

    level: str
    code: str
    message: str
    hint: str = ""


def judge(plan: Plan, server: Server | None) -> list[Finding]:
    """All findings about ``plan``; without a ``server``, those that need none."""
    look = _look(plan)
    findings = [
        *check_client(server),
        *check_python(plan.environment, server),
        *check_format(plan, look, server),
        *check_sizes(plan, server),
        *check_names(plan, look),
        *check_wheels(plan, look),
        *check_packages(plan, look),
        *check_requirements(plan),
        *check_sample(plan),
        *check_card(plan.card),
    ]
    return sorted(findings, key=lambda finding: (ERROR, WARNING, OK).index(finding.level))


def refuse_errors(findings: Iterable[Finding]) -> None:
    """:raises CheckFailed: there is an error among them."""
    errors = [finding for finding in findings if finding.level == ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise CheckFailed(f"{errors[0].message}{more}", findings=errors, hint=errors[0].hint)


def check_client(server: Server | None) -> Iterator[Finding]:
    if server and _numbers(countersign.__version__) < _numbers(server.client_minimum):
        yield Finding(
            ERROR,
            "client-too-old",
            f"this client is {countersign.__version__}, the server asks for {server.client_minimum} or newer",
            "Run `pip install --upgrade countersign`.",
        )


def check_python(described: Any, server: Server | None) -> Iterator[Finding]:
    python, implementation = described["python"], described["implementation"]
    if implementation != "cpython":
        yield Finding(ERROR, "python-implementation", f"{implementation} trained this model", "Train it with CPython.")
    if server is None or not server.targets:
        return
    offered = sorted({target.python for target in server.targets})
    if environment.minor(python) in offered:
        yield Finding(OK, "python-version", f"Python {python} fits the server's targets ({', '.join(offered)})")
    else:
        yield Finding(
            ERROR,
            "python-version",
            f"Python {python} trained this model, the server bakes for {', '.join(offered)}",
            f"Train it with Python {offered[-1]}, or ask an operator for a target with {environment.minor(python)}.",
        )


def check_format(plan: Plan, look: inspecting.Look, server: Server | None) -> Iterator[Finding]:
    source, declared = plan.source, plan.format
    problem = (
        _not_a_pickle(look, source) if declared in {"joblib", "pickle"} else _not_the_format(look, source, declared)
    )
    if problem:
        yield Finding(ERROR, "format", *problem)
    elif look.whole is False:
        yield Finding(ERROR, "truncated", f"{source} is cut off: its end is missing", "Save or copy it again.")
    elif declared == "pickle" and look.by_joblib:
        yield Finding(
            ERROR,
            "format-mislabelled",
            f"{source} was written by joblib.dump, but is declared as pickle",
            "Call it model.joblib, or say --format joblib.",
        )
    elif declared == "pickle" and look.kind in inspecting.COMPRESSED:
        yield Finding(
            ERROR,
            "format",
            f"{source} is a pickle compressed with {look.kind}",
            "Save it with joblib.dump, or uncompressed.",
        )
    elif server and server.formats and declared not in server.formats:
        yield Finding(
            ERROR,
            "format-unsupported",
            f"{source} is in the format {declared}, the server takes {', '.join(server.formats)}",
            "Save the estimator with joblib.dump as model.joblib.",
        )
    else:
        yield Finding(OK, "format", f"{source} looks like {declared}")


def check_sizes(plan: Plan, server: Server | None) -> Iterator[Finding]:
    limit = server.max_upload_bytes if server else None
    for path, content in plan.files.items():
        size = uploading.size_of(content)
        if limit is not None and size > limit:
            yield Finding(
                ERROR,
                "too-large",
                f"{path} is {size:,} bytes, the server takes {limit:,} per file",
                "Compress it (joblib.dump(..., compress=3)), or ask an operator to raise COUNTERSIGN_MAX_UPLOAD_BYTES.",
            )


def check_names(plan: Plan, look: inspecting.Look) -> Iterator[Finding]:
    """Names that no other process can import."""
    own = sorted(name.partition(":")[2] for name in look.names if name.startswith("__main__:"))
    if own:
        yield Finding(
            ERROR,
            "main-module",
            f"{plan.source} needs {', '.join(own)} from your script or notebook (__main__), which no server has",
            "Move it into a package of yours (`countersign wheel init NAME`), import it from there, train again, and push with "
            "--wheel FILE.",
        )
    local = sorted(name for name in look.names if "<lambda>" in name or "<locals>" in name)
    if local or look.packages & _BY_VALUE:
        what = ", ".join(local) or f"a function saved by {', '.join(sorted(look.packages & _BY_VALUE))}"
        yield Finding(
            ERROR,
            "lambda",
            f"{plan.source} holds {what}: code inside the file, which nobody could review",
            "Write it as a named function in a package of yours (`countersign wheel init NAME`), train again, and push with "
            "--wheel FILE.",
        )


def check_wheels(plan: Plan, look: inspecting.Look) -> Iterator[Finding]:
    """The code that the model brings, by the rules of the server, and whether it is the code the model names."""
    own = {wheel.name for wheel in own_wheels.declared_in(plan.files)}
    known = {environment.distribution_of(package) for package in look.packages} | _requirements(plan).pins.keys()
    reserved = {
        package
        for package, owners in environment.owners().items()
        if known.intersection(owners) and not own.intersection(owners)
    }
    for path, content in plan.files.items():
        if not path.startswith(own_code.WHEELS) or not isinstance(content, Path):
            continue
        try:
            wheel = own_wheels.judge(content, reserved)
        except own_code.BadWheel as error:
            yield Finding(ERROR, error.code, str(error), error.hint)
            continue
        defined = {*wheel.classes, *wheel.functions}
        missing = sorted(
            name for name in look.names - defined if name.partition(":")[0].partition(".")[0] in wheel.packages
        )
        if missing:
            yield Finding(
                ERROR,
                "own-code-differs",
                f"{plan.source} names {', '.join(missing[:5])}, which {content.name} does not define",
                "Build the wheel from the code that the model was trained with.",
            )
        else:
            shown = f"{len(wheel.files)} files, {sum(wheel.lines.values()):,} lines"
            yield Finding(OK, "own-code", f"{content.name} can be brought: {shown}, which reviewers will read")


def check_packages(plan: Plan, look: inspecting.Look) -> Iterator[Finding]:
    """Packages the model names, for which the lock would find no wheel."""
    pins = _requirements(plan).pins
    own = {wheel.name for wheel in own_wheels.declared_in(plan.files)}
    brought = own_wheels.packages(plan.files)
    known = plan.environment["distributions"]
    for package in sorted(
        look.packages - sys.stdlib_module_names - {"__main__", "builtins", "copy_reg", "__builtin__"}
    ):
        distribution = environment.distribution_of(package)
        if package in brought or distribution in own:
            continue
        if distribution not in pins and distribution not in known:
            yield Finding(
                ERROR,
                "missing-wheel",
                f"{plan.source} needs {package}, but neither requirements.txt nor this environment has {distribution}",
                "Run countersign in the environment the model was trained in, or give --requirements with its pins. Code of your own "
                "comes as a wheel: --wheel FILE; `countersign wheel init` makes a package for it.",
            )
        elif distribution not in pins and environment.is_local(distribution):
            yield Finding(
                ERROR,
                "missing-wheel",
                f"{plan.source} needs {distribution}, which is installed here from a local folder or repository",
                "Build its wheel, and push with --wheel FILE (`countersign wheel init` shows how), or publish it on your index.",
            )
        elif "+" in (version := pins.get(distribution) or known.get(distribution, "")):
            yield Finding(
                WARNING,
                "local-version",
                f"{distribution} {version} is a local build; the index may not have it",
                "Train with a released version if the lock cannot be resolved.",
            )


def check_requirements(plan: Plan) -> Iterator[Finding]:
    if collecting.REQUIREMENTS not in plan.files:
        count = len(plan.environment["distributions"])
        yield Finding(
            OK, "requirements", f"no requirements.txt: the lock will be made from {count} installed distributions"
        )
        return
    read = _requirements(plan)
    for number, why in read.problems:
        yield Finding(
            ERROR,
            "requirements",
            f"requirements.txt line {number}: {why}",
            "Pin it, or remove the file: the lock is then made from this environment.",
        )
    if not read.problems:
        yield Finding(OK, "requirements", f"requirements.txt pins {len(read.pins)} distributions")


def check_sample(plan: Plan) -> Iterator[Finding]:
    content = plan.files.get(collecting.SAMPLE)
    if content is None:
        yield Finding(
            ERROR,
            "sample-missing",
            "there is no sample.jsonl: without rows the model cannot be tried",
            'Write 1 to 1,000 rows, one JSON object per line, as in {"age": 41.0, "segment": "retail"}.',
        )
        return
    try:
        rows = _rows(collecting.read_text(content))
    except (ValueError, Unusable) as error:
        yield Finding(ERROR, "sample", f"sample.jsonl: {error}", "One JSON object per line, the same keys in each.")
        return
    columns = list(rows[0])
    shown = ", ".join(columns[:6]) + (", ..." if len(columns) > 6 else "")
    yield Finding(OK, "sample", f"sample.jsonl: {len(rows)} rows, columns {shown}")


def check_card(card: str) -> Iterator[Finding]:
    try:
        head = cards.head(card)
    except cards.BadCard as error:
        yield Finding(ERROR, "card", str(error), "`countersign init` writes a card to fill in.")
        return
    missing = [key for key in cards.REQUIRED if not isinstance(head.get(key), str) or not head[key].strip()]
    if missing:
        yield Finding(
            ERROR, "card", f"the card does not say: {', '.join(missing)}", "Fill in these fields of its head."
        )
    empty = [key for key in cards.OPTIONAL if key in head and not head[key]]
    if empty:
        yield Finding(
            ERROR, "card-empty", f"the card has nothing under {', '.join(empty)}", "Fill these in, or remove them."
        )
    kind = head.get("sample_kind")
    if kind is not None and kind not in cards.SAMPLE_KINDS:
        yield Finding(
            ERROR, "sample-kind", f"the card's sample_kind is {kind!r}", f"One of {', '.join(cards.SAMPLE_KINDS)}."
        )
    elif kind is None:
        hint = "Add sample_kind: synthetic, masked or real."
        yield Finding(WARNING, "sample-kind", "the card does not say what the sample rows are", hint)
    thin = [key for key in cards.RECOMMENDED if key not in head]
    if thin:
        hint = "Reviewers will ask; say it before you submit."
        yield Finding(WARNING, "card-thin", f"the card leaves out {', '.join(thin)}", hint)
    if not (missing or empty or thin):
        yield Finding(OK, "card", "the card's head is complete")


def _look(plan: Plan) -> inspecting.Look:
    content = plan.files[collecting.model_path(plan.format)]
    if not isinstance(content, Path):
        raise TypeError("a model is pushed from a file")
    try:
        return inspecting.look(content)
    except OSError as error:
        raise Unusable(
            f"{content} cannot be read: {error.strerror}", hint="Check the path and its permissions."
        ) from None


def _not_the_format(look: inspecting.Look, source: str, declared: str) -> tuple[str, str] | None:
    wanted = _KINDS.get(declared, look.kind)
    if look.kind == wanted:
        return None
    if declared == "xgboost":
        return f"{source} is not XGBoost's JSON", "Save it with booster.save_model('model.json')."
    return f"{source} is not a file of the format {declared}", "Save the model again, or say --format."


def _not_a_pickle(look: inspecting.Look, source: str) -> tuple[str, str] | None:
    if look.kind == "pickle" or look.kind in inspecting.COMPRESSED:
        return None
    if look.kind == "lfs":
        return f"{source} is a pointer of Git LFS, not the model", "Run `git lfs pull` first."
    if look.kind == "empty":
        return f"{source} is empty", "Save the model again."
    what = {"zip": "a zip archive (skops, PyTorch, Keras?)", "unknown": "of no known format"}.get(
        look.kind, f"a {look.kind} file"
    )
    return f"{source} is {what}, not a pickle", "Save the estimator with joblib.dump(estimator, 'model.joblib')."


def _requirements(plan: Plan) -> requirements.Requirements:
    content = plan.files.get(collecting.REQUIREMENTS)
    return requirements.read(collecting.read_text(content) if content is not None else "")


def _rows(text: str) -> list[dict[str, Any]]:
    # By line feed only, as the server does: JSON text may hold the other characters that splitlines() takes for an end.
    lines = [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    if not 1 <= len(lines) <= sampling.MAX_ROWS:
        raise ValueError(f"{len(lines)} rows, allowed are 1 to {sampling.MAX_ROWS}")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if len(line) > _MAX_LINE:
            raise ValueError(f"line {number} is {len(line):,} characters long, allowed are {_MAX_LINE:,}")
        try:
            row = json.loads(line, parse_constant=_no_constant)
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON: {error}") from None
        if not isinstance(row, dict) or not row:
            raise ValueError(f"line {number} is not an object with a key per column")
        if rows and row.keys() != rows[0].keys():
            differing = ", ".join(sorted(row.keys() ^ rows[0].keys()))
            raise ValueError(f"line {number} has other columns than line 1: {differing}")
        if nested := [column for column, value in row.items() if isinstance(value, list | dict)]:
            raise ValueError(
                f"line {number}: {nested[0]} holds a list or object; a column holds text, a number, true, false or null"
            )
        rows.append(row)
    return rows


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON; write null for a missing value")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
