"""Estimators whose scores are a linear map of their features."""

from typing import Any, TypeAlias

import numpy as np

from builders.compile.pipelines import is_a

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def read(estimator: Any) -> tuple[Array, Array] | None:
    """Coefficients [features, k] and intercepts [k]; None when the estimator is not of this kind.

    Whether they really give what the estimator answers is found by trying (:mod:`outputs`), not assumed.
    """
    if is_a(estimator, "MultinomialNB"):
        return estimator.feature_log_prob_.T, estimator.class_log_prior_
    if is_a(estimator, "ComplementNB"):
        one_class = len(estimator.classes_) == 1
        return estimator.feature_log_prob_.T, estimator.class_log_prior_ if one_class else np.zeros(
            len(estimator.classes_)
        )
    if is_a(estimator, "BernoulliNB"):
        absent = np.log1p(-np.exp(estimator.feature_log_prob_))
        return (estimator.feature_log_prob_ - absent).T, estimator.class_log_prior_ + absent.sum(axis=1)
    if is_a(estimator, "OneVsRestClassifier"):
        parts = [read(part) for part in estimator.estimators_]
        found = [part for part in parts if part is not None and part[0].shape[1] == 1]
        if len(found) < len(parts):
            return None
        return np.hstack([coef for coef, _ in found]), np.concatenate([intercept for _, intercept in found])
    if is_a(estimator, "SGDOneClassSVM"):
        return _columns(estimator.coef_), -np.atleast_1d(np.asarray(estimator.offset_, dtype=np.float64))
    coef, intercept = getattr(estimator, "coef_", None), getattr(estimator, "intercept_", None)
    if coef is None or intercept is None:
        return None
    coef = _columns(coef)
    return coef, np.broadcast_to(np.atleast_1d(np.asarray(intercept, dtype=np.float64)), (coef.shape[1],)).copy()


def read_centres(estimator: Any) -> tuple[Array, Array] | None:
    """Squared distances to cluster centres are linear, but for the square of the row."""
    if not is_a(estimator, "_BaseKMeans"):
        return None
    centres = np.asarray(estimator.cluster_centers_, dtype=np.float64)
    return -2.0 * centres.T, (centres**2).sum(axis=1)


def read_kernel(estimator: Any) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Support vectors and their weights: what a support vector machine of one score, or a kernel ridge, is made of."""
    if is_a(estimator, "BaseLibSVM"):
        if getattr(estimator, "shape_fit_", None) is None or len(np.atleast_2d(estimator.dual_coef_)) != 1:
            return None  # several classes vote in pairs
        weights, support = np.atleast_2d(_dense(estimator.dual_coef_)).T, _dense(estimator.support_vectors_)
        intercept, gamma = np.atleast_1d(estimator.intercept_), float(estimator._gamma)  # noqa: SLF001
    elif is_a(estimator, "KernelRidge"):
        support = _dense(estimator.X_fit_)
        weights = np.asarray(estimator.dual_coef_, dtype=np.float64).reshape(len(support), -1)
        intercept = np.zeros(weights.shape[1])
        gamma = 1.0 / support.shape[1] if estimator.gamma is None else float(estimator.gamma)
    else:
        return None
    if estimator.kernel not in ("rbf", "poly", "sigmoid", "linear"):
        return None
    core = {"kind": "kernel", "kernel": estimator.kernel, "gamma": gamma, "coef0": float(estimator.coef0)}
    return core | {"degree": float(estimator.degree)}, {"support": support, "coef": weights, "intercept": intercept}


def _dense(array: Any) -> Array:
    return np.asarray(array.toarray() if hasattr(array, "toarray") else array, dtype=np.float64)


def _columns(coef: Any) -> Array:
    return np.ascontiguousarray(np.atleast_2d(_dense(coef)).T)
