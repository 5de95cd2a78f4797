"""What the inert unpickler puts on its stack instead of objects. Records hold names and shapes, never anything live."""

from dataclasses import dataclass
from typing import Any

_KEPT = 64  # entries of a dict, items of a tuple: more than any dtype or array header has


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A name the pickle imports: after Python 2 names were translated, as the real unpickler does."""

    module: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.module}:{self.name}"

    @property
    def dotted(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Dtype:
    """A NumPy dtype as its constructor's text says. ``size`` is bytes per element."""

    text: str
    size: int
    objects: bool = False


@dataclass(slots=True, eq=False)
class Made:
    """What calling a name, or restoring an instance of it, would have given. ``filled``: entries were set in it, as in a dict."""

    made_by: Global
    dtype: Dtype | None = None
    filled: bool = False


@dataclass(slots=True, eq=False)
class ArrayHeader:
    """joblib's NumpyArrayWrapper before its state arrives; raw array bytes follow the state."""

    used: bool = False


class Table:
    """A dict: its first text keys, and whether a key was seen that would reach into Python's own attributes."""

    __slots__ = ("entries", "special", "whole")

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.whole = True
        self.special: str | None = None

    def put(self, key: Any, value: Any) -> None:
        if type(key) is not str:
            self.whole = False
            return
        if key[:2] == "__" and key[-2:] == "__":
            self.special = key
        if len(self.entries) < _KEPT or key in self.entries:
            self.entries[key] = value
        else:
            self.whole = False


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """A value of which only the kind matters: long text, bytes, a list, a set, an array, a long tuple."""

    kind: str


LIST = Opaque("list")
SET = Opaque("set")
FROZENSET = Opaque("frozenset")
BYTES = Opaque("bytes")
TEXT = Opaque("text")
ARRAY = Opaque("array")
LONG_TUPLE = Opaque("tuple")
SKIPPED = Opaque("bytearray")


def pack(items: list[Any]) -> Any:
    """A tuple of ``items``; a long one, which nothing here needs to look into, as a mere kind."""
    return tuple(items) if len(items) <= _KEPT else LONG_TUPLE


def is_tuple(value: Any) -> bool:
    return type(value) is tuple or value is LONG_TUPLE


def is_bytes(value: Any) -> bool:
    # Before protocol 3, bytes are text that is encoded while loading.
    encoded = type(value) is Made and value.made_by.label == "_codecs:encode"
    return value is BYTES or value is SKIPPED or encoded


def describe(value: Any) -> str:
    """A value in a few words, for a message."""
    if type(value) is Global:
        return f"the name {value.dotted}"
    if type(value) is Made:
        return f"an instance of {value.made_by.dotted}"
    if type(value) is ArrayHeader:
        return "an array header"
    if type(value) is Table:
        return "a dict"
    if type(value) is Opaque:
        return f"a {value.kind}"
    return "None" if value is None else f"a {type(value).__name__}"
