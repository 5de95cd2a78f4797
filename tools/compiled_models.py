"""Fitted models of the kinds people push, each with a sample: what docs/compiled.md and the tests compile."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn import (
    cluster,
    discriminant_analysis,
    ensemble,
    gaussian_process,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.impute import SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(600, 10))
POSITIVE = np.abs(X) + 0.1
SCORES = X[:, 0] + X[:, 1] * X[:, 2] - 0.5 * X[:, 3]
TWO = np.where(SCORES > 0, "yes", "no")
THREE = np.digitize(SCORES, [-0.7, 0.7])
NUMBERS = 10 * SCORES + RANDOM.normal(size=len(X))
GAPS = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
SAMPLE = 40  # rows

WORDS = {
    "card": "card stolen lost block pin new broken charged twice at the café",
    "app": "app crashes login slow update blank page password Zürich naïve error",
    "loan": "loan rate apply refused repay early interest years house mortgage",
}
TEXTS = [
    " ".join(RANDOM.choice(words.split(), size=int(size)))
    for words in WORDS.values()
    for size in RANDOM.integers(3, 25, size=120)
]
TOPICS = [topic for topic in WORDS for _ in range(120)]
URGENCY = [len(text) / 10 for text in TEXTS]


def customers() -> pd.DataFrame:
    """Mixed columns with nulls: what a scoring model of a bank is trained on."""
    count = 600
    frame = pd.DataFrame(
        {
            "age": RANDOM.integers(18, 80, count),
            "income": RANDOM.normal(40_000, 9_000, count).round(2),
            "balance": RANDOM.exponential(3_000, count).round(2),
            "city": RANDOM.choice(["Basel", "Bern", "Genf", "Zürich"], count, p=[0.4, 0.3, 0.2, 0.1]),
            "product": RANDOM.choice(["basic", "gold", "platinum"], count),
            "member": RANDOM.choice([True, False], count),
        }
    )
    frame.loc[RANDOM.random(count) < 0.1, "income"] = np.nan
    frame.loc[RANDOM.random(count) < 0.1, "city"] = np.nan
    return frame


CUSTOMERS = customers()
GOOD = np.where(CUSTOMERS["age"] + CUSTOMERS["balance"] / 200 > 60, "good", "bad")
DUE = CUSTOMERS["age"] * 3.0 + CUSTOMERS["balance"] / 100
NUMERIC, CATEGORICAL = ["age", "income", "balance"], ["city", "product"]
ONE_HOT = {"handle_unknown": "ignore"}


@dataclass(frozen=True)
class Case:
    """A model to compile. ``fit`` gives it fitted; ``sample`` holds records as a push has them."""

    name: str
    kind: str
    fit: Callable[[], Any]
    sample: list[dict[str, Any]]


def matrix(rows: Any = X) -> list[dict[str, Any]]:
    frame = pd.DataFrame(rows[:SAMPLE], columns=[f"x{place}" for place in range(rows.shape[1])])
    return json.loads(frame.to_json(orient="records", double_precision=15))


def texts() -> list[dict[str, Any]]:
    return [{"text": text} for text in TEXTS[:: len(TEXTS) // SAMPLE]]


def frame() -> list[dict[str, Any]]:
    return json.loads(CUSTOMERS.head(SAMPLE).to_json(orient="records", double_precision=15))


def estimators() -> Iterator[Case]:
    """Single estimators over rows of numbers."""
    two = [
        linear_model.LogisticRegression(),
        linear_model.SGDClassifier(loss="log_loss", random_state=0),
        linear_model.RidgeClassifier(),
        linear_model.Perceptron(random_state=0),
        svm.LinearSVC(),
        svm.SVC(),
        svm.NuSVC(),
        tree.DecisionTreeClassifier(random_state=0),
        ensemble.RandomForestClassifier(100, random_state=0),
        ensemble.ExtraTreesClassifier(100, random_state=0),
        ensemble.BaggingClassifier(random_state=0),
        ensemble.GradientBoostingClassifier(random_state=0),
        ensemble.HistGradientBoostingClassifier(random_state=0),
        ensemble.AdaBoostClassifier(random_state=0),
        naive_bayes.GaussianNB(),
        naive_bayes.BernoulliNB(),
        neural_network.MLPClassifier(hidden_layer_sizes=(20,), max_iter=60, random_state=0),
        neighbors.KNeighborsClassifier(),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        lightgbm.LGBMClassifier(n_estimators=100, verbose=-1, random_state=0),
    ]
    for model in two:
        yield _case(model, "classifier", X, TWO)
    yield _case(xgboost.XGBClassifier(n_estimators=100, random_state=0), "classifier", X, (SCORES > 0).astype(int))
    for model in (
        linear_model.LogisticRegression(),
        ensemble.RandomForestClassifier(100, random_state=0),
        ensemble.HistGradientBoostingClassifier(random_state=0),
        lightgbm.LGBMClassifier(n_estimators=100, verbose=-1, random_state=0),
        xgboost.XGBClassifier(n_estimators=100, random_state=0),
        OneVsRestClassifier(linear_model.LogisticRegression()),
        CalibratedClassifierCV(svm.LinearSVC(), cv=3),
    ):
        yield _case(model, "classifier", X, THREE, note=", 3 classes")
    for model in (
        linear_model.LinearRegression(),
        linear_model.Ridge(),
        linear_model.Lasso(alpha=0.1),
        linear_model.ElasticNet(alpha=0.1),
        linear_model.BayesianRidge(),
        linear_model.HuberRegressor(),
        linear_model.SGDRegressor(random_state=0),
        svm.SVR(),
        svm.LinearSVR(),
        KernelRidge(kernel="rbf"),
        tree.DecisionTreeRegressor(random_state=0),
        ensemble.RandomForestRegressor(100, random_state=0),
        ensemble.ExtraTreesRegressor(100, random_state=0),
        ensemble.GradientBoostingRegressor(random_state=0),
        ensemble.HistGradientBoostingRegressor(random_state=0),
        neural_network.MLPRegressor(hidden_layer_sizes=(20,), max_iter=60, random_state=0),
        gaussian_process.GaussianProcessRegressor(random_state=0),
        neighbors.KNeighborsRegressor(),
        lightgbm.LGBMRegressor(n_estimators=100, verbose=-1, random_state=0),
        xgboost.XGBRegressor(n_estimators=100, random_state=0),
    ):
        yield _case(model, "regressor", X, NUMBERS)
    for model in (linear_model.PoissonRegressor(), linear_model.TweedieRegressor(power=1.5)):
        yield _case(model, "regressor", POSITIVE, np.abs(NUMBERS))
    for model in (
        ensemble.IsolationForest(random_state=0),
        svm.OneClassSVM(),
        linear_model.SGDOneClassSVM(random_state=0),
        neighbors.LocalOutlierFactor(novelty=True),
    ):
        yield _case(model, "outlier detector", X, None)
    for model in (
        cluster.KMeans(5, n_init=1, random_state=0),
        cluster.MiniBatchKMeans(5, n_init=1, random_state=0),
        mixture.GaussianMixture(3, random_state=0),
    ):
        yield _case(model, "clusterer", X, None)


def _case(model: Any, kind: str, rows: Any, target: Any, *, note: str = "") -> Case:
    return Case(f"{type(model).__name__}{note}", kind, lambda: model.fit(rows, target), matrix(rows))


def pipelines() -> Iterator[Case]:
    """What teams really push: preprocessing and a model in one."""
    scaled = ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), NUMERIC)
    filled = ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(**ONE_HOT)), CATEGORICAL)
    counted = (
        "words",
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
        CATEGORICAL,
    )
    flagged = ("numbers", SimpleImputer(strategy="median", add_indicator=True), NUMERIC)
    columns: list[tuple[str, list[tuple[Any, ...]], str, Any, Any]] = [
        ("impute, scale, one-hot, logistic regression", [scaled, filled], "passthrough", linear_model.LogisticRegression(max_iter=500), GOOD),
        ("impute with flags, ordinal, random forest", [flagged, counted], "drop", ensemble.RandomForestClassifier(100, random_state=0), GOOD),
        ("impute, ordinal, gradient boosting", [scaled, counted], "drop", ensemble.HistGradientBoostingClassifier(random_state=0), GOOD),
        ("one-hot with nulls, LightGBM", [("words", OneHotEncoder(**ONE_HOT), CATEGORICAL)], "passthrough", lightgbm.LGBMClassifier(n_estimators=100, verbose=-1, random_state=0), GOOD),
        ("impute, scale, rare categories, ridge", [scaled, ("words", OneHotEncoder(min_frequency=100, handle_unknown="infrequent_if_exist"), CATEGORICAL)], "drop", linear_model.Ridge(), DUE),
        ("impute, scale, one-hot, XGBoost regressor", [scaled, filled], "drop", xgboost.XGBRegressor(n_estimators=100, random_state=0), DUE),
        ("impute, scale, one-hot, isolation forest", [scaled, filled], "drop", ensemble.IsolationForest(random_state=0), None),
        ("impute, scale, one-hot, neural network", [scaled, filled], "drop", neural_network.MLPClassifier(hidden_layer_sizes=(20,), max_iter=60, random_state=0), GOOD),
    ]  # fmt: skip
    for name, transformers, remainder, model, target in columns:
        made = make_pipeline(ColumnTransformer(transformers, remainder=remainder), model)
        yield Case(name, "columns", lambda made=made, target=target: made.fit(CUSTOMERS, target), frame())
    numbers = CUSTOMERS[NUMERIC]
    logged = make_column_transformer((make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p)), ["balance"]), (make_pipeline(SimpleImputer(), RobustScaler()), ["age", "income"]))  # fmt: skip
    yield Case("log, robust scale, gradient boosting regressor", "columns", lambda: make_pipeline(logged, ensemble.GradientBoostingRegressor(random_state=0)).fit(numbers, DUE), [{name: row[name] for name in NUMERIC} for row in frame()])  # fmt: skip
    yield Case("impute, min-max, SVC by grid search", "matrix", lambda: GridSearchCV(make_pipeline(SimpleImputer(), MinMaxScaler(), svm.SVC()), {"svc__C": [1, 10]}, cv=2).fit(GAPS, TWO), matrix(GAPS))  # fmt: skip
    yield Case("scale, PCA, logistic regression", "matrix", lambda: make_pipeline(StandardScaler(), PCA(4), linear_model.LogisticRegression()).fit(X, THREE), matrix())  # fmt: skip
    yield Case("scale, polynomial features, ridge", "matrix", lambda: make_pipeline(StandardScaler(), PolynomialFeatures(2), linear_model.Ridge()).fit(X, NUMBERS), matrix())  # fmt: skip
    yield Case("scale, k-means", "matrix", lambda: make_pipeline(StandardScaler(), cluster.KMeans(5, n_init=1, random_state=0)).fit(X), matrix())  # fmt: skip
    words = {"ngram_range": (1, 2), "sublinear_tf": True, "strip_accents": "unicode"}
    both = FeatureUnion(
        [("w", TfidfVectorizer(**words)), ("c", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)))]
    )
    for name, transformers, model, target in (
        ("words and pairs, SGD", [TfidfVectorizer(**words)], linear_model.SGDClassifier(loss="log_loss", random_state=0), TOPICS),
        ("characters, linear SVC", [TfidfVectorizer(analyzer="char", ngram_range=(1, 4))], svm.LinearSVC(), TOPICS),
        ("words and characters, logistic regression", [both], linear_model.LogisticRegression(), TOPICS),
        ("counts, tf-idf, selected terms, naive Bayes", [CountVectorizer(), TfidfTransformer(), SelectKBest(chi2, k=20)], naive_bayes.MultinomialNB(), TOPICS),
        ("words seen, Bernoulli naive Bayes", [CountVectorizer(binary=True, stop_words="english")], naive_bayes.BernoulliNB(), TOPICS),
        ("words, ridge regressor", [TfidfVectorizer(norm="l1")], linear_model.Ridge(), URGENCY),
        ("words, k-means", [TfidfVectorizer()], cluster.KMeans(3, n_init=1, random_state=0), None),
    ):  # fmt: skip
        made = make_pipeline(*transformers, model)
        yield Case(f"text: {name}", "text", lambda made=made, target=target: made.fit(TEXTS, target), texts())
