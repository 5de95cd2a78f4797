"""Is what runs what we validated? The parity report in the words of a reviewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry.orm.catalog import ModelVersion

ENGINES = {
    "arrays": "Plain arrays, computed by the serving image itself",
    "onnx": "A graph, computed by ONNX Runtime in the serving image",
}


@dataclass(frozen=True)
class Parity:
    """``answer`` in a few words, ``said`` as the report has it, and the figures behind it."""

    answer: str
    said: str
    figures: list[tuple[str, str]]


def told(version: ModelVersion) -> Parity | None:
    """None before the checks have reported."""
    report = next((report for report in version.reports if report.step == "parity"), None)
    if report is None:
        return None
    facts = report.body["facts"]
    chosen = facts["compiled"]
    if not chosen:
        return Parity("Yes: its own library runs it", report.summary, _tried(facts))
    found = next(item for item in facts["candidates"] if item["equal"])
    rows, labels, largest = facts["rows"], found["labels"], found["largest_difference"]
    figures = [
        (
            "Rows compared",
            f"{rows['sample'] + rows['edge']:,}: {rows['sample']:,} of the sample, {rows['edge']:,} edge cases",
        ),
        ("Labels equal", f"{labels['equal']:,} of {labels['of']:,}" if labels else "It answers numbers, no labels"),
        ("Largest difference", "none, to the last bit" if not largest else f"below {largest:.0e}"),
        ("Tolerance", f"{facts['tolerance']:.0e}, relative above 1"),
        ("Refused by both", f"{rows['refused']:,} rows" if rows["refused"] else "no row"),
        ("Runs as", ENGINES[chosen["engine"]]),
    ]
    return Parity("Yes: compared and equal", report.summary, figures)


def _tried(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How near the forms came that were not taken."""
    return [
        (f"Tried as {item['engine']}", "; ".join(item["problems"]) or "equal") for item in facts.get("candidates", ())
    ]
