"""Links: from the numbers a core computes to what an output holds. ``scores`` is [rows, k], float64."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Link: TypeAlias = Callable[[Array], Array]


def identity(scores: Array) -> Array:
    return scores


def only(scores: Array) -> Array:
    """The one column, as an output of one axis."""
    return scores[:, 0]


def exponential(scores: Array) -> Array:
    return np.exp(scores[:, 0])


def sigmoid(scores: Array) -> Array:
    """Two classes from one score."""
    return _pair(_logistic(scores[:, 0]))


def sigmoid_twice(scores: Array) -> Array:
    """Two classes from one score that counts for one and against the other: softmax of (-s, s)."""
    return _pair(_logistic(2.0 * scores[:, 0]))


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def one_versus_rest(scores: Array) -> Array:
    """Each class against all others, brought to a sum of 1; all classes alike where all are 0."""
    return _to_a_sum_of_one(_logistic(scores))


def one_versus_rest_or_nan(scores: Array) -> Array:
    """As older scikit-learn does: NaN where all are 0."""
    chances = _logistic(scores)
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def modified_huber(scores: Array) -> Array:
    """As SGDClassifier does: clipped and brought to a sum of 1; all classes alike where all are 0."""
    chances = (np.clip(scores, -1.0, 1.0) + 1.0) / 2.0
    return _pair(chances[:, 0]) if scores.shape[1] == 1 else _to_a_sum_of_one(chances)


def share(scores: Array) -> Array:
    """Two classes from the share of the first."""
    return np.column_stack([scores[:, 0], 1.0 - scores[:, 0]])


def distances(scores: Array) -> Array:
    """From squared distances but for the row's own square, the last column."""
    return np.asarray(np.sqrt(np.maximum(scores[:, :-1] + scores[:, -1:], 0.0)))


def positive(scores: Array) -> Array:
    """Index of the class: 1 where the one score is above 0."""
    return (scores[:, 0] > 0.0).astype(np.intp)


def not_negative(scores: Array) -> Array:
    """Index of the class: 1 where the one score is 0 or above."""
    return (scores[:, 0] >= 0.0).astype(np.intp)


def largest(scores: Array) -> Array:
    """Index of the largest score; the first of equal ones."""
    return np.asarray(scores.argmax(axis=1))


def larger_share(scores: Array) -> Array:
    """Index of the larger of two shares, of which the first is given."""
    return (scores[:, 0] < 1.0 - scores[:, 0]).astype(np.intp)


def nearest(scores: Array) -> Array:
    """Index of the centre with the smallest distance."""
    return np.asarray(scores[:, :-1].argmin(axis=1))


def _to_a_sum_of_one(chances: Array) -> Array:
    sums = chances.sum(axis=1, keepdims=True)
    nothing = sums[:, 0] == 0.0
    chances[nothing] = 1.0
    sums[nothing] = chances.shape[1]
    return np.asarray(chances / sums)


def _pair(chance: Array) -> Array:
    return np.column_stack([1.0 - chance, chance])


def _logistic(scores: Array) -> Array:
    """1 / (1 + exp(-s)), without overflow on either side."""
    powers = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0.0, 1.0, powers) / (1.0 + powers))


VALUES: dict[str, Link] = {
    link.__name__: link
    for link in (
        identity,
        only,
        exponential,
        sigmoid,
        sigmoid_twice,
        softmax,
        one_versus_rest,
        one_versus_rest_or_nan,
        modified_huber,
        share,
        distances,
    )
}
"""Links to numbers."""

INDICES: dict[str, Link] = {link.__name__: link for link in (positive, not_negative, largest, larger_share, nearest)}
"""Links to the place of a label."""
