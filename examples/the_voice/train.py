"""Train a version of The Voice and write what a push needs: `python train.py --version 1 --out DIR`.

Version 1 has read July to September. Version 2 has also read October, when the Tide card and app 7 brought new words, and
looks at pieces of words, so that slips of the finger and Dutch compounds cost it less.
"""

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import joblib
from card import card
from corpus import Message, canonical_jsonl, categories, dataset_digest, generate
from evaluate import Metric, measure
from label import label, purity
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

PINNED = ("joblib", "numpy", "scikit-learn", "scipy")
HELD_OUT = "feedback-october-held-out"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One generated dataset: the same name is always the same bytes."""

    name: str
    period: str
    count: int
    seed: int
    hand_labelled: int = 0  # messages of each category that a person has read

    @property
    def messages(self) -> list[Message]:
        return list(_messages(self.period, self.count, self.seed))


@cache
def _messages(period: str, count: int, seed: int) -> tuple[Message, ...]:
    return tuple(generate(period, count, seed))


JULY_TO_SEPTEMBER = Dataset("feedback-july-september", "july-september", 3120, seed=1, hand_labelled=16)
OCTOBER = Dataset("feedback-october", "october", 3120, seed=2, hand_labelled=8)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that makes one version differ from another."""

    datasets: tuple[Dataset, ...]
    words: dict[str, Any]
    classifier: dict[str, Any] = field(default_factory=lambda: {"loss": "log_loss", "alpha": 3e-5, "random_state": 0})

    def run_id(self, version: int) -> str:
        """Named by everything that went in, so the same training is the same run."""
        made_of = json.dumps(asdict(self), sort_keys=True) + "".join(dataset_digest(d.messages) for d in self.datasets)
        return f"the-voice-{version}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


SHARED_WORDS = {"sublinear_tf": True, "strip_accents": "unicode"}
RECIPES = {
    1: Recipe((JULY_TO_SEPTEMBER,), {**SHARED_WORDS, "ngram_range": (1, 2), "min_df": 2, "max_features": 6000}),
    2: Recipe(
        (JULY_TO_SEPTEMBER, OCTOBER),
        {**SHARED_WORDS, "analyzer": "char_wb", "ngram_range": (2, 4), "min_df": 4, "max_features": 12000},
    ),
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A fitted model, and what is known about it."""

    model: Pipeline
    metrics: list[Metric]


def held_out() -> list[Message]:
    """October's messages that no version has read: the same ones for every version, so that figures compare."""
    read = {message.text for dataset in (JULY_TO_SEPTEMBER, OCTOBER) for message in dataset.messages}
    return [message for message in _messages("october", 2080, seed=3) if message.text not in read]


def train(version: int) -> Trained:
    """Label the recipe's messages by KMeans, fit the classifier on the labels that are sure, measure it on October.

    One thread: sums in another order could move a message on the border of two clusters, and with it the model's bytes.
    """
    recipe = RECIPES[version]
    messages = [message for dataset in recipe.datasets for message in dataset.messages]
    with threadpool_limits(limits=1):
        labelling = label([m.text for m in messages], _hand_labelled(recipe), categories())
        sure = [i for i in range(len(messages)) if labelling.sure[i]]
        model = Pipeline([("words", TfidfVectorizer(**recipe.words)), ("category", SGDClassifier(**recipe.classifier))])
        model.fit([messages[i].text for i in sure], [labelling.labels[i] for i in sure])
        metrics = measure(model, held_out(), HELD_OUT)
    share = purity(labelling.clusters, [m.category for m in messages])
    metrics.append(Metric("labelling_purity", round(share, 4), " and ".join(d.name for d in recipe.datasets)))
    return Trained(model, metrics)


def _hand_labelled(recipe: Recipe) -> dict[int, str]:
    """The first few messages of every category in every dataset: the ones a person has read."""
    chosen: dict[int, str] = {}
    index = 0
    for dataset in recipe.datasets:
        read: dict[str, int] = defaultdict(int)
        for message in dataset.messages:
            if read[message.category] < dataset.hand_labelled:
                read[message.category] += 1
                chosen[index] = message.category
            index += 1
    return chosen


def write_push_folder(version: int, folder: Path) -> Trained:
    """Train ``version`` and write model.joblib, requirements.txt, sample.jsonl, card.md, metrics.json and lineage.json."""
    trained = train(version)
    recipe = RECIPES[version]
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(trained.model, folder / "model.joblib")
    pins = "".join(f"{name}=={installed(name)}\n" for name in PINNED)
    sample = (json.dumps({"text": m.text}, ensure_ascii=False) + "\n" for m in _messages("october", 104, seed=4))
    lineage = [
        *({"relation": "trained_on", **_dataset_edge(d.name, d.messages)} for d in recipe.datasets),
        {"relation": "evaluated_on", **_dataset_edge(HELD_OUT, held_out())},
        {"relation": "produced_by", "kind": "run", "ref": recipe.run_id(version)},
    ]
    _write(folder / "requirements.txt", pins)
    _write(folder / "sample.jsonl", "".join(sample))
    _write(folder / "metrics.json", json.dumps([asdict(m) for m in trained.metrics], indent=2) + "\n")
    _write(folder / "lineage.json", json.dumps(lineage, indent=2) + "\n")
    _write(folder / "card.md", card(version, trained.metrics, [(d.name, len(d.messages)) for d in recipe.datasets]))
    return trained


def _dataset_edge(name: str, messages: list[Message]) -> dict[str, str]:
    return {"kind": "dataset", "ref": name, "digest": dataset_digest(messages)}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a version of The Voice and write its push folder.")
    parser.add_argument("--version", type=int, choices=sorted(RECIPES), required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the push folder; made if it is missing")
    parser.add_argument(
        "--datasets", type=Path, metavar="DIR", help="also write the datasets there, as canonical JSONL"
    )
    args = parser.parse_args(argv)
    try:
        trained = write_push_folder(args.version, args.out)
        if args.datasets:
            args.datasets.mkdir(parents=True, exist_ok=True)
            named = {d.name: d.messages for d in RECIPES[args.version].datasets} | {HELD_OUT: held_out()}
            for name, messages in named.items():
                (args.datasets / f"{name}.jsonl").write_bytes(canonical_jsonl(messages))
    except OSError as error:
        print(f"train: cannot write {error.filename}: {error.strerror}; choose another folder", file=sys.stderr)
        return 1
    size = (args.out / "model.joblib").stat().st_size / 1e6
    print(f"Version {args.version} of The Voice is in {args.out} ({size:.1f} MB).")
    for metric in trained.metrics:
        print(f"  {metric.name:<24}{metric.value:>7.3f}  {metric.dataset}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
