"""The wire format of protocol buffers, read strictly: known fields only, nothing left over."""

from collections.abc import Iterator

from builders.checks.report import Refused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_AGAIN = "Export the model again (onnx.save, or skl2onnx) and push that file."


def fields(data: memoryview, what: str) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field of one message; ``what`` names it in messages.

    :raises Refused: the bytes are not such a message.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at, what)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at, what)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at, what)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise malformed(f"{what} has a field of a kind that is not known")
        if size > end - at:
            raise malformed(f"{what} is cut off")
        yield number, kind, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int, what: str) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
        shift += 7
    raise malformed(f"{what} is cut off, or has a number without an end")


def malformed(problem: str) -> Refused:
    return Refused("malformed", f"{problem}: the file is not a whole ONNX model.", _AGAIN)
