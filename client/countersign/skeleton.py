"""The package that `countersign wheel init` writes: what a model's own code looks like when it can be pushed as a wheel."""

import re
import sys
from pathlib import Path

from countersign import files
from countersign.errors import Unusable

_TAKEN = frozenset(
    {"numpy", "scipy", "sklearn", "pandas", "joblib", "skops", "lightgbm", "xgboost", "onnxruntime", "tests"}
)

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{project}"
version = "1.0"
description = "Features of our models."
requires-python = ">=3.11"
dependencies = ["numpy", "scikit-learn"]

[tool.hatch.build.targets.wheel]
packages = ["src/{name}"]
"""

MODULE = '''\
"""Transformers of our own. Models name them by their place: moving or renaming one breaks models that were saved before."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class QuantileClipper(TransformerMixin, BaseEstimator):
    """Clips each column to the quantiles that it was fitted on.

    The same input always gives the same output: no clock, no random numbers, no file, no network.
    """

    def __init__(self, lower=0.01, upper=0.99):
        self.lower = lower
        self.upper = upper

    def fit(self, X, y=None):
        X = validate_data(self, X, dtype=np.float64)
        self.low_, self.high_ = np.quantile(X, [self.lower, self.upper], axis=0)
        return self

    def transform(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.clip(X, self.low_, self.high_)
'''

TEST = """\
import pickle

import numpy as np

from {name} import QuantileClipper

ROWS = np.array([[float(number), -float(number)] for number in range(100)])


def test_it_clips_to_what_it_was_fitted_on():
    clipper = QuantileClipper(0.1, 0.9).fit(ROWS)
    answered = clipper.transform([[1000.0, -1000.0]])
    assert np.allclose(answered, [[clipper.high_[0], clipper.low_[1]]])


def test_it_is_found_by_its_place_and_answers_the_same_again():
    clipper = QuantileClipper().fit(ROWS)
    again = pickle.loads(pickle.dumps(clipper))
    assert type(again).__module__ == "{name}"
    assert (again.transform(ROWS) == clipper.transform(ROWS)).all()
"""

README = """\
# {project}

Code that our models need in production.

1. Write your transformers in `src/{name}/`, as classes at the top level of a module. `QuantileClipper` is an example.
2. Install it where you train, and try it: `pip install -e . pytest`, then `pytest`.
3. Train with it: `from {name} import QuantileClipper`, in a pipeline of scikit-learn, saved with joblib.
4. Raise `version` in `pyproject.toml`, and build the wheel: `pip wheel --no-deps -w dist .` (or `python -m build`).
5. Push both: `countersign push model/ --wheel dist/{wheel}-1.0-py3-none-any.whl`

Reviewers read the wheel's source as a difference to what they approved before, and sign its digest. It must be pure Python,
hold text only, and run nothing when Python starts: no scripts, entry points, data folders or compiled modules.
"""


def write(name: str, folder: Path) -> list[Path]:
    """Write the package ``name`` into ``folder``; files that are there stay as they are and are left out of the answer.

    :raises Unusable: the name cannot be imported, or is that of another library.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,40}", name) or name.endswith("_") or "__" in name:
        raise Unusable(
            f"{name!r} is no name of a package", hint="Use lower-case letters, digits and single underscores."
        )
    if name in _TAKEN or name in sys.stdlib_module_names:
        raise Unusable(f"{name} is the name of another library", hint="Take a name of your own, as riskfeatures.")
    project = name.replace("_", "-")
    written = []
    for path, text in (
        ("pyproject.toml", PROJECT),
        (f"src/{name}/__init__.py", MODULE),
        (f"tests/test_{name}.py", TEST),
        ("README.md", README),
    ):
        place = folder / path
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            filled = text.replace("{project}", project).replace("{name}", name).replace("{wheel}", name)
            files.write_whole(place, filled.encode())
            written.append(place)
    return written
