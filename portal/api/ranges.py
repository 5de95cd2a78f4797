"""Parts of a file or log by the Range header (RFC 9110, section 14): one range; several are answered whole."""

from collections.abc import Iterator
from typing import BinaryIO

from flask import Response, request

from portal import errors
from registry.errors import RegistryError

PIECE = 1 << 20


class RangeNotSatisfiable(RegistryError):
    """The range begins behind the last byte."""

    code = "range-not-satisfiable"
    title = "There is nothing in that range yet"


errors.STATUS[RangeNotSatisfiable] = 416


def wanted(size: int, tag: str | None = None) -> tuple[int, int] | None:
    """First byte and the one behind the last of the range asked for; ``None`` for the whole.

    :param tag: entity tag; an If-Range that names another one asks for the whole.
    :raises RangeNotSatisfiable: it begins at or behind ``size``.
    """
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None
    if "If-Range" in request.headers and (tag is None or request.if_range.etag != tag):
        return None
    start, end = asked.ranges[0]
    if start < 0:  # the last bytes, however many there are
        start = max(0, size + start)
    if start >= size:
        raise RangeNotSatisfiable(f"{size} bytes are there", hint="Ask again from the end of what you have.")
    return start, size if end is None else min(end, size)


def unsatisfiable(error: RangeNotSatisfiable, size: int) -> Response:
    """The refusal, with how much there is."""
    return errors.answer(error, 416, {"Content-Range": f"bytes */{size}"})


def part(source: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Bytes ``start`` to before ``end`` of an open file, which is closed at the end."""
    with source:
        source.seek(start)
        left = end - start
        while left > 0 and (data := source.read(min(PIECE, left))):
            left -= len(data)
            yield data
