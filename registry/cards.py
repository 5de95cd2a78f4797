"""Model cards: Markdown with a typed YAML head."""

from dataclasses import dataclass
from typing import Any

import yaml

from registry import names, schemas
from registry.errors import Invalid

MAX_CARD = 200_000


@dataclass(frozen=True)
class Card:
    """A parsed card."""

    head: dict[str, Any]
    body: str


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the same in C, where it is built
    """Plain YAML 1.1 without dates: a card says ``2026-10-31`` and means the text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str) -> Card:
    """Split and check a card.

    :raises Invalid: no head, bad YAML (with line), or fields that the schema refuses (each named).
    """
    if len(text) > MAX_CARD:
        raise Invalid(
            f"the card has {len(text)} characters", hint=f"At most {MAX_CARD}.", errors=[("/card", "too long")]
        )
    names.storable(text, what="the card", pointer="/card")
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    if not lines or lines[0].strip() != "---":
        raise Invalid(
            "the card has no head",
            hint="Begin it with --- , YAML fields, and --- . `countersign init` writes one.",
            errors=[("/card", "must begin with ---")],
        )
    try:
        end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == "---")
    except StopIteration:
        raise Invalid(
            "the head of the card does not end", hint="Close it with a line ---.", errors=[("/card", "no second ---")]
        ) from None
    try:
        head = yaml.load("\n".join(lines[1:end]), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 2}" if mark else "the head"
        raise Invalid(
            f"the card's head is not YAML at {where}: {getattr(error, 'problem', error)}", errors=[("/card", where)]
        ) from error
    schemas.check("card-head", head, what="the card's head", pointer="/card")
    return Card(head, "\n".join(lines[end + 1 :]).strip())
