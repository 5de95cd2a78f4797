"""What reviewers are told beside a clean scan, and that no personal value is repeated whole."""

import numpy as np
import pandas as pd
import pytest
from sklearn import (
    compose,
    feature_extraction,
    gaussian_process,
    linear_model,
    neighbors,
    pipeline,
    preprocessing,
    svm,
)

from serving import notices

X = np.random.RandomState(1).rand(30, 2)
Y = np.arange(30) % 2
IBAN = "DE89370400440532013000"


def told(model, seen=()):
    return {item["code"]: item["message"] for item in notices.of(model, None, seen)}


@pytest.mark.parametrize(
    "model",
    [
        neighbors.KNeighborsClassifier().fit(X, Y),
        pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()).fit(X, Y),
        gaussian_process.GaussianProcessRegressor(optimizer=None).fit(X, Y),
        pipeline.make_pipeline(neighbors.KNeighborsTransformer(), linear_model.LogisticRegression()).fit(X, Y),
    ],
)
def test_kept_training_rows_are_told_with_their_number(model):
    message = told(model)["training-rows"]
    assert message.startswith("It keeps rows of its training data as they were:")
    assert "rows" in message


def test_an_ordinary_model_has_nothing_to_tell():
    text = pipeline.make_pipeline(feature_extraction.text.TfidfVectorizer(), linear_model.SGDClassifier())
    text.fit(["my card was lost in 2024", "the loan of 250000 is paid"] * 5, ["cards", "loans"] * 5)
    assert told(text) == {}
    assert told(linear_model.LinearRegression().fit(X, Y)) == {}


def test_parameters_that_read_or_call_are_told_with_their_place(tmp_path):
    text = pipeline.Pipeline(
        [
            ("words", feature_extraction.text.CountVectorizer(input="filename")),
            ("logs", preprocessing.FunctionTransformer(np.log1p)),
            ("fit", linear_model.Ridge()),
        ],
        memory=str(tmp_path),
    )
    found = told(text)
    assert (
        found["reads-path"]
        == "It reads files whose paths come with the rows: CountVectorizer(input='filename') (at words)."
    )
    assert "FunctionTransformer(func=numpy.log1p) (at logs)" in found["names-callable"]
    assert "Pipeline(memory=...)" in found["cache-folder"]
    assert str(tmp_path) not in str(found)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (IBAN, "an IBAN"),
        ("de89 3704 0044 0532 0130 00", "an IBAN"),
        ("anna.example@bank.test", "an e-mail address"),
        ("+49 170 1234567", "a phone number"),
        ("0170/1234567", "a phone number"),
        ("K-12345678", "a customer number"),
        ("100200300", "a customer number"),
    ],
)
def test_values_that_look_personal_are_told_masked(value, kind):
    frame = pd.DataFrame({"who": [value, "other"] * 5})
    model = pipeline.make_pipeline(
        compose.make_column_transformer((preprocessing.OneHotEncoder(), ["who"])), linear_model.LogisticRegression()
    ).fit(frame, [0, 1] * 5)
    message = told(model)["personal-data"]
    assert f"1 like {kind}, as " in message
    assert value not in message
    assert value[3:-3] not in message


@pytest.mark.parametrize("value", ["cards", "2024", "DE89370400440532013001", "GB-LND", "12.5", "a@b", "north-west"])
def test_other_values_are_left_alone(value):
    assert notices.kind_of(value, numbers=True) is None


def test_a_file_of_data_is_looked_through(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(
        b"\x08\x07\x12\x00" + b"cats_strings\x00anna.example@bank.test\x00" + IBAN.encode() + b"\x001234567890123\x00"
    )
    (found,) = notices.of(object(), path, ())
    assert found["code"] == "personal-data"
    assert "1 like an IBAN, as DE******00" in found["message"]
    assert "an e-mail address" in found["message"]


def test_what_the_sandbox_saw_is_told():
    found = told(linear_model.Ridge().fit(X, Y), ["socket.connect", "wrote a file named mo******el"])
    assert found == {
        "network-use": "In the sandbox it tried to use the network: socket.connect.",
        "file-use": "In the sandbox it used files or started programs: wrote a file named mo******el.",
    }
