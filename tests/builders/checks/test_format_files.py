"""Formats that are data: what their libraries write passes the scan and answers in the sandbox as the library itself does."""

import json

import lightgbm
import numpy as np
import pytest
import xgboost

from builders.check import PROGRAM
from builders.checks import introspect, names, sample, scan
from builders.checks.introspect import Model
from tests.builders.checks import model_files
from tests.builders.checks.model_files import FILES, FRAME, TEXTS, X


@pytest.mark.parametrize(
    ("declared", "name", "write"), FILES, ids=[f"{declared}-{name}" for declared, name, _ in FILES]
)
def test_accepted(declared, name, write, tmp_path):
    write(name, tmp_path / "model")
    report = scan.scan(tmp_path / "model", declared)
    assert report["findings"] == []
    assert report["outcome"] == "passed"
    assert report["facts"]["columns"] is (name in ("columns", "named", "categories"))
    assert all(names.load().knows(label) for label in report["facts"]["globals"] if not label.startswith("numpy."))


MATRIX = [dict(zip("abc", row, strict=True)) for row in X[:5].tolist()]
NAMED = [dict(zip(("age", "amount", "rate"), row, strict=True)) for row in X[:5].tolist()]


def answered(declared, name, write, rows, tmp_path, process_sandbox, libraries):
    """The signature and the answers of a file in the sandbox, with the libraries of this test run."""
    path = tmp_path / "model"
    write(name, path)
    model = Model(path, declared, scan.scan(path, declared)["facts"]["globals"])
    read = sample.read(model_files.sample(rows))
    assert not read.findings
    found = introspect.introspect(model, read, program=PROGRAM, sandbox=process_sandbox, libraries=libraries)
    assert found.report["findings"] == []
    assert found.predict["outcome"] == "passed"
    return found.signature, found.predict["facts"]["answers"]


def test_skops_answers(tmp_path, process_sandbox, libraries):
    rows = [{"text": text} for text in TEXTS[:5]]
    signature, answers = answered("skops", "text", model_files.skops, rows, tmp_path, process_sandbox, libraries)
    assert signature.layout == "text"
    assert answers["predict"] == model_files.voice().predict(TEXTS[:5]).tolist()
    assert np.allclose(answers["predict_proba"], model_files.voice().predict_proba(TEXTS[:5]))


def test_onnx_answers(tmp_path, process_sandbox, libraries):
    signature, answers = answered("onnx", "zipmap", model_files.onnx, MATRIX, tmp_path, process_sandbox, libraries)
    assert (signature.layout, signature.inputs[0].shape) == ("matrix", (-1, 3))
    logistic = model_files.SKOPS["logistic"]()
    assert answers["predict"] == logistic.predict(X[:5]).tolist()
    assert np.allclose(answers["predict_proba"], logistic.predict_proba(X[:5]), atol=1e-6)


def test_onnx_answers_columns(tmp_path, process_sandbox, libraries):
    rows = json.loads(FRAME[:5].to_json(orient="records"))
    signature, answers = answered("onnx", "columns", model_files.onnx, rows, tmp_path, process_sandbox, libraries)
    assert [item.name for item in signature.inputs] == ["amount", "kind"]
    assert answers["predict"] == model_files.columns().predict(FRAME[:5]).tolist()


def test_lightgbm_answers(tmp_path, process_sandbox, libraries):
    signature, answers = answered(
        "lightgbm", "named", model_files.lightgbm_text, NAMED, tmp_path, process_sandbox, libraries
    )
    assert signature.layout == "frame"
    assert np.allclose(
        answers["predict"], lightgbm.Booster(model_file=tmp_path / "model").predict(X[:5]), rtol=0, atol=1e-15
    )


def test_xgboost_answers(tmp_path, process_sandbox, libraries):
    signature, answers = answered(
        "xgboost", "multiclass", model_files.xgboost_json, MATRIX, tmp_path, process_sandbox, libraries
    )
    assert signature.layout == "matrix"
    booster = xgboost.Booster()
    booster.load_model(bytearray((tmp_path / "model").read_bytes()))
    expected = booster.predict(xgboost.DMatrix(X[:5], feature_names=booster.feature_names))
    assert np.allclose(answers["predict"], expected, rtol=0, atol=1e-7)


def test_a_skops_file_with_another_allow_list_is_not_loaded(tmp_path, process_sandbox, libraries):
    """Production asks again: skops itself would trust every class of scikit-learn."""
    model_files.skops("logistic", tmp_path / "model")
    found = introspect.introspect(
        Model(tmp_path / "model", "skops", []),
        sample.read(model_files.sample(MATRIX)),
        program=PROGRAM,
        sandbox=process_sandbox,
        libraries=libraries,
    )
    assert [finding["code"] for finding in found.report["findings"]] == ["load-refused"]
    assert "sklearn.linear_model._logistic:LogisticRegression" in found.report["findings"][0]["message"]
