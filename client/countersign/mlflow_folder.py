"""Folders written by MLflow's scikit-learn flavour, taken as they are: `MLmodel`, requirements, input example."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from countersign import environment, requirements, sampling
from countersign.errors import Unusable

_FORMATS = {"pickle": "pickle", "cloudpickle": "pickle", "joblib": "joblib", "skops": "skops"}


@dataclass(frozen=True, slots=True)
class MlflowModel:
    """What the folder says: the model file, its format, the environment, and sample rows in our form if it has an example."""

    model: Path
    format: str
    environment: Mapping[str, Any]
    sample: bytes | None


def is_one(folder: Path) -> bool:
    return (folder / "MLmodel").is_file()


def read(folder: Path) -> MlflowModel:
    """:raises Unusable: `MLmodel` is not YAML, or is not of the scikit-learn flavour, or names a file that is not there."""
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavors = dict(content["flavors"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise Unusable(f"{folder / 'MLmodel'} cannot be read: {error}") from None
    if "sklearn" not in flavors:
        raise Unusable(
            f"{folder} was written by MLflow as {', '.join(flavors) or 'nothing'}",
            hint="Countersign takes MLflow's sklearn flavour; save the estimator itself as model.joblib instead.",
        )
    flavor = flavors["sklearn"]
    model = _inside(folder, str(flavor.get("pickled_model", "model.pkl")))
    model_format = _FORMATS.get(str(flavor.get("serialization_format", "pickle")), "pickle")
    python = str((flavors.get("python_function") or {}).get("python_version") or "")
    return MlflowModel(model, model_format, _environment(folder, python), _sample(folder, content))


def rows_of(example: Any) -> list[dict[str, Any]]:
    """Rows of an input example in any of the forms MLflow writes.

    :raises Unusable: none of them.
    """
    if isinstance(example, Mapping):
        for key in ("dataframe_split", "dataframe_records", "inputs", "instances"):
            if key in example:
                return rows_of(example[key])
        if isinstance(example.get("columns"), list) and isinstance(example.get("data"), list):
            return [dict(zip(example["columns"], row, strict=True)) for row in example["data"]]
        if example and all(isinstance(values, list) for values in example.values()):
            return [dict(zip(example, row, strict=True)) for row in zip(*example.values(), strict=True)]
    if isinstance(example, list) and all(isinstance(row, Mapping) for row in example):
        return [dict(row) for row in example]
    if isinstance(example, list):
        return [dict(row) for row in sampling.read(example).rows]
    raise Unusable("MLflow's input example has a form that is not known here", hint="Write the rows as sample.jsonl.")


def _environment(folder: Path, python: str) -> dict[str, Any]:
    """The environment the model was trained in, which need not be this one: its pins say all we know of it."""
    here = environment.describe()
    if not python or environment.minor(python) == environment.minor(here["python"]):
        return here
    try:
        pins = requirements.read((folder / "requirements.txt").read_text(encoding="utf-8")).pins
    except FileNotFoundError:
        pins = {}
    return {**here, "python": python, "distributions": pins}


def _sample(folder: Path, content: Mapping[str, Any]) -> bytes | None:
    info = content.get("saved_input_example_info") or {}
    name = info.get("artifact_path")
    if not name:
        return None
    try:
        rows = rows_of(json.loads(_inside(folder, str(name)).read_text(encoding="utf-8")))
    except ValueError as error:
        raise Unusable(f"{folder / name} cannot be read as rows: {error}") from None
    return sampling.dump(rows[: sampling.MAX_ROWS]).encode()


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if folder.resolve() not in path.parents or not path.is_file():
        raise Unusable(f"{folder / 'MLmodel'} names {name}, which is not a file of that folder")
    return path
