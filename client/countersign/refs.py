"""References people type: `team/name`, `team/name:3`, `team/name:champion`, `team/name@sha256:<hex>`."""

import re
from dataclasses import dataclass

from countersign.errors import Unusable
from countersign.formats import digest as digests

APPROVED = "approved"  # the selector of a bare name: the newest version somebody may run

_SLUG = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_SLUG}/{_SLUG}")
_SELECTOR = re.compile(_SLUG)  # a number, an alias, `approved` or `latest`


@dataclass(frozen=True, slots=True)
class Ref:
    """A model and which of its versions: a number, an alias, `approved`, or a digest."""

    team: str
    model: str
    selector: str = APPROVED

    @property
    def name(self) -> str:
        return f"{self.team}/{self.model}"

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.selector.startswith('sha256:') else ':'}{self.selector}"


def parse_name(text: str) -> str:
    """``text`` when it is a model name.

    :raises Unusable: it is not `team/model` in lower case.
    """
    if _NAME.fullmatch(text) is None:
        raise Unusable(
            f"{text!r} is not a model name",
            hint="Write team/model, each 1-63 lower-case letters, digits and inner dashes, as in payments/feedback-voice.",
        )
    return text


def parse(text: str) -> Ref:
    """:raises Unusable: the name, the version or the digest is malformed."""
    if "@" in text:
        name, _, selector = text.partition("@")
        try:
            digests.parse(selector)
        except ValueError as error:
            raise Unusable(str(error), hint="Write team/model@sha256:<64 hex digits>.") from None
    else:
        name, colon, selector = text.partition(":")
        if colon and _SELECTOR.fullmatch(selector) is None:
            raise Unusable(f"{text!r} names no version", hint="Write team/model:3 or team/model:champion.")
    team, _, model = parse_name(name).partition("/")
    return Ref(team, model, selector or APPROVED)
