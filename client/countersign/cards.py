"""Model cards: Markdown with a YAML head. Reading the head, the template, and filling one from arguments."""

from collections.abc import Mapping
from typing import Any

import yaml

from countersign.formats import card

REQUIRED = ("purpose", "task", "owner", "contact")
RECOMMENDED = ("inputs", "outputs", "training_data", "limits", "licence")
# May be left out, but not left empty.
OPTIONAL = (*RECOMMENDED, "metrics", "uses", "prohibited_uses")
SAMPLE_KINDS = ("synthetic", "masked", "real")


class BadCard(ValueError):
    """The card has no head that can be read. The message says where."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 without dates: a card that says 2026-10-31 means the text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def template(name: str) -> str:
    """A card to fill in, for the model ``team/name``."""
    team, _, model = name.partition("/")
    return card.template(owner=yaml.safe_dump(team).partition("\n")[0], title=model.replace("-", " ").capitalize())


def head(text: str) -> dict[str, Any]:
    """The fields of the card's head.

    :raises BadCard: no head, no end of it, or not YAML (with the line).
    """
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---":
        raise BadCard("the card has no head: its first line is ---, then YAML fields, then ---")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise BadCard("the card's head does not end: close it with a line ---")
    try:
        fields = yaml.load("\n".join(lines[1:end]), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 2}" if mark else "the head"
        raise BadCard(f"the card's head is not YAML at {where}: {getattr(error, 'problem', error)}") from None
    if not isinstance(fields, dict):
        raise BadCard("the card's head holds no fields: write one per line, as in `purpose: ...`")
    return fields


def lines(head: Mapping[str, Any], key: str) -> list[str]:
    """A field that may be one text or a list of them, as a list."""
    value = head.get(key)
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [str(line) for line in value] if isinstance(value, list | tuple) else []


def write(fields: Mapping[str, Any], body: str) -> str:
    """A card with ``fields`` as its head, those without a value left out."""
    kept = {key: value for key, value in fields.items() if value not in (None, "", [], {}, ())}
    return f"---\n{yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)}---\n\n{body.strip()}\n"
