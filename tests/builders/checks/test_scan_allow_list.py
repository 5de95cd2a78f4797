"""The allow-list is data that people review: exact names, nothing that opens, imports, runs or calls."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from builders.checks import names

ROOT = Path(names.__file__).parents[2]
LISTED = names.load()


def test_names_are_exact():
    for label in LISTED.uses:
        assert re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", label), label
    for label, taken in LISTED.takes.items():
        assert LISTED.may_be_called(label), f"{label} takes names, but is never called"
        assert all(LISTED.knows(name) for name in taken), f"{label} takes a name that is not listed"


@pytest.mark.parametrize(
    "label",
    [
        "builtins:eval", "builtins:exec", "builtins:getattr", "builtins:open", "builtins:type", "builtins:__import__", "builtins:map",
        "os:system", "posix:system", "functools:partial", "operator:methodcaller", "operator:attrgetter", "operator:itemgetter",
        "collections:namedtuple", "pathlib:PosixPath", "types:FunctionType", "numpy:load", "numpy:vectorize", "numpy:fromfile",
        "numpy:frompyfunc", "joblib.memory:Memory", "joblib.numpy_pickle:load", "sklearn.datasets._base:load_files",
        "sklearn.utils.parallel:_FuncWrapper", "sklearn.metrics._dist_metrics:PyFuncDistance64", "sklearn.utils._mocking:CheckingClassifier",
        "scipy.stats._continuous_distns:norm_gen", "lightgbm.basic:Dataset", "xgboost.core:DMatrix", "joblib.numpy_pickle_compat:NDArrayWrapper",
    ],
)  # fmt: skip
def test_left_out(label):
    assert not LISTED.knows(label)


@pytest.mark.parametrize(
    "label",
    [
        "numpy:memmap",
        "numpy:ndarray",
        "numpy:log1p",
        "joblib.numpy_pickle:NumpyArrayWrapper",
        "builtins:object",
        "numpy:mean",
    ],
)
def test_only_referred_to(label):
    assert LISTED.knows(label)
    assert not LISTED.may_be_new(label)
    assert not LISTED.may_be_called(label)


@pytest.mark.parametrize(
    "label", ["lightgbm.basic:Booster", "xgboost.core:Booster", "sklearn.feature_extraction.text:CountVectorizer"]
)
def test_never_constructed(label):
    assert LISTED.may_be_new(label)
    assert not LISTED.may_be_called(label)


def test_few_names_are_called():
    called = sorted(label for label in LISTED.uses if LISTED.may_be_called(label))
    assert 30 < len(called) < 90, called
    assert [label for label in called if label.startswith("sklearn.") and "._" not in label] == []


@pytest.mark.parametrize(
    "label",
    [
        "numpy.core.multiarray:_reconstruct", "numpy._core.multiarray:_reconstruct", "numpy.core._multiarray_umath:log1p",
        "_loss:CyHalfBinomialLoss", "sklearn.ensemble._gb_losses:BinomialDeviance", "sklearn.linear_model._sgd_fast:Log",
    ],
)  # fmt: skip
def test_names_of_earlier_versions(label):
    assert LISTED.knows(label)


def test_distributions():
    assert LISTED.distributions == {
        "_loss": "scikit-learn", "joblib": "joblib", "lightgbm": "lightgbm", "numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn",
        "xgboost": "xgboost",
    }  # fmt: skip


def test_the_digest_is_of_the_names_alone(tmp_path):
    """Moving a name to another file or changing a note is no change of what may run; widening a use is."""

    def folder(label: str, *parts: dict) -> names.AllowList:
        place = tmp_path / label
        place.mkdir()
        for number, part in enumerate(parts):
            document = {
                "schema": names.SCHEMA,
                "distribution": None,
                "names": {"ref": [], "new": [], "call": []} | part,
                "takes": {},
            }
            (place / f"{number}.json").write_text(json.dumps(document))
        return names.load(place)

    one = folder("one", {"ref": ["a:b"], "new": ["a:c"]})
    two = folder("two", {"new": ["a:c"]}, {"ref": ["a:b"]}, {"ref": ["a:c"]})
    three = folder("three", {"ref": ["a:b"], "call": ["a:c"]})
    assert one.digest == two.digest != three.digest
    assert two.may_be_new("a:c")


def test_another_schema_is_refused(tmp_path):
    (tmp_path / "list.json").write_text('{"schema": "countersign.allow-list/2"}')
    with pytest.raises(ValueError, match=r"allow-list/2 is not countersign\.allow-list/1"):
        names.load(tmp_path)


@pytest.mark.long
def test_the_stored_list_is_what_the_tool_writes():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/allow-list", "check"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
