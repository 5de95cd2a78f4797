"""The model card of a version: a YAML head for machines, and text for the people who decide."""

from collections.abc import Sequence
from dataclasses import asdict

import yaml
from corpus import categories
from evaluate import Metric
from routing import SURE_ENOUGH

CHANGES = {
    1: "First version. Words and pairs of words, July to September.",
    2: (
        "Retrained with October. Reads pieces of words instead of words, so slips of the finger and Dutch compounds cost\n"
        "less, and knows the words that came with the Tide card and app 7. Categories, input and outputs are the same."
    ),
}


def card(version: int, metrics: Sequence[Metric], datasets: Sequence[tuple[str, int]]) -> str:
    """card.md of ``version``; ``datasets`` are name and number of messages."""
    value = {metric.name: metric.value for metric in metrics}
    head = {
        "purpose": "Reads a customer's message and names the team that can act on it, one of 52.",
        "task": "text-classification",
        "owner": "payments",
        "contact": "#payments-ml",
        "inputs": [{"name": "text", "datatype": "BYTES", "meaning": "one message each, UTF-8, up to 8,000 characters"}],
        "outputs": [
            {"name": "predict", "datatype": "BYTES", "meaning": f"category of the message, one of {len(categories())}"},
            {
                "name": "predict_proba",
                "datatype": "FP64",
                "meaning": "probability of each category, in order of the labels",
            },
        ],
        "training_data": [{"name": name, "messages": count, "kind": "synthetic"} for name, count in datasets],
        "metrics": [asdict(metric) for metric in metrics],
        "limits": [
            "English and Dutch. Other languages go to the front desk at best, to a wrong team at worst.",
            f"Recall of the weakest category is {value['worst_category_recall']:.2f} on held-out October.",
            "A message about two subjects goes to one team.",
            "Words that came up after the training are not understood; retrain when a product is launched.",
        ],
        "licence": "Apache-2.0",
        "sample_kind": "synthetic",
        "uses": ["Routing of customer feedback to the team that can act"],
        "prohibited_uses": [
            "Complaints with a legal deadline",
            "Any decision about a customer, a contract or money",
        ],
    }
    yaml_head = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{yaml_head}---\n{_body(version, value, datasets)}"


def _body(version: int, value: dict[str, float], datasets: Sequence[tuple[str, int]]) -> str:
    read = " and ".join(f"{count:,} messages of `{name}`" for name, count in datasets)
    return f"""
# The Voice, version {version}

{CHANGES[version]}

## What it does

A customer writes a review, a tweet or a mail. The model names one of {len(categories())} categories, and a fixed table
(`teams.json`, not part of the model) names the team that can act. Below a probability of {SURE_ENOUGH:.2f} a person at the
front desk reads the message first. Nothing else follows from the answer: no contract, limit, fee or price depends on it.

## How it was made

Read: {read}.

KMeans labelled them: TF-IDF, the 300 strongest topics, of those the directions that tell hand-labelled messages apart, and
52 clusters that start at the hand-labelled ones, each given the category it agrees with most (Hungarian assignment). The
tenth of the messages nearest to a second cluster was left out. The classifier is TF-IDF and a linear model trained by
stochastic gradient descent on the logarithmic loss.

Every message was generated from a seeded grammar. No customer wrote any of them; names in signatures are invented.

## How good it is

| Held-out October | Value | Better when |
| --- | ---: | --- |
| Right category | {value["accuracy"]:.3f} | higher |
| Mean recall of the categories | {value["macro_recall"]:.3f} | higher |
| Recall of the weakest category | {value["worst_category_recall"]:.3f} | higher |
| Sent to the front desk as "other" | {value["share_sent_to_other"]:.3f} | lower |

Purity of the labels: {value["labelling_purity"]:.3f} of the training messages lie in a cluster most of which is of their
own category. What KMeans confuses, the classifier learns confused; more hand-labelled messages are the remedy.

## What can go wrong, and who notices

- A wrong team returns the message to the front desk, which counts returns per category every week.
- A new product brings new words. October's Tide card took version 1 by surprise; watch the share sent to "other".
- Messages in capitals, with many slips, or in a third language are the weakest. They are not a reason to route by hand
  only some customers' messages: the front desk reads all that fall below the threshold, whoever wrote them.
"""
