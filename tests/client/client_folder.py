"""A folder that can be pushed."""

import json
from pathlib import Path

import joblib

from countersign import cards

CLIENT = Path(__file__).resolve().parents[2] / "client"
NAME = "payments/feedback-voice"


def fill(folder: Path, *, weight: float = 1.0) -> None:
    """A small model (plain values), its sample and its card."""
    joblib.dump({"weight": weight}, folder / "model.joblib")
    rows = [{"text": "the card was late"}, {"text": "thank you"}]
    (folder / "sample.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = {
        "purpose": "Labels feedback.", "task": "text-classification", "owner": "payments", "contact": "ana@example.org",
        "inputs": "a message", "outputs": "a label", "training_data": "made up", "limits": "English only",
        "licence": "Apache-2.0", "sample_kind": "synthetic",
    }  # fmt: skip
    (folder / "card.md").write_text(cards.write(fields, "# Voice"))
