"""From a category to the team that can act, by the table in teams.json."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FRONT_DESK = "other"
SURE_ENOUGH = (
    0.2  # a wrong team costs a customer days, the front desk an hour: below this a person reads the message first
)


class UnknownCategoryError(ValueError):
    """The model answered a category that teams.json does not know."""


@dataclass(frozen=True, slots=True)
class Team:
    """Who can act on a category, and how soon the bank promises an answer."""

    category: str
    name: str
    unit: str
    answer_within_hours: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message goes. ``sure`` is False when the front desk reads it first, whatever the category says."""

    team: Team
    sure: bool


@cache
def teams() -> dict[str, Team]:
    """All teams by category, as listed in teams.json."""
    table = json.loads((Path(__file__).parent / "teams.json").read_text(encoding="utf-8"))
    return {
        category: Team(category, row["team"], row["unit"], row["answer_within_hours"])
        for category, row in table.items()
    }


def route(category: str, confidence: float | None = None) -> Route:
    """The team for a category.

    :param category: what the model answered.
    :param confidence: its probability, 0 to 1; None where the model gives none, which counts as sure.
    :raises UnknownCategoryError: the category is not in teams.json.
    """
    known = teams()
    if category not in known:
        raise UnknownCategoryError(
            f"the model answered {category!r}, which teams.json does not list; add its team there"
        )
    if confidence is not None and confidence < SURE_ENOUGH:
        return Route(known[FRONT_DESK], sure=False)
    return Route(known[category], sure=True)
