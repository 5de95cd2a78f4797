"""How good a version is, on messages it has not read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from corpus import Message
from routing import FRONT_DESK, route


@dataclass(frozen=True, slots=True)
class Metric:
    """One declared figure, 0 to 1, as the registry takes it."""

    name: str
    value: float
    dataset: str
    higher_is_better: bool = True


def measure(model: Any, messages: Sequence[Message], dataset: str) -> list[Metric]:
    """Accuracy, recall over categories (mean and worst), and the share that goes to the front desk as "other".

    :param model: a fitted classifier with ``classes_`` and ``predict_proba`` over texts.
    :param dataset: the name under which the figures are declared.
    """
    scores = model.predict_proba([m.text for m in messages])
    answers = [str(model.classes_[best]) for best in scores.argmax(axis=1)]
    confidences = scores.max(axis=1).tolist()

    asked = Counter(m.category for m in messages)
    right = Counter(m.category for m, answer in zip(messages, answers, strict=True) if m.category == answer)
    recalls = [right[category] / asked[category] for category in asked]
    desk = sum(route(a, c).team.category == FRONT_DESK for a, c in zip(answers, confidences, strict=True))
    figures = {
        "accuracy": sum(right.values()) / len(messages),
        "macro_recall": sum(recalls) / len(recalls),
        "worst_category_recall": min(recalls),
    }
    metrics = [Metric(name, round(value, 4), dataset) for name, value in figures.items()]
    return [*metrics, Metric("share_sent_to_other", round(desk / len(messages), 4), dataset, higher_is_better=False)]
