"""Fitted models of every kind that scikit-learn has: the evidence tools/allow-list reads names from."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import (
    calibration,
    compose,
    config_context,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    linear_model,
    metrics,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.utils import all_estimators
from sklearn.utils.validation import check_is_fitted

ROWS = 40
RANDOM = np.random.RandomState(7)
X = RANDOM.uniform(0.1, 1.0, size=(ROWS, 4))
LABELS = RANDOM.randint(0, 2, size=ROWS)
NUMBERS = X @ np.array([1.0, -2.0, 0.5, 3.0]) + 5
COUNTS = RANDOM.randint(1, 5, size=(ROWS, 4))
TEXTS = [f"message number {row} about {'cards' if row % 2 else 'loans'}" for row in range(ROWS)]
SPARSE = sparse.csr_matrix(X * (X > 0.5))

THREE = np.arange(ROWS) % 3

# In this order: an estimator is fitted with the first target it takes.
TARGETS = (LABELS, NUMBERS, np.column_stack([LABELS, 1 - LABELS]), np.column_stack([NUMBERS, -NUMBERS]), None)

PARTS = {
    "estimator": linear_model.LogisticRegression(),
    "base_estimator": linear_model.LogisticRegression(),
    "estimators": [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())],
    "transformers": [("a", preprocessing.StandardScaler(), [0, 1]), ("b", "drop", [2])],
    "transformer_list": [("a", preprocessing.StandardScaler())],
    "steps": [("a", preprocessing.StandardScaler()), ("b", linear_model.LogisticRegression())],
    "param_grid": {"C": [0.1, 1.0]},
    "param_distributions": {"C": [0.1, 1.0]},
    "dictionary": np.eye(4),
}


def fitted_models() -> Iterator[Any]:
    for _, cls in all_estimators():
        yield from _one(cls)
    for model in _chosen():
        yield from _fit(model)


def _one(cls: type) -> Iterator[Any]:
    wanted = inspect.signature(cls.__init__).parameters
    given = {name: part for name, part in PARTS.items() if name in wanted}
    if "estimator" in given:
        given.pop("base_estimator", None)
    if "random_state" in wanted:
        given["random_state"] = np.random.RandomState(0)
    with contextlib.suppress(TypeError):
        yield from _fit(cls(**given))
        yield from _fit(cls(**given), (THREE, *TARGETS))


def _fit(model: Any, targets: tuple[Any, ...] = TARGETS) -> Iterator[Any]:
    if _is_fitted(model):
        yield model
        return
    for features in (X, COUNTS, X[:, 0], TEXTS, COUNTS > 2):
        for target in targets:
            try:
                yield model.fit(features, target) if target is not None else model.fit(features)
            except Exception:  # noqa: BLE001, S112  not for this estimator: the next one may be
                continue
            return
    yield model


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError):  # TypeError: no estimator, such as a KDTree, or one that is never fitted
        return False
    return True


def _chosen() -> Iterator[Any]:
    """What all_estimators' defaults do not reach: other solvers, losses, metrics, trees, nested and sparse."""
    for algorithm in ("kd_tree", "ball_tree", "brute"):
        yield neighbors.KNeighborsClassifier(algorithm=algorithm)
    for tree_class in (neighbors.KDTree, neighbors.BallTree):
        for metric in sorted(set(_names(tree_class)) - {"pyfunc", "mahalanobis", "seuclidean", "haversine", "p"}):
            with contextlib.suppress(ValueError, TypeError):
                yield tree_class(X, metric=metric)
    yield neighbors.BallTree(X, metric="mahalanobis", VI=np.eye(4))
    yield neighbors.BallTree(X, metric="seuclidean", V=np.ones(4))
    yield neighbors.BallTree(X[:, :2], metric="haversine")
    yield neighbors.BallTree(X, metric="minkowski", p=3)
    for loss in ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "squared_error", "huber",
                 "epsilon_insensitive", "squared_epsilon_insensitive"):  # fmt: skip
        yield linear_model.SGDClassifier(loss=loss)
    for loss in ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive"):
        yield linear_model.SGDRegressor(loss=loss)
    for loss in ("log_loss", "exponential"):
        yield ensemble.GradientBoostingClassifier(loss=loss, n_estimators=2)
    for loss in ("squared_error", "absolute_error", "huber", "quantile"):
        yield ensemble.GradientBoostingRegressor(loss=loss, n_estimators=2)
    for loss in ("squared_error", "absolute_error", "poisson", "gamma", "quantile"):
        quantile = {"quantile": 0.5} if loss == "quantile" else {}
        yield ensemble.HistGradientBoostingRegressor(loss=loss, max_iter=2, **quantile)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2, early_stopping=True)
    yield ensemble.HistGradientBoostingClassifier(max_iter=2).fit(X, THREE)
    yield ensemble.GradientBoostingClassifier(n_estimators=2).fit(X, THREE)
    yield linear_model.LogisticRegression().fit(X, THREE)
    for power in (0, 1, 2, 1.5):
        yield linear_model.TweedieRegressor(power=power)
    for solver in ("lbfgs", "sgd", "adam"):
        yield neural_network.MLPClassifier(solver=solver, max_iter=5, hidden_layer_sizes=(3,))
    yield neural_network.MLPClassifier(early_stopping=True, max_iter=5, hidden_layer_sizes=(3,))
    for criterion in ("gini", "entropy"):
        yield tree.DecisionTreeClassifier(criterion=criterion)
    for method in ("sigmoid", "isotonic", "temperature"):
        yield calibration.CalibratedClassifierCV(method=method, cv=2)
    kernels = gaussian_process.kernels
    sum_kernel = kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel() + kernels.Matern() ** 2
    more = kernels.RationalQuadratic() + kernels.ExpSineSquared() + kernels.DotProduct() + kernels.PairwiseKernel()
    for kernel in (sum_kernel, more, kernels.CompoundKernel([kernels.RBF(), kernels.RBF()])):
        yield gaussian_process.GaussianProcessRegressor(kernel=kernel, optimizer=None)
    yield gaussian_process.GaussianProcessClassifier(kernel=kernels.RBF(), optimizer=None).fit(X, THREE)
    for score in ("chi2", "f_classif", "f_regression", "mutual_info_classif", "mutual_info_regression", "r_regression"):
        yield feature_selection.SelectKBest(getattr(feature_selection, score), k=2)
    for model in (linear_model.LogisticRegression(), svm.SVC(probability=False), linear_model.SGDClassifier()):
        yield model.fit(SPARSE, LABELS)
    yield linear_model.SGDClassifier().fit(SPARSE, LABELS).sparsify()
    for vectorizer in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        yield pipeline.make_pipeline(getattr(feature_extraction.text, vectorizer)(), linear_model.SGDClassifier())
    yield feature_extraction.DictVectorizer().fit([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    yield pipeline.make_pipeline(preprocessing.FunctionTransformer(np.log1p, np.expm1), linear_model.LinearRegression())
    yield compose.TransformedTargetRegressor(linear_model.LinearRegression(), func=np.log1p, inverse_func=np.expm1)
    yield compose.make_column_transformer(
        (preprocessing.StandardScaler(), [0, 1]),
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), [2]),
        remainder=preprocessing.MinMaxScaler(),
    )
    yield from _with_columns()
    with config_context(enable_metadata_routing=True):
        yield linear_model.LogisticRegression().set_fit_request(sample_weight=True).fit(X, LABELS)
    for search in (model_selection.GridSearchCV, model_selection.HalvingGridSearchCV):
        for cv in (2, model_selection.StratifiedKFold(2), model_selection.ShuffleSplit(2)):
            yield search(linear_model.LogisticRegression(), {"C": [0.1, 1]}, cv=cv)
    yield model_selection.GridSearchCV(
        linear_model.LogisticRegression(), {"C": [1]}, scoring=["accuracy", "f1"], refit="f1", cv=2
    )
    for scoring in ("accuracy", "roc_auc", "neg_log_loss"):
        yield model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [0.1, 1]}, scoring=scoring, cv=2)
    yield model_selection.GridSearchCV(
        linear_model.LogisticRegression(), {"C": [1]}, cv=2, scoring=metrics.make_scorer(metrics.fbeta_score, beta=2)
    )
    with contextlib.suppress(AttributeError):  # scikit-learn 1.5
        yield model_selection.TunedThresholdClassifierCV(linear_model.LogisticRegression(), cv=2)
        yield model_selection.FixedThresholdClassifier(linear_model.LogisticRegression())


def _with_columns() -> Iterator[Any]:
    """Pipelines over named columns of several kinds, as they are fitted from a pandas frame."""
    frame = pd.DataFrame(
        {"amount": X[:, 0], "age": COUNTS[:, 0], "kind": TEXTS, "region": pd.Categorical(LABELS.astype(str))}
    )
    for selected in (["amount", "age"], compose.make_column_selector(dtype_include=np.number)):
        encode = compose.make_column_transformer(
            (pipeline.make_pipeline(*_numeric()), selected),
            (preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["kind"]),
            (preprocessing.OrdinalEncoder(), ["region"]),
            remainder="drop",
        )
        yield pipeline.make_pipeline(encode, ensemble.RandomForestClassifier(3)).fit(frame, LABELS)
        yield (
            pipeline.make_pipeline(encode, linear_model.LogisticRegression())
            .set_output(transform="pandas")
            .fit(frame, LABELS)
        )


def _numeric() -> tuple[Any, Any]:
    return SimpleImputer(), preprocessing.StandardScaler()


def _names(tree_class: Any) -> list[str]:
    known = tree_class.valid_metrics
    return list(known() if callable(known) else known)
