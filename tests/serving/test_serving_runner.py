"""Introspection: what a model takes and answers is found by calling it, and what is wrong is said before it is served."""

import json
import os
import pickle
import socket
import subprocess
import sys

import joblib
import numpy as np
import pytest
import serving_image as si
from joblib.numpy_pickle import NumpyArrayWrapper
from sklearn.dummy import DummyClassifier as Dummy
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from formats.signature import Signature
from serving import estimators, introspection
from serving.model_error import RunnerError

pytestmark = pytest.mark.long

LINE = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 2.0, -1.0])


@pytest.fixture
def folder(tmp_path):
    """The smallest model there is, saved as a pickle with its list and sample."""
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(LINE))
    names = si.imported_names(tmp_path / "model.pickle", "pickle")
    (tmp_path / "allow.json").write_text(json.dumps({"globals": names}))
    (tmp_path / "sample.jsonl").write_text('{"x1": 1, "x2": 2}\n{"x1": 0.5, "x2": 0}\n')
    return tmp_path


def refused(folder, **options):
    """The error that the program reports on its standard output, with exit code 3."""
    result = si.introspect(folder, file_format="pickle", **options)
    assert result.returncode == 3, result.stdout + result.stderr
    return json.loads(result.stdout)["error"]


def signature_inputs(model, sample):
    return introspection.introspect(model, sample)["signature"]["inputs"]


def test_a_text_model(trained):
    found = trained["voice-1"].introspection
    assert found["signature"] == {
        "layout": "text",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1], "nullable": False}],
        "outputs": [
            {"name": "predict", "datatype": "BYTES", "shape": [-1], "labels": ["app", "card", "loan"]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3], "labels": ["app", "card", "loan"]},
            {"name": "decision_function", "datatype": "FP64", "shape": [-1, 3], "labels": ["app", "card", "loan"]},
        ],
    }
    assert found["class"] == "sklearn.pipeline.Pipeline"
    assert "sklearn.linear_model._stochastic_gradient.SGDClassifier" in found["classes"]
    assert found["params"]["sgdclassifier__loss"] == "log_loss"
    assert found["libraries"]["scikit-learn"]
    assert found["labels"] == ["app", "card", "loan"]
    assert found["n_features"] is None
    assert found["rows"] == 4


def test_a_matrix_keeps_the_order_of_the_sample(trained):
    found = trained["matrix"].introspection
    assert found["columns"] == ["z", "b", "y", "a"]
    matrix = {"name": "input", "datatype": "FP64", "shape": [-1, 4], "nullable": False, "columns": ["z", "b", "y", "a"]}
    assert found["signature"]["inputs"] == [matrix]
    assert [item["datatype"] for item in found["signature"]["outputs"]] == ["BOOL", "FP64", "FP64"]


def test_a_frame_has_its_columns_types_nulls_and_categories(trained):
    found = trained["frame"].introspection
    assert found["signature"]["inputs"] == [
        {"name": "age", "datatype": "INT64", "shape": [-1], "nullable": False},
        {"name": "income", "datatype": "FP64", "shape": [-1], "nullable": True},
        {
            "name": "city",
            "datatype": "BYTES",
            "shape": [-1],
            "nullable": True,
            "categories": ["Basel", "Bern", "Genf"],
        },
        {"name": "member", "datatype": "BOOL", "shape": [-1], "nullable": False},
    ]


@pytest.mark.parametrize("name", ["voice-1", "matrix", "forest", "frame"])
def test_answers_are_the_estimators_own(trained, name):
    model = trained[name]
    rows = inputs_for(model)
    for method, answers in model.introspection["answers"].items():
        own = getattr(model.estimator, method)(rows.copy())
        if method == "predict":
            assert answers == own.tolist()
        else:
            np.testing.assert_allclose(answers, own, rtol=1e-9)
    assert Signature.from_dict(model.introspection["signature"]).to_dict() == model.introspection["signature"]


def inputs_for(model):
    """The sample as a data scientist would pass it."""
    layout = model.introspection["signature"]["layout"]
    if layout == "text":
        return np.array([row["text"] for row in model.sample], dtype=object)
    if layout == "matrix":
        return np.array([list(row.values()) for row in model.sample])
    return si.customers().head(len(model.sample))


@pytest.mark.parametrize("name", ["frame", "forest"])
def test_a_process_of_its_own_reports_the_same(trained, tmp_path, name):
    model = trained[name]
    (tmp_path / f"model.{model.format}").write_bytes(model.data)
    (tmp_path / "allow.json").write_bytes(model.allow)
    (tmp_path / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in model.sample))
    result = si.introspect(tmp_path, file_format=model.format)
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(result.stdout)
    assert found.pop("warnings") == []
    assert found.pop("notices") == []
    libraries = found.pop("libraries")
    assert libraries.keys() >= {"scikit-learn", "numpy", "scipy"}
    assert libraries.items() <= model.introspection["libraries"].items()
    assert found == {key: value for key, value in model.introspection.items() if key != "libraries"}


def test_a_null_is_accepted_where_the_model_answers_one_and_nowhere_else():
    rng = np.random.default_rng(0)
    frame = si.customers()[["age", "income"]].astype(float).fillna(0.0)
    sample = si.records(frame.head(3))
    takes_nulls = DecisionTreeClassifier(max_depth=2).fit(frame.mask(rng.random(frame.shape) < 0.2), frame["age"] > 50)
    assert [item["nullable"] for item in signature_inputs(takes_nulls, sample)] == [True, True]
    takes_none = LinearRegression().fit(frame, frame["age"])
    assert [item["nullable"] for item in signature_inputs(takes_none, sample)] == [False, False]


def test_integers_with_a_null_are_floats_as_in_pandas():
    frame = si.customers()[["age", "income"]].astype(float)
    model = DecisionTreeClassifier(max_depth=2).fit(
        frame.assign(age=frame["age"].where(frame.index > 2)), frame.index > 20
    )
    found = introspection.introspect(model, [{"income": 1.5, "age": 30}, {"income": 2.5, "age": None}])
    kinds = [(item["name"], item["datatype"], item["nullable"]) for item in found["signature"]["inputs"]]
    assert kinds == [("age", "FP64", True), ("income", "FP64", True)]
    assert found["columns"] == ["income", "age"]


def test_booleans_with_a_null_stay_booleans():
    frame = si.customers()[["member"]].astype(object)
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), DecisionTreeClassifier()).fit(frame, frame.index > 20)
    (member,) = signature_inputs(model, [{"member": True}, {"member": None}])
    assert (member["datatype"], member["nullable"]) == ("BOOL", True)


def test_parameters_are_the_same_json_on_every_run():
    words = {f"word{number}" for number in range(30)}
    model = make_pipeline(
        CountVectorizer(stop_words=frozenset(words), tokenizer=str.split, token_pattern=None), Dummy()
    )
    shown = introspection._params(model)
    assert shown["countvectorizer__stop_words"] == [*sorted(words)[:20], "... 10 more"]
    assert shown["countvectorizer__tokenizer"].endswith("split")
    assert shown["dummyclassifier"] == "<sklearn.dummy.DummyClassifier>"
    assert introspection._plain(np.float64(0.5)) == 0.5
    assert introspection._plain(float("nan")) == "nan"
    assert " at 0x" not in json.dumps(shown)


def test_what_a_model_prints_does_not_spoil_the_report(folder):
    # joblib writes the progress of a verbose forest to standard output.
    forest = RandomForestClassifier(n_estimators=2, verbose=2).fit([[0, 0], [1, 1]], [0, 1])
    (folder / "model.pickle").write_bytes(pickle.dumps(forest))
    (folder / "allow.json").write_text(json.dumps({"globals": si.imported_names(folder / "model.pickle", "pickle")}))
    result = si.introspect(folder, file_format="pickle")
    assert json.loads(result.stdout)["answers"]["predict"]
    assert "Parallel" in result.stderr


@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize(
    ("sample", "code", "message"),
    [
        pytest.param("", "sample-mismatch", "the sample has no rows", id="empty"),
        pytest.param('{"x1": 1', "sample-mismatch", "line 1 of the sample is not JSON", id="not-json"),
        pytest.param("[1, 2]", "sample-mismatch", "line 1 of the sample is not an object", id="array"),
        pytest.param('{"x1": 1, "x2": NaN}', "sample-mismatch", "NaN is no JSON; write null", id="nan"),
        pytest.param(
            '{"x1": 1, "x2": 2}\n\n{"x1": 1}', "sample-mismatch", "line 3 of the sample has other columns", id="ragged"
        ),
        pytest.param(
            '{"x1": 1}', "sample-mismatch", "the sample has 1 columns, the model was trained on 2", id="narrow"
        ),
        pytest.param('{"x1": 1, "x2": null}', "sample-mismatch", "null in every row", id="all-null"),
        pytest.param('{"x1": 1, "x2": {}}', "sample-mismatch", "values of these types: dict", id="nested"),
        pytest.param('{"x1": 1, "x2": "a"}', "predict-failed", "could not convert string to float", id="strings"),
        pytest.param('{"review": "good"}', "sample-mismatch", "the one column `text`", id="text-column-misnamed"),
        pytest.param('{"x1": 1, "x2": 1e999}', "predict-failed", "infinity", id="infinite"),
    ],
)
def test_a_sample_that_does_not_fit_is_named(tmp_path, sample, code, message):
    (tmp_path / "sample.jsonl").write_text(sample)
    with pytest.raises(RunnerError) as caught:
        introspection.introspect(LINE, introspection.read_sample(tmp_path / "sample.jsonl"))
    assert caught.value.code == code
    assert message in f"{caught.value} {caught.value.hint}"


def test_a_missing_column_is_named_with_its_nearest():
    frame = si.customers()[["age", "income"]].fillna(0)
    model = DecisionTreeClassifier(max_depth=1).fit(frame, frame["age"] > 50)
    with pytest.raises(RunnerError) as caught:
        introspection.introspect(model, [{"age": 1, "incom": 2, "city": "Bern"}])
    assert caught.value.code == "sample-mismatch"
    assert str(caught.value) == "the sample lacks 'income' (has 'incom'); has 'city', which the training had not"


@pytest.mark.parametrize(
    "held", [{"model": 1}, LinearRegression, StandardScaler()], ids=["dict", "class", "transformer"]
)
def test_what_is_no_estimator_is_refused(held):
    with pytest.raises(RunnerError, match="has no predict method") as caught:
        estimators.check_estimator(held)
    assert caught.value.code == "not-an-estimator"
    assert "Save the fitted estimator" in caught.value.hint


def test_an_unfitted_estimator_fails_on_the_sample():
    with pytest.raises(RunnerError, match="NotFittedError") as caught:
        introspection.introspect(LinearRegression(), [{"x1": 1}])
    assert caught.value.code == "predict-failed"


def test_a_name_outside_the_list_is_not_imported(folder):
    names = json.loads((folder / "allow.json").read_text())["globals"]
    (folder / "allow.json").write_text(json.dumps({"globals": [n for n in names if "LinearRegression" not in n]}))
    error = refused(folder)
    assert error["code"] == "load-refused"
    assert "LinearRegression, which is not on its allow-list" in error["message"]


class Attack:
    """Unpickling this would create the file at ``path``."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("file_format", ["pickle", "joblib"])
def test_nothing_in_the_file_runs(tmp_path, file_format):
    target = tmp_path / "attacked"
    path = tmp_path / f"model.{file_format}"
    if file_format == "pickle":
        path.write_bytes(pickle.dumps(Attack(target)))
    else:
        joblib.dump(np.array([Attack(target)], dtype=object), path)  # a pickle of its own inside joblib's stream
    wrapper = f"{NumpyArrayWrapper.__module__}:NumpyArrayWrapper"
    plain = [wrapper, "numpy:ndarray", "numpy:dtype", "numpy._core.multiarray:_reconstruct"]
    (tmp_path / "allow.json").write_text(json.dumps({"globals": plain}))
    (tmp_path / "sample.jsonl").write_text('{"x1": 1}')
    result = si.introspect(tmp_path, file_format=file_format)
    assert json.loads(result.stdout)["error"]["code"] == "load-refused"
    assert "posix:mkdir" in result.stdout
    assert not target.exists()


@pytest.mark.parametrize("data", [b"", b"\x80\x04", b"not a pickle"])
@pytest.mark.parametrize("file_format", ["pickle", "joblib"])
def test_a_broken_file_is_a_clear_failure(tmp_path, data, file_format):
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(RunnerError) as caught:
        estimators.load(tmp_path / "model", file_format, frozenset())
    assert caught.value.code == "load-failed"


def test_a_joblib_that_forgets_the_list_is_not_used(tmp_path, monkeypatch):
    joblib.dump(LINE, tmp_path / "model")
    monkeypatch.setattr(joblib, "__version__", "1.5.3")
    with pytest.raises(RunnerError, match=r"joblib 1\.5\.3") as caught:
        estimators.load(tmp_path / "model", "joblib", frozenset())
    assert caught.value.code == "load-refused"


def test_a_library_that_the_lock_lacks_is_named(folder, tmp_path):
    bare = tmp_path / "site"
    bare.mkdir()
    assert "No module named 'numpy'" in refused(folder, site=bare)["message"]
    for name in ("numpy", "numpy.libs"):
        if (si.SITE / name).exists():
            (bare / name).symlink_to(si.SITE / name)
    error = refused(folder, site=bare)
    assert error["code"] == "load-failed"
    assert "needs the module 'sklearn', which its lock does not have" in error["message"]


def test_a_frame_without_pandas_in_the_lock_says_so(trained, tmp_path):
    bare = tmp_path / "site"
    bare.mkdir()
    for path in si.SITE.iterdir():
        if not path.name.startswith(("pandas", "__pycache__")):
            (bare / path.name).symlink_to(path)
    model = trained["frame"]
    (tmp_path / "model.joblib").write_bytes(model.data)
    (tmp_path / "allow.json").write_bytes(model.allow)
    (tmp_path / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in model.sample))
    result = si.introspect(tmp_path, site=bare)
    assert "its lock has no pandas" in json.loads(result.stdout)["error"]["message"]


def test_no_library_stands_in_for_the_standard_library(folder, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "numpy").symlink_to(si.SITE / "numpy")
    (site / "pickle.py").write_text("raise SystemExit('this is not the pickle that asks the allow-list')\n")
    assert "sklearn" in refused(folder, site=site)["message"]


def test_a_model_process_ends_with_its_server(folder):
    (folder / "signature.json").write_text(json.dumps(SIGNATURE))
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-S", "-B", si.REPOSITORY / "serving" / "runner.py", "serve", "--site", si.SITE]
    command += ["--model", folder / "model.pickle", "--format", "pickle", "--allow", folder / "allow.json"]
    command += ["--signature", folder / "signature.json", "--fd", str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process, ours, theirs:
        ours.settimeout(30)
        assert b'"ready": true' in ours.recv(4096)
        ours.close()
        assert process.wait(10) == 0


SIGNATURE = {
    "layout": "matrix",
    "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 2], "nullable": False}],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
}
