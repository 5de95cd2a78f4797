"""The models that every server answers, the rows they are asked, and what scikit-learn says of those rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FEATURES = 30
CLASSES = 56
ROWS = 200  # different requests of each case
SAMPLE = 40
NAMES = ("logistic", "forest", "text", "mixed", "neighbours")


@dataclass(frozen=True)
class Case:
    """One model. A row is a list of numbers, a text, or a list with a value for each of ``columns``."""

    name: str
    title: str
    layout: Literal["matrix", "text", "frame"]
    estimator: Any
    columns: tuple[str, ...]
    rows: list[Any]
    expected: list[Any]
    compiles: bool = True

    @property
    def sample(self) -> list[dict[str, Any]]:
        """Rows as its check wants them: records."""
        rows = [[row] for row in self.rows] if self.layout == "text" else self.rows
        return [dict(zip(self.columns, row, strict=True)) for row in rows[:SAMPLE]]


def make(names: Sequence[str] = NAMES) -> list[Case]:
    """Train them; always the same."""
    return [_MAKERS[name](name) for name in names]


def frame(case: Case, rows: int) -> tuple[np.ndarray[Any, np.dtype[np.float64]], list[Any]]:
    """So many rows of a matrix case at once, and what scikit-learn answers to them."""
    matrix = np.random.default_rng(7).normal(size=(rows, FEATURES))
    return matrix, case.estimator.predict(matrix).tolist()


def _numbers(name: str, title: str, estimator: Any, trained_on: int, *, compiles: bool = True) -> Case:
    features, labels = make_classification(
        n_samples=trained_on, n_features=FEATURES, n_informative=12, random_state=3, n_classes=2
    )
    estimator.fit(features, labels)
    rows = np.random.default_rng(11).normal(size=(ROWS, FEATURES))
    columns = tuple(f"f{place:02}" for place in range(FEATURES))
    return Case(name, title, "matrix", estimator, columns, rows.tolist(), estimator.predict(rows).tolist(), compiles)


def _logistic(name: str) -> Case:
    title = f"logistic regression pipeline, {FEATURES} features"
    return _numbers(name, title, make_pipeline(StandardScaler(), LogisticRegression()), 5_000)


def _forest(name: str) -> Case:
    return _numbers(name, "random forest, 200 trees", RandomForestClassifier(200, random_state=0), 5_000)


def _neighbours(name: str) -> Case:
    return _numbers(name, "nearest neighbours (not compiled)", KNeighborsClassifier(), 2_000, compiles=False)


def _text(name: str) -> Case:
    rng = np.random.default_rng(5)
    words = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("a", "e", "io", "u") for c in "bdklmnrst"])
    topics = [rng.choice(words, 30) for _ in range(CLASSES)]

    def write(topic: int) -> str:
        return " ".join([*rng.choice(topics[topic], 8), *rng.choice(words, 12)])

    labels = [f"topic-{place % CLASSES:02}" for place in range(8_000)]
    texts = [write(place % CLASSES) for place in range(len(labels))]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), SGDClassifier(random_state=0, max_iter=20))
    model.fit(texts, labels)
    rows = [write(int(topic)) for topic in rng.integers(0, CLASSES, ROWS)]
    expected = model.predict(rows).tolist()
    return Case(name, f"TF-IDF + SGD, {CLASSES} classes", "text", model, ("text",), rows, expected)


def _mixed(name: str) -> Case:
    rng = np.random.default_rng(9)
    size = 4_000
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 80, size),
            "income": rng.normal(40_000, 9_000, size).round(2),
            "balance": rng.normal(2_000, 4_000, size).round(2),
            "tenure": rng.integers(0, 40, size),
            "city": rng.choice(["Basel", "Bern", "Genf", "Zug"], size),
            "product": rng.choice(["loan", "card", "account"], size),
            "channel": rng.choice(["branch", "web", "phone"], size),
        }
    )
    numbers, words = list(table)[:4], list(table)[4:]
    parts = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("words", OneHotEncoder(handle_unknown="ignore"), words),
        ]
    )
    signal = table["age"] + table["balance"] / 200 + 20 * (table["city"] == "Basel")
    model = Pipeline([("columns", parts), ("model", LogisticRegression(max_iter=500))])
    model.fit(table, np.where(signal > 60, "yes", "no"))
    asked = table.head(ROWS)
    expected = model.predict(asked).tolist()
    rows = asked.to_numpy(dtype=object).tolist()
    return Case(name, "ColumnTransformer over 7 mixed columns", "frame", model, tuple(table), rows, expected)


_MAKERS = {"logistic": _logistic, "forest": _forest, "text": _text, "mixed": _mixed, "neighbours": _neighbours}
