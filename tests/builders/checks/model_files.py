"""Model files of every format that is data, as their own libraries write them."""

import json
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn import compose, ensemble, feature_extraction, impute, linear_model, neighbors, pipeline, preprocessing, svm
from skops import io as skops_io

ROWS = 60
X = np.random.RandomState(5).uniform(0.1, 1.0, (ROWS, 3))
Y = np.arange(ROWS) % 3
TWO = (X[:, 0] > 0.5).astype(int)
TEXTS = [f"feedback {row} on {'cards' if row % 2 else 'loans'}" for row in range(ROWS)]
FRAME = pd.DataFrame({"amount": X[:, 0], "kind": np.array(["new", "old"])[TWO]})


def voice() -> pipeline.Pipeline:
    return pipeline.make_pipeline(
        feature_extraction.text.TfidfVectorizer(), linear_model.SGDClassifier(loss="log_loss", random_state=0)
    ).fit(TEXTS, TWO)


def columns() -> pipeline.Pipeline:
    encode = compose.make_column_transformer(
        (pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), ["amount"]),
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["kind"]),
    )
    return pipeline.make_pipeline(encode, linear_model.LogisticRegression()).fit(FRAME, TWO)


SKOPS: dict[str, Callable[[], object]] = {
    "text": voice,
    "columns": columns,
    "logistic": lambda: linear_model.LogisticRegression().fit(X, Y),
    "forest": lambda: ensemble.RandomForestClassifier(4, random_state=0).fit(X, Y),
    "gradient-boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    "hist-gradient-boosting": lambda: ensemble.HistGradientBoostingRegressor(max_iter=3).fit(X, X[:, 0]),
    "neighbours": lambda: neighbors.KNeighborsClassifier().fit(X, Y),
    "isolation-forest": lambda: ensemble.IsolationForest(n_estimators=4).fit(X),
    "svc": lambda: svm.SVC().fit(X, Y),
    "random-state": lambda: linear_model.SGDClassifier(random_state=np.random.RandomState(1)).fit(X, Y),
    "ridge": lambda: linear_model.Ridge().fit(X, X[:, 0]),
    "iterative": lambda: pipeline.make_pipeline(preprocessing.PolynomialFeatures(), linear_model.Lasso()).fit(
        X, X[:, 1]
    ),
}


def skops(name: str, path: Path) -> None:
    skops_io.dump(SKOPS[name](), path)


def onnx(name: str, path: Path) -> None:
    rows = X.astype(np.float32)[:1]
    logistic = linear_model.LogisticRegression().fit(X, Y)
    made = {
        "zipmap": lambda: to_onnx(logistic, rows),
        "tensor": lambda: to_onnx(logistic, rows, options={"zipmap": False}),
        "double": lambda: to_onnx(linear_model.Ridge().fit(X, X[:, 0]), X[:1]),
        "forest": lambda: to_onnx(ensemble.RandomForestClassifier(3).fit(X, Y), rows, options={"zipmap": False}),
        "scaled": lambda: to_onnx(
            pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()).fit(X, X[:, 0]), rows
        ),
        "columns": lambda: to_onnx(
            columns(), initial_types=[("amount", FloatTensorType([None, 1])), ("kind", StringTensorType([None, 1]))]
        ),
    }[name]()
    path.write_bytes(made.SerializeToString())


ONNX = ("zipmap", "tensor", "double", "forest", "scaled", "columns")


def lightgbm_text(name: str, path: Path) -> None:
    train = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    frame = pd.DataFrame(X, columns=["age", "amount", "rate"]).assign(kind=pd.Categorical(FRAME["kind"]))
    {
        "regression": lambda: lightgbm.train({**train, "objective": "regression"}, lightgbm.Dataset(X, X[:, 0]), 4),
        "multiclass": lambda: lightgbm.train(
            {**train, "objective": "multiclass", "num_class": 3}, lightgbm.Dataset(X, Y), 3
        ),
        "named": lambda: lightgbm.train(
            {**train, "objective": "binary"}, lightgbm.Dataset(frame.drop(columns="kind"), TWO), 3
        ),
        "categories": lambda: lightgbm.train({**train, "objective": "binary"}, lightgbm.Dataset(frame, TWO), 3),
        "one-leaf": lambda: lightgbm.train(
            {**train, "objective": "regression"}, lightgbm.Dataset(X, X[:, 0] * 0 + 1), 1
        ),
        "dart": lambda: lightgbm.train({**train, "boosting": "dart"}, lightgbm.Dataset(X, X[:, 0]), 3),
    }[name]().save_model(path)


LIGHTGBM = ("regression", "multiclass", "named", "categories", "one-leaf", "dart")


def xgboost_json(name: str, path: Path) -> None:
    frame = pd.DataFrame(X, columns=["age", "amount", "rate"])
    mixed = frame.assign(kind=pd.Categorical(FRAME["kind"]))
    {
        "regression": lambda: xgboost.train({}, xgboost.DMatrix(X, X[:, 0]), 4),
        "multiclass": lambda: xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(X, Y), 3),
        "named": lambda: xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(frame, TWO), 3),
        "categories": lambda: xgboost.train({}, xgboost.DMatrix(mixed, TWO, enable_categorical=True), 3),
        "linear": lambda: xgboost.train({"booster": "gblinear"}, xgboost.DMatrix(X, X[:, 0]), 3),
        "dart": lambda: xgboost.train({"booster": "dart"}, xgboost.DMatrix(X, X[:, 0]), 3),
    }[name]().save_model(path.with_suffix(".json"))  # XGBoost goes by the ending
    path.with_suffix(".json").rename(path)


XGBOOST = ("regression", "multiclass", "named", "categories", "linear", "dart")

FILES = [
    *(("skops", name, skops) for name in SKOPS),
    *(("onnx", name, onnx) for name in ONNX),
    *(("lightgbm", name, lightgbm_text) for name in LIGHTGBM),
    *(("xgboost", name, xgboost_json) for name in XGBOOST),
]
"""(format, name, writer) of every file."""


def sample(rows: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
