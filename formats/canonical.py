"""Canonical JSON (RFC 8785, JCS): one value has one spelling, so that it has one digest."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from . import digest as digests

MAX_SAFE = 2**53 - 1  # the largest integer that every JSON reader keeps exactly

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_quote = json.JSONEncoder(ensure_ascii=False).encode


class CanonicalError(ValueError):
    """A value that has no canonical JSON form, or bytes that are not JSON as RFC 7493 (I-JSON) asks."""


def dumps(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value (dict, list or tuple, str, int, float, bool, None).

    :raises CanonicalError: NaN or infinity, an integer past 2^53-1, a key that is not text, a lone surrogate, another type,
        or nesting deeper than the interpreter's stack.
    """
    try:
        return "".join(_encode(value)).encode()
    except UnicodeEncodeError as error:
        raise CanonicalError(f"text holds a lone surrogate, which UTF-8 cannot carry: {error.object!r:.80}") from None
    except RecursionError:
        raise CanonicalError("nested too deeply, or a container that holds itself") from None


def loads(data: bytes) -> Any:
    """Read JSON, refusing what two readers could understand differently.

    An integer past 2^53-1 is read as the double that has exactly this spelling, so that `loads(dumps(x)) == x`.

    :raises CanonicalError: not UTF-8, not JSON, a duplicate key, NaN or infinity, a number that a double cannot keep, a
        lone surrogate.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_double,
        )
        if _ESCAPED_SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except CanonicalError:
        raise
    except UnicodeDecodeError as error:
        raise CanonicalError(f"not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}") from None
    except UnicodeEncodeError:
        raise CanonicalError("text holds a lone surrogate escape, which no UTF-8 reader can keep") from None
    except ValueError as error:
        raise CanonicalError(f"not JSON: {error}") from None
    except RecursionError:
        raise CanonicalError("nested too deeply") from None
    return value


def digest(value: Any) -> str:
    """`sha256:<hex>` of the canonical bytes of ``value``."""
    return digests.of_bytes(dumps(value))


def _encode(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield _quote(value)
    elif value is None:
        yield "null"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, int):
        if abs(value) > MAX_SAFE:
            raise CanonicalError(f"{value} is past 2^53-1, where JSON readers round: write it as text")
        yield int.__repr__(value)
    elif isinstance(value, float):
        yield _number(value)
    elif isinstance(value, dict):
        yield from _encode_object(value)
    elif isinstance(value, list | tuple):
        yield "["
        for position, item in enumerate(value):
            if position:
                yield ","
            yield from _encode(item)
        yield "]"
    else:
        raise CanonicalError(f"{type(value).__name__} has no JSON form: {value!r:.80}")


def _encode_object(value: dict[Any, Any]) -> Iterator[str]:
    for key in value:
        if not isinstance(key, str):
            raise CanonicalError(f"the key {key!r:.80} is {type(key).__name__}: JSON keys are text")
    separator = "{"
    # RFC 8785 3.2.3 sorts by UTF-16 code units, which differs from code points above U+FFFF.
    for key in sorted(value, key=lambda text: text.encode("utf-16-be")):
        yield separator
        separator = ","
        yield _quote(key)
        yield ":"
        yield from _encode(value[key])
    yield "}" if value else "{}"


def _number(value: float) -> str:
    """ECMA-262 Number::toString. Python's repr has the same shortest digits; only their layout differs."""
    if not math.isfinite(value):
        raise CanonicalError(f"{value} has no JSON form: leave it out or write null")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The decimal point stands behind this many digits; zeros cut off in front moved it.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise CanonicalError(f"the key {twice!r} appears twice in one object")
    return result


def _refuse_constant(text: str) -> Any:
    raise CanonicalError(f"{text} is not JSON: leave it out or write null")


def _double(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise CanonicalError(f"{text:.40} is larger than any double")
    return value


def _integer(text: str) -> int | float:
    if len(text) <= 16 and abs(small := int(text)) <= MAX_SAFE:
        return small
    value = float(text)
    if math.isinf(value) or _number(value) != text:
        raise CanonicalError(f"{text:.40} is past 2^53-1 and no double has this spelling: write it as text")
    return value
