"""A NumPy array file (.npy): its header read without evaluating it, and its size compared with its bytes."""

import re
from collections.abc import Iterator

from builders.checks.report import Refused
from builders.checks.stream import SAVE_AGAIN

_MAGIC = b"\x93NUMPY"
_LONGEST = 64 << 10
_HEADER = re.compile(
    r"\{'descr': (?P<descr>.+), 'fortran_order': (?:True|False), 'shape': \((?P<shape>[0-9, ]*)\), \} *\n", re.DOTALL
)
_PLAIN = re.compile(r"'[<>|=](?P<kind>[biufcmMSUV])(?P<size>[0-9]{1,9})(?:\[[0-9a-zA-Z/]{1,12}\])?'")
_FIELD = re.compile(rf"\('[^'\\]{{0,100}}', {_PLAIN.pattern}(?:, \((?P<shape>[0-9, ]+)\))?\)")


def check(name: str, size: int, pieces: Iterator[bytes]) -> None:
    """Read the whole array file ``name`` of ``size`` bytes.

    :raises Refused: an array of objects (which would be a pickle), or a header that does not fit the bytes.
    """
    head = b""
    for piece in pieces:
        if len(head) < _LONGEST:
            head += piece
    if head[:6] != _MAGIC or head[6:8] not in (b"\x01\0", b"\x02\0"):
        raise _refuse(name, "is not an array as NumPy saves it")
    width = 2 if head[6] == 1 else 4
    begin = 8 + width
    length = int.from_bytes(head[8:begin], "little")
    text = head[begin : begin + length]
    if length > _LONGEST - 16 or len(text) != length:
        raise _refuse(name, "has a header that is cut off or too long")
    found = _HEADER.fullmatch(text.decode("latin-1"))
    item = _item_size(found["descr"]) if found else None
    if found is None or item is None:
        raise _refuse(name, "has a header that NumPy never writes, or holds objects")
    count = 1
    for axis in filter(None, found["shape"].replace(" ", "").split(",")):
        count *= int(axis)
    if begin + length + count * item != size:
        raise _refuse(name, f"has {size} bytes, but its header asks for {begin + length + count * item}")


def _item_size(descr: str) -> int | None:
    if plain := _PLAIN.fullmatch(descr):
        return _bytes(plain)
    if not (descr.startswith("[") and descr.endswith("]")):
        return None
    total = 0
    for part in re.split(r"(?<=\)), (?=\()", descr[1:-1]):
        field = _FIELD.fullmatch(part)
        if field is None:
            return None
        size = _bytes(field)
        for axis in filter(None, (field["shape"] or "").replace(" ", "").split(",")):
            size *= int(axis)
        total += size
    return total


def _bytes(found: re.Match[str]) -> int:
    return int(found["size"]) * (4 if found["kind"] == "U" else 1)


def _refuse(name: str, problem: str) -> Refused:
    return Refused("unsafe-construct", f"The array {name} {problem}.", SAVE_AGAIN)
