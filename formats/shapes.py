"""Strict reading of JSON documents: every fault names the place, what came and what is expected."""

import base64
import math
import re
from collections.abc import Collection
from typing import Any

from . import digest


class ShapeError(ValueError):
    """A document does not have the shape its format demands. ``path`` names the place, as in `models[0].format`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'document'}: {problem}")
        self.path = path
        self.problem = problem


class Node:
    """A JSON value and the path that leads to it."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str = "") -> None:
        self.value = value
        self.path = path

    def fail(self, problem: str) -> ShapeError:
        return ShapeError(self.path, problem)

    def expected(self, what: str) -> ShapeError:
        return self.fail(f"expected {what}, got {_describe(self.value)}")

    def fields(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, "Node"]:
        """The members of an object that has all of ``required``, any of ``optional`` and nothing else."""
        members = self.members(required)
        for key, node in members.items():
            if key not in required and key not in optional:
                known = ", ".join([*required, *optional])
                raise node.fail(f"unknown key; this version of the format knows {known}")
        return members

    def members(self, required: Collection[str]) -> dict[str, "Node"]:
        """The members of an object that has all of ``required``; for foreign formats, which may hold more."""
        if not isinstance(self.value, dict):
            raise self.expected("an object")
        for key in required:
            if key not in self.value:
                raise ShapeError(self._child(key), "missing key")
        return {key: Node(value, self._child(key)) for key, value in self.value.items()}

    def items(self, *, least: int = 0, most: int | None = None) -> list["Node"]:
        if not isinstance(self.value, list):
            raise self.expected("a list")
        if len(self.value) < least or (most is not None and len(self.value) > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise self.fail(f"expected {bounds} items, got {len(self.value)}")
        return [Node(value, f"{self.path}[{position}]") for position, value in enumerate(self.value)]

    def text(self, pattern: str | None = None, what: str = "text") -> str:
        """Text that matches ``pattern`` as a whole; ``what`` describes it to a person."""
        if not isinstance(self.value, str) or not self.value:
            raise self.expected(what)
        if pattern is not None and not re.fullmatch(pattern, self.value):
            raise self.expected(what)
        return self.value

    def one_of(self, choices: Collection[str]) -> str:
        if not isinstance(self.value, str) or self.value not in choices:
            raise self.expected("one of " + ", ".join(choices))
        return self.value

    def integer(self, least: int = 0, most: int = 2**53 - 1) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not least <= self.value <= most:
            raise self.expected(f"a whole number from {least} to {most}")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.expected("true or false")
        return self.value

    def scalar(self) -> str | int | float | bool:
        """A label or category: text, a finite number, or true or false."""
        if not isinstance(self.value, str | int | float) or (
            isinstance(self.value, float) and not math.isfinite(self.value)
        ):
            raise self.expected("text, a finite number, or true or false")
        return self.value

    def digest(self) -> str:
        try:
            digest.parse(self.value)
        except ValueError:
            raise self.expected("a digest (sha256: and 64 lower-case hex digits)") from None
        return str(self.value)

    def base64(self) -> bytes:
        """The bytes behind base64 text (RFC 4648, section 4): no white space, no other alphabet."""
        if not isinstance(self.value, str):
            raise self.expected("base64 text")
        try:
            return base64.b64decode(self.value, validate=True)
        except ValueError:  # binascii.Error is one
            raise self.expected("base64 text") from None

    def schema(self, known: str) -> None:
        """The `schema` member: any other name or version is refused before the rest is judged."""
        if not isinstance(self.value, dict):
            raise self.expected("an object")
        if "schema" not in self.value:
            raise ShapeError(self._child("schema"), "missing key")
        if self.value["schema"] != known:
            found = _describe(self.value["schema"])
            raise ShapeError(self._child("schema"), f"expected {known}, got {found}; a newer Countersign may read it")

    def _child(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else str(key)


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
