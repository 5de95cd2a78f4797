"""What a version's card and signature say, ready to be shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from portal.catalog import markdown
from portal.installation import here
from registry import cards
from registry.errors import Invalid, RegistryError
from registry.orm.catalog import ModelVersion
from registry.versions import SAMPLE

HEAD = ("training_data", "limits", "licence", "sample_kind")
"""Fields of the head that are shown above the text, in this order; the others stand elsewhere on the page."""
SAMPLE_BYTES = 1 << 20


@dataclass(frozen=True)
class CardView:
    """A card as a page shows it."""

    fields: Sequence[tuple[str, list[str]]]
    """(name, lines) of the head."""
    html: Markup


def body(version: ModelVersion) -> CardView:
    """The card of a version."""
    try:
        text = cards.parse(version.card).body
    except Invalid:  # the schema can have become stricter since it was pushed; show what was said
        text = version.card
    fields = [(name.replace("_", " ").capitalize(), lines(version.card_head.get(name))) for name in HEAD]
    return CardView([(name, said) for name, said in fields if said], markdown.render(text))


def lines(value: Any) -> list[str]:
    """A field of a card's head as lines: one text, several, or names with values."""
    if isinstance(value, Mapping):
        return [f"{name}: {_plain(item)}" for name, item in value.items()]
    if isinstance(value, list):
        return [_record(item) if isinstance(item, Mapping) else _plain(item) for item in value]
    return [_plain(value)] if value not in (None, "") else []


def _record(item: Mapping[str, Any]) -> str:
    """One of several named things in a line: ``feedback-october: messages 3120, kind synthetic``."""
    rest = ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in item.items() if name != "name")
    return ": ".join(part for part in (_plain(item.get("name", "")), rest) if part)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class TensorView:
    """An input or output as a row."""

    name: str
    datatype: str
    shape: str
    meaning: str
    labels: Sequence[str]


def tensors(version: ModelVersion) -> tuple[list[TensorView], list[TensorView]] | None:
    """Inputs and outputs of a checked version."""
    signature = version.signature
    if not signature:
        return None
    return (
        list(_tensors(signature["inputs"], version.card_head.get("inputs"))),
        list(_tensors(signature["outputs"], version.card_head.get("outputs"))),
    )


def _tensors(rows: Sequence[Mapping[str, Any]], said: Any) -> Iterator[TensorView]:
    for row in rows:
        labels = [str(label) for label in row.get("labels") or row.get("categories") or ()]
        meanings = [_meaning(row["name"], said, alone=len(rows) == 1)]
        if row.get("nullable"):
            meanings.append("may be empty")
        shape = "[" + ", ".join(str(size) for size in row["shape"]) + "]"
        yield TensorView(row["name"], row["datatype"], shape, "; ".join(filter(None, meanings)), labels)


_USUAL = {
    "predict": "the answer",
    "predict_proba": "probability of each class",
    "decision_function": "score of each class",
    "transform": "the transformed values",
}


def _meaning(name: str, said: Any, *, alone: bool) -> str:
    """What the card says of one tensor, else what its name always means."""
    if isinstance(said, list):
        said = {item.get("name"): item.get("meaning", "") for item in said if isinstance(item, Mapping)}
    if isinstance(said, Mapping) and name in said:
        return _plain(said[name])
    if isinstance(said, str) and alone:
        return said
    return _USUAL.get(name, "")


def example_row(version: ModelVersion) -> Mapping[str, Any] | None:
    """The first sample row, when its owner declares the sample synthetic; real rows are never shown."""
    if version.card_head.get("sample_kind") != "synthetic":
        return None
    sample = next((file for file in version.files if file.path == SAMPLE and file.size <= SAMPLE_BYTES), None)
    if sample is None:
        return None
    try:
        first = here().store.read(sample.digest, limit=SAMPLE_BYTES).split(b"\n", 1)[0]
        row = json.loads(first)
    except (RegistryError, ValueError):
        return None
    return row if isinstance(row, dict) else None
