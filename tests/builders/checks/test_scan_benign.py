"""Models that people really make pass the scan, in every form, and what they import is told."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    isotonic,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)  # fmt: skip

from builders.checks import names, scan
from builders.checks.examine import examine
from builders.checks.limits import Limits

pytestmark = pytest.mark.long

ROWS = 60
X = np.random.RandomState(5).uniform(0.1, 1.0, (ROWS, 4))
Y = np.arange(ROWS) % 3
TWO = np.arange(ROWS) % 2
NAMES = np.array(["cards", "loans", "other"], dtype=object)[Y]
TEXTS = [f"feedback {row} on {NAMES[row]}" for row in range(ROWS)]
FRAME = pd.DataFrame({"amount": X[:, 0], "age": Y, "kind": NAMES, "region": pd.Categorical(TWO.astype(str))})


def voice():
    return pipeline.make_pipeline(
        feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2)),
        linear_model.SGDClassifier(loss="log_loss", random_state=0),
    ).fit(TEXTS, NAMES)


def columns():
    numeric = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    encode = compose.make_column_transformer(
        (numeric, ["amount", "age"]),
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        (preprocessing.OrdinalEncoder(), ["region"]),
    )
    return pipeline.make_pipeline(encode, ensemble.HistGradientBoostingClassifier(max_iter=3)).fit(FRAME, Y)


MODELS = {
    "tfidf-sgd": voice,
    "columns-hist-gradient-boosting": columns,
    "logistic": lambda: linear_model.LogisticRegression().fit(X, NAMES),
    "ridge": lambda: linear_model.RidgeCV().fit(X, X[:, 0]),
    "elastic-net": lambda: linear_model.ElasticNet().fit(X, X[:, 0]),
    "random-forest": lambda: ensemble.RandomForestClassifier(5).fit(X, NAMES),
    "random-forest-regressor": lambda: ensemble.RandomForestRegressor(5).fit(X, X[:, :2]),
    "gradient-boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=3).fit(X, TWO),
    "isolation-forest": lambda: ensemble.IsolationForest(n_estimators=5).fit(X),
    "stacking": lambda: ensemble.StackingClassifier([("a", naive_bayes.GaussianNB()), ("b", tree.DecisionTreeClassifier())], cv=2).fit(X, TWO),
    "voting": lambda: ensemble.VotingClassifier([("a", naive_bayes.GaussianNB()), ("b", svm.SVC())]).fit(X, TWO),
    "svc": lambda: svm.SVC(kernel="rbf").fit(X, Y),
    "neighbours-kd-tree": lambda: neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(X, Y),
    "neighbours-ball-tree": lambda: neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="manhattan").fit(X, X[:, 0]),
    "calibrated": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2).fit(X, TWO),
    "grid-search": lambda: model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [0.1, 1]}, cv=2, scoring="accuracy").fit(X, TWO),
    "function-transformer": lambda: pipeline.make_pipeline(
        preprocessing.FunctionTransformer(np.log1p), feature_selection.SelectKBest(k=2), linear_model.LogisticRegression()
    ).fit(X, Y),
    "kmeans": lambda: cluster.KMeans(3, n_init=1).fit(X),
    "pca-gaussian-process": lambda: pipeline.make_pipeline(
        decomposition.PCA(2), gaussian_process.GaussianProcessClassifier(gaussian_process.kernels.RBF(), optimizer=None)
    ).fit(X, TWO),
    "isotonic": lambda: isotonic.IsotonicRegression().fit(X[:, 0], X[:, 1]),
    "network": lambda: neural_network.MLPClassifier((4,), max_iter=3, random_state=np.random.RandomState(1)).fit(X, Y),
    "hashing": lambda: pipeline.make_pipeline(feature_extraction.text.HashingVectorizer(n_features=512), naive_bayes.BernoulliNB()).fit(TEXTS, NAMES),
    "sparse": lambda: linear_model.SGDClassifier().fit(X, Y).sparsify(),
    "spline": lambda: pipeline.make_pipeline(preprocessing.SplineTransformer(), linear_model.Ridge()).fit(X, X[:, 0]),
}  # fmt: skip
FORMS = {
    "plain": "joblib",
    "zlib": "joblib",
    "xz": "joblib",
    "pickle": "pickle",
    "pickle-protocol-2": "pickle",
    "pickle-protocol-5": "pickle",
}


def written(model, form: str) -> bytes:
    if form.startswith("pickle"):
        return pickle.dumps(model, protocol=int(form[-1]) if form[-1].isdigit() else None)
    sink = io.BytesIO()
    joblib.dump(model, sink, compress={"plain": 0, "zlib": 3, "xz": ("xz", 3)}[form])
    return sink.getvalue()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("label", MODELS)
def test_accepted_in_every_form(label):
    model = MODELS[label]()
    found = {
        form: examine(io.BytesIO(written(model, form)), declared, Limits(), names.load())
        for form, declared in FORMS.items()
    }
    assert {form: result.findings for form, result in found.items()} == dict.fromkeys(FORMS, ())
    cls = f"{type(model).__module__}:{type(model).__qualname__}"
    assert all(cls in result.globals for result in found.values())


@pytest.mark.parametrize("form", ["joblib", "zlib", "pickle"])
def test_report(save, form):
    report = scan.scan(save(voice(), form), "pickle" if form == "pickle" else "joblib")
    assert report["outcome"] == "passed"
    assert report["isolation"] == "none"
    assert report["findings"] == []
    facts = report["facts"]
    assert facts.keys() == {"format", "opcodes", "globals", "columns", "allow_list"}
    assert facts["globals"] == sorted(facts["globals"])
    assert "sklearn.feature_extraction.text:TfidfVectorizer" in facts["globals"]
    assert facts["opcodes"] > 100
    assert facts["allow_list"] == names.load().digest
    assert report == scan.scan(save(voice(), form), "pickle" if form == "pickle" else "joblib")


def test_named_columns_are_noticed(save):
    assert scan.scan(save(columns()), "joblib")["facts"]["columns"] is True
    assert scan.scan(save(voice()), "joblib")["facts"]["columns"] is False


def test_old_protocols_list_names_as_the_loader_is_asked_for_them(tmp_path):
    """A loader's find_class gets the names of Python 2 that protocol 2 is written with."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"labels": {1, 2}, "model": linear_model.Ridge()}, protocol=2))
    assert {"__builtin__:set", "builtins:set"} <= set(scan.scan(path, "pickle")["facts"]["globals"])


class Cleaner(preprocessing.FunctionTransformer):
    """Stands for a class of the scientist's own."""


def test_the_place_of_an_unknown_class_is_told(save):
    model = pipeline.Pipeline(
        [("scale", preprocessing.StandardScaler()), ("clean", Cleaner()), ("fit", linear_model.Ridge())]
    )
    (finding,) = scan.scan(save(model), "joblib")["findings"]
    assert finding["code"] == "unknown-name"
    assert f"Cleaner of the module {Cleaner.__module__}" in finding["message"]
    assert "It is at: Pipeline > steps[1] 'clean'." in finding["message"]
    assert "countersign wheel init" in finding["hint"]


@pytest.mark.parametrize("form", ["joblib", "pickle"])
def test_the_place_is_told_in_nested_steps_and_in_lists_of_one(save, form):
    columns = compose.ColumnTransformer([("num", preprocessing.StandardScaler(), [0]), ("own", Cleaner(), [1])])
    nested = pipeline.Pipeline([("scale", preprocessing.StandardScaler()), ("columns", columns)])
    (finding,) = scan.scan(save(nested, form), form)["findings"]
    place = "Pipeline > steps[1] 'columns' > ColumnTransformer > transformers[1] 'own'"
    assert f"It is at: {place}." in finding["message"]
    (finding,) = scan.scan(save(pipeline.Pipeline([("only", Cleaner())]), form), form)["findings"]
    assert "It is at: Pipeline > steps[0] 'only'." in finding["message"]


def test_the_place_of_a_function_is_told(save, monkeypatch):
    import __main__

    def ratio(values):
        return values

    ratio.__module__, ratio.__qualname__ = "__main__", "ratio"
    monkeypatch.setattr(__main__, "ratio", ratio, raising=False)
    model = pipeline.Pipeline([("ratios", preprocessing.FunctionTransformer(ratio)), ("fit", linear_model.Ridge())])
    (finding,) = scan.scan(save(model), "joblib")["findings"]
    assert finding["code"] == "main-name"
    assert "ratio from __main__" in finding["message"]
    assert "Pipeline > steps[0] 'ratios' > FunctionTransformer > func" in finding["message"]
    assert "wheel" in finding["hint"]
