"""Folders written by MLflow, taken as they are: what `MLmodel` declares, its one model file, requirements, input example.

Nothing of the folder is run: MLflow's own loaders and code folders are not used, only the file of an accepted format.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from countersign import environment, requirements, sampling
from countersign.errors import Unusable

_SKLEARN = {"pickle": "pickle", "cloudpickle": "pickle", "joblib": "joblib", "skops": "skops"}
_DATA = {"onnx": "model.onnx", "lightgbm": "model.lgb", "xgboost": "model.json"}
"""Flavours whose model file is data, and what it is called where `MLmodel` does not say."""


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
    """:raises Unusable: `MLmodel` is not YAML, or declares no flavour of an accepted format, or a file that is not there."""
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        flavors = {str(name): dict(said or {}) for name, said in dict(content["flavors"]).items()}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
        raise Unusable(f"{folder / 'MLmodel'} cannot be read: {error}") from None
    model, model_format = _model(folder, flavors)
    python = str(flavors.get("python_function", {}).get("python_version") or "")
    return MlflowModel(model, model_format, _environment(folder, python), _sample(folder, content))


def _model(folder: Path, flavors: Mapping[str, Mapping[str, Any]]) -> tuple[Path, str]:
    """The model file and its format, of the flavour that has one."""
    if "sklearn" in flavors:
        flavor = flavors["sklearn"]
        said = str(flavor.get("serialization_format", "pickle"))
        if said not in _SKLEARN:
            raise Unusable(
                f"{folder} was saved as {said}, which is not taken here",
                hint="Save it with mlflow.sklearn.save_model(..., serialization_format='cloudpickle' or 'skops').",
            )
        return _inside(folder, str(flavor.get("pickled_model", "model.pkl"))), _SKLEARN[said]
    for name, usual in _DATA.items():
        if name in flavors:
            model = _inside(folder, str(flavors[name].get("data", usual)))
            if name == "xgboost" and model.read_bytes()[:1] != b"{":
                raise Unusable(
                    f"{model.name} is not XGBoost's JSON",
                    hint="Save it with mlflow.xgboost.save_model(..., model_format='json').",
                )
            return model, name
    raise Unusable(
        f"{folder} was written by MLflow as {', '.join(flavors) or 'nothing'}",
        hint="Countersign takes MLflow's flavours sklearn, onnx, lightgbm and xgboost; save the estimator itself as model.joblib instead.",
    )


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
