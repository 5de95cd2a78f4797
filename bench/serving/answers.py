"""Whether an answer is scikit-learn's. Every answer is looked at while it is measured; equal bytes are read once."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Read: TypeAlias = Callable[[bytes], Any]


class WrongAnswer(Exception):
    """A server answered something else than scikit-learn does: its speed is worth nothing."""


class Check:
    """Compares the answers of one server to one list of requests."""

    def __init__(self, who: str, read: Read, expected: Sequence[Any]) -> None:
        """:param read: from a body to the predictions in it.
        :param expected: the predictions of each request.
        """
        self._who = who
        self._read = read
        self._expected = expected
        self._seen: dict[int, bytes] = {}

    def __call__(self, place: int, body: bytes) -> None:
        """:raises WrongAnswer: ``body`` is not the answer to request ``place``."""
        if self._seen.get(place) == body:
            return
        try:
            found = self._read(body)
        except (LookupError, TypeError, ValueError):
            raise WrongAnswer(f"{self._who}: request {place} was answered {body[:200]!r}") from None
        if found != self._expected[place]:
            raise WrongAnswer(f"{self._who}: request {place} was answered {_short(found)}, not as scikit-learn does")
        self._seen[place] = body


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
