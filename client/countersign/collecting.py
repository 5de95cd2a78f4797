"""From a folder or a file to a `Plan`: everything a push consists of, read and nothing sent yet."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from countersign import environment, mlflow_folder, own_wheels, refs
from countersign.errors import Unusable
from countersign.formats import digest as digests

MODEL_EXTENSIONS = {
    ".joblib": "joblib",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".skops": "skops",
    ".onnx": "onnx",
    ".txt": "lightgbm",
    ".json": "xgboost",
}
CARD, SAMPLE, REQUIREMENTS = "card.md", "sample.jsonl", "requirements.txt"
METRICS, LINEAGE = "metrics.json", "lineage.json"
Content = Path | bytes
_IGNORED = frozenset({CARD, SAMPLE, REQUIREMENTS, METRICS, LINEAGE, "countersign.toml", "countersign.json"})


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said about a version beside its files.

    ``author``: user name of who trained it, where a pipeline pushes. ``lineage``: edges as `edge` makes them.
    """

    label: str | None = None
    author: str | None = None
    metrics: Sequence[Mapping[str, Any]] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    lineage: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A push before it happens.

    ``files``: a local file, or the bytes themselves, by path in the version. ``source`` is how the model file is called here, for messages.
    ``left_out``: names in the folder that are not part of a push and stay here.
    """

    name: str
    format: str
    files: Mapping[str, Content]
    source: str
    card: str
    environment: Mapping[str, Any]
    facts: Facts
    left_out: tuple[str, ...] = ()


def model_path(model_format: str) -> str:
    """What the model file is called inside a version: one name per format, whatever it was called here."""
    extension = next((ext for ext, known in MODEL_EXTENSIONS.items() if known == model_format), f".{model_format}")
    return f"model{extension}"


def collect(
    path: Path,
    *,
    name: str,
    facts: Facts,
    model_format: str | None = None,
    card: Path | None = None,
    sample: Path | None = None,
    requirements: Path | None = None,
    wheels: Iterable[str | Path] = (),
) -> Plan:
    """Read a folder, a model file with its neighbours, or a folder written by MLflow.

    :param model_format: overrides what the file's extension says.
    :param wheels: of code that the model brings, see `own_wheels.collect`.
    :raises Unusable: there is no model file, more than one, or no card; a named file is missing.
    """
    refs.parse_name(name)
    if not path.exists():
        raise Unusable(f"{path} does not exist", hint="Name a model file, or the folder it is in.")
    folder = path if path.is_dir() else path.parent
    found = mlflow_folder.read(path) if path.is_dir() and mlflow_folder.is_one(path) else None
    model = found.model if found else path if path.is_file() else _only_model(path)
    model_format = model_format or (found.format if found else None) or MODEL_EXTENSIONS.get(model.suffix.lower())
    if model_format is None:
        raise Unusable(
            f"{model.name} has no extension of a model file",
            hint=f"Call it model{' or model'.join(MODEL_EXTENSIONS)}, or say --format.",
        )
    files: dict[str, Content] = {model_path(model_format): model}
    if (rows := _given(sample, folder / SAMPLE)) is not None:
        files[SAMPLE] = rows
    elif found and found.sample is not None:
        files[SAMPLE] = found.sample
    if (pins := _given(requirements, folder / REQUIREMENTS)) is not None:
        files[REQUIREMENTS] = pins
    files |= own_wheels.collect(wheels)
    card_file = _given(card, folder / CARD)
    if card_file is None:
        raise Unusable(
            f"there is no {CARD} in {folder}", hint="`countersign init` writes one to fill in, or name one with --card."
        )
    if not facts.metrics and (folder / METRICS).is_file():
        facts = replace(facts, metrics=read_metrics(folder / METRICS))
    if (folder / LINEAGE).is_file():
        known = read_lineage(folder / LINEAGE)
        facts = replace(facts, lineage=[*known, *(edge for edge in facts.lineage if edge not in known)])
    sent = {file.resolve() for file in files.values() if isinstance(file, Path)} | {card_file.resolve()}
    return Plan(
        name=name,
        format=model_format,
        files=files,
        source=model.name,
        card=read_text(card_file),
        environment=found.environment if found else environment.describe(),
        facts=facts,
        left_out=_left_out(folder, sent) if path.is_dir() else (),
    )


def read_text(content: Content) -> str:
    """:raises Unusable: the file cannot be read, or is not UTF-8."""
    name = str(content) if isinstance(content, Path) else "the text"
    try:
        return (content.read_bytes() if isinstance(content, Path) else content).decode()
    except OSError as error:
        raise Unusable(f"{name} cannot be read: {error.strerror}", hint="Check the path and its permissions.") from None
    except UnicodeDecodeError as error:
        raise Unusable(f"{name} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Metrics of a JSON file: ``{"accuracy": 0.93}`` or a list of ``{"name", "value", "dataset", "higher_is_better"}``."""
    try:
        return metric_list(json.loads(read_text(path)))
    except ValueError as error:
        raise Unusable(f"{path} is not JSON: {error}") from None


def read_lineage(path: Path) -> list[dict[str, str]]:
    """Edges of a JSON file: a list of ``{"relation", "kind", "ref", "digest"}``, the digest where it is known."""
    try:
        edges = json.loads(read_text(path))
    except ValueError as error:
        raise Unusable(f"{path} is not JSON: {error}") from None
    if not isinstance(edges, list) or not all(_is_edge(item) for item in edges):
        hint = 'Write [{"relation": "trained_on", "kind": "dataset", "ref": "feedback", "digest": "sha256:..."}].'
        raise Unusable(f"{path} is not a list of lineage edges", hint=hint)
    return edges


def metric_list(given: Any) -> list[dict[str, Any]]:
    """:raises Unusable: not a mapping of numbers, nor a list of metrics."""
    if isinstance(given, Mapping):
        given = [{"name": name, "value": value} for name, value in given.items()]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise Unusable("metrics are neither an object nor a list", hint='Write {"accuracy": 0.93}.')
    metrics = []
    for metric in given:
        if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str) or "value" not in metric:
            raise Unusable(f"{metric!r} is not a metric", hint='Write {"name": "accuracy", "value": 0.93}.')
        if unknown := sorted(metric.keys() - {"name", "value", "dataset", "higher_is_better"}):
            hint = "A metric has name and value, and may have dataset and higher_is_better."
            raise Unusable(f"metric {metric['name']} has unknown members: {', '.join(map(str, unknown))}", hint=hint)
        metrics.append({**metric, "value": _number(metric["name"], metric["value"])})
    return metrics


def edge(relation: str, kind: str, given: str) -> dict[str, str]:
    """A lineage edge to ``given``: `name@sha256:...`, a file that lies here (its bytes are hashed), or any reference."""
    name, _, digest = given.rpartition("@")
    if name and digest.startswith("sha256:"):
        try:
            digests.parse(digest)
        except ValueError as error:
            raise Unusable(f"{given}: {error}") from None
        return {"relation": relation, "kind": kind, "ref": name, "digest": digest}
    if kind == "dataset" and Path(given).is_file():
        return {"relation": relation, "kind": kind, "ref": Path(given).name, "digest": digests.of_file(given)[0]}
    return {"relation": relation, "kind": kind, "ref": given}


def lineage(
    *,
    datasets: Iterable[str] = (),
    evaluated_on: Iterable[str] = (),
    commit: str | None = None,
    run: str | None = None,
    parent: str | None = None,
) -> list[dict[str, str]]:
    """What a version was made from, as edges."""
    edges = [edge("trained_on", "dataset", given) for given in datasets]
    edges += [edge("evaluated_on", "dataset", given) for given in evaluated_on]
    edges += [edge("built_from", "commit", commit)] if commit else []
    edges += [edge("produced_by", "run", run)] if run else []
    edges += [edge("derived_from", "version", str(refs.parse(parent)))] if parent else []
    return edges


def _is_edge(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and {"relation", "kind", "ref"} <= item.keys() <= {"relation", "kind", "ref", "digest"}
        and all(isinstance(value, str) for value in item.values())
    )


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)  # also of numpy's numbers
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool | str) or not math.isfinite(number):
        raise Unusable(f"metric {name} is {value!r}", hint="A metric is a finite number.")
    return number


def _only_model(folder: Path) -> Path:
    models = sorted(file for file in folder.iterdir() if file.suffix.lower() in MODEL_EXTENSIONS and file.is_file())
    named = [file for file in models if file.stem == "model"]
    # A text or JSON file under another name may be anything.
    models = [file for file in models if file.suffix.lower() not in (".txt", ".json")]
    candidates = named or models
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise Unusable(f"there is no model file in {folder}", hint="Save it there as model.joblib, or name the file.")
    listed = ", ".join(file.name for file in candidates)
    raise Unusable(f"{folder} holds {len(candidates)} model files: {listed}", hint="Name the one to push.")


def _given(named: Path | None, usual: Path) -> Path | None:
    if named is None:
        return usual if usual.is_file() else None
    if not named.is_file():
        raise Unusable(f"{named} is not a file", hint="Check the path.")
    return named


def _left_out(folder: Path, sent: set[Path]) -> tuple[str, ...]:
    others = [entry for entry in folder.iterdir() if entry.resolve() not in sent and entry.name not in _IGNORED]
    return tuple(sorted(entry.name + ("/" if entry.is_dir() else "") for entry in others if entry.name[0] != "."))
