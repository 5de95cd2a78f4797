"""Tensors in wire form: the one codec of the server and of the program that runs a model.

Wire form is that of the Open Inference Protocol's binary tensors: row-major, little endian, no padding; BOOL one byte, BYTES
an u32 length before each element. Rows come first, so tensors of several requests are joined by joining bytes.
Needs the standard library and numpy, nothing else: the runner loads this file, too, inside the model's own environment.
"""

import json
import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

Buffer: TypeAlias = bytes | bytearray | memoryview
Body: TypeAlias = bytes | bytearray  # a whole one, to be read as text
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
PACKED_AS = {"INT64": "q", "INT32": "i", "FP64": "d"}  # as `struct` calls them
_TYPES: dict[str, frozenset[type]] = {
    "INT64": frozenset({int}),
    "INT32": frozenset({int}),
    "FP64": frozenset({int, float}),
}
FEW = 256  # elements: numpy takes longer to begin than they take
PACKED = 65_536  # elements that are packed at once: `struct` takes half of numpy's time, and a pointer's room for each
_LENGTH = struct.Struct("<I")
_ZONE_NAME = re.compile(r"\[!?([A-Za-z][A-Za-z0-9_+/-]{1,63})\]$")
_SUCH = {
    True: "2026-01-31T09:30:00",
    False: "2026-01-31T09:30:00+01:00",
}  # where no time zone is expected, and where one is
# A frame between server and model process: length of the JSON head, length of the data that follows it.
FRAME = struct.Struct("<IQ")


class TensorError(ValueError):
    """Data that does not fit the tensor it is declared to be. The message says what came and what is expected."""


@dataclass(slots=True)  # not frozen: that takes four times as long to make, and every input of every request is one
class Tensor:
    """One tensor in wire form. ``nulls``: flat indices of elements without a value (BYTES and BOOL; in floats NaN says it)."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Buffer
    nulls: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def from_values(
    name: str, datatype: str, shape: tuple[int, ...], values: list[Any], *, nullable: bool = False, plain: bool = False
) -> Tensor:
    """Encode JSON values, flat or nested as ``shape``.

    :param nullable: ``None`` may stand for a missing value, and so may NaN.
    :param plain: none of them is true or false, which Python takes for 1 and 0: numbers need not be told from them.
    :raises TensorError: a value, the nesting or the count of values does not fit.
    """
    if datatype == "BYTES":
        return _from_strings(name, shape, values, nullable=nullable)
    if (packed := _pack(datatype, shape, values, nullable=nullable, plain=plain)) is not None:
        return Tensor(name, datatype, shape, packed)
    nulls = _check_types(datatype, values, nullable=nullable)
    if nulls and datatype == "BOOL":
        values = [item is True for item in flat(values)]
    dtype = DTYPES[datatype]
    try:
        with np.errstate(over="raise"):  # else a number too large for FP32 would become infinite without a word
            array = np.array(values, dtype=dtype)
    except (OverflowError, FloatingPointError):
        limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
        raise TensorError(f"a number is out of range: {datatype} goes from {limits.min} to {limits.max}") from None
    except (ValueError, TypeError):
        raise TensorError("data is nested unevenly, expected one flat array or rows of one length") from None
    _check_layout(array.shape, shape)
    tensor = Tensor(name, datatype, shape, array.tobytes(), nulls if datatype == "BOOL" else ())
    return tensor if nullable else _without_nan(tensor)


def _pack(datatype: str, shape: tuple[int, ...], values: list[Any], *, nullable: bool, plain: bool) -> bytes | None:
    """The wire form of plain numbers, flat or in rows; None for all else, which the longer way takes or refuses."""
    types, count = _TYPES.get(datatype), math.prod(shape)
    if types is None or count > PACKED:
        return None
    if len(shape) == 2 and len(values) == shape[0] and set(map(type, values)) == {list}:
        if set(map(len, values)) != {shape[1]}:
            return None
        values = values[0] if len(values) == 1 else list(chain.from_iterable(values))
    if len(values) != count or not (plain or types.issuperset(map(type, values))):
        return None
    try:
        packed = struct.pack(f"<{count}{PACKED_AS[datatype]}", *values)
        unsure = datatype == "FP64" and not nullable and math.isnan(sum(values))  # of NaN, or of two infinities
    except (struct.error, OverflowError):
        return None
    return None if unsure else packed


def from_raw(name: str, datatype: str, shape: tuple[int, ...], data: Buffer, *, nullable: bool = False) -> Tensor:
    """Take a binary tensor as it is, after checking that it is one.

    :param nullable: NaN may stand for a missing value.
    :raises TensorError: ``data`` is longer or shorter than ``shape`` and ``datatype`` say, BYTES are not UTF-8, or NaN came
        where none may.
    """
    tensor = Tensor(name, datatype, shape, data)
    if datatype == "BYTES":
        try:
            elements = [bytes(element).decode() for element in elements_of(data)]
        except UnicodeDecodeError as error:
            raise TensorError(f"a BYTES element is not UTF-8: {error.reason} at its byte {error.start}") from None
        if len(elements) != tensor.count:
            raise TensorError(f"{len(elements)} elements came, shape {list(shape)} holds {tensor.count}")
    elif len(data) != (expected := tensor.count * DTYPES[datatype].itemsize):
        raise TensorError(f"{len(data)} bytes came, {datatype} of shape {list(shape)} has {expected}")
    return tensor if nullable else _without_nan(tensor)


def _without_nan(tensor: Tensor) -> Tensor:
    """:raises TensorError: naming the first row with one."""
    if (row := first_nan(tensor)) is not None:
        raise TensorError(f"row {row} is NaN, and this input takes no missing values")
    return tensor


def from_array(name: str, datatype: str, array: Array) -> Tensor:
    """Encode what an estimator answered. Strings become BYTES in UTF-8; other kinds are cast to ``datatype``."""
    if datatype == "BYTES":
        return Tensor(
            name, datatype, array.shape, join_elements(str(item).encode() for item in array.reshape(-1).tolist())
        )
    return Tensor(name, datatype, array.shape, np.ascontiguousarray(array, dtype=DTYPES[datatype]).tobytes())


def view(tensor: Tensor) -> Array:
    """A numeric or BOOL tensor as an aligned array. It is not for writing: it may share the tensor's data."""
    array = np.frombuffer(tensor.data, DTYPES[tensor.datatype]).reshape(tensor.shape)
    return array if array.flags.aligned else array.copy()


def to_array(tensor: Tensor) -> Array:
    """A numeric or BOOL tensor as an aligned, writable array: compiled estimators refuse anything else."""
    array = view(tensor)
    return array if array.flags.writeable else array.copy()


def to_strings(tensor: Tensor) -> list[str | None]:
    """The elements of a BYTES tensor, ``None`` where there is no value."""
    strings: list[str | None] = [bytes(element).decode() for element in elements_of(tensor.data)]
    for index in tensor.nulls:
        strings[index] = None
    return strings


def to_values(tensor: Tensor) -> list[Any]:
    """The tensor as JSON values nested by its shape; NaN and infinities, which JSON does not have, as ``None``."""
    if tensor.datatype == "BYTES":
        flat = np.array(to_strings(tensor), dtype=object)
    else:
        flat = np.frombuffer(tensor.data, dtype=DTYPES[tensor.datatype])
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            flat = np.array([item if math.isfinite(item) else None for item in flat.tolist()], dtype=object)
    values: list[Any] = flat.reshape(tensor.shape).tolist()
    return values


def convert(tensor: Tensor, datatype: str) -> Tensor:
    """Widen to ``datatype`` where no value can change (INT32 to FP64, FP32 to FP64).

    :raises TensorError: values could change, or mean something else.
    """
    if tensor.datatype == datatype:
        return tensor
    if {"BYTES", "BOOL"} & {tensor.datatype, datatype} or not np.can_cast(
        DTYPES[tensor.datatype], DTYPES[datatype], "safe"
    ):
        raise TensorError(f"datatype {tensor.datatype} came, expected {datatype}")
    data = np.frombuffer(tensor.data, dtype=DTYPES[tensor.datatype]).astype(DTYPES[datatype]).tobytes()
    return Tensor(tensor.name, datatype, tensor.shape, data)


def dates(tensor: Tensor, zone: str | None = None) -> Tensor:
    """A BYTES tensor of ISO 8601 dates or times, all in one form: `2026-01-31T09:30:00.000000`, moments in UTC with `+00:00`.

    :param zone: of the column; each element then needs an offset, after which RFC 9557's `[Europe/Zurich]` may stand.
    :raises TensorError: an element is something else, has an offset where none is expected, or none where one is.
    """
    elements = []
    for index, text in enumerate(to_strings(tensor)):
        try:
            moment = datetime.fromisoformat(_ZONE_NAME.sub("", text) if zone else text) if text is not None else None
        except ValueError:
            raise TensorError(
                f"element {index} is {describe(text)}, expected a date or time in ISO 8601 such as {_SUCH[zone is None]}"
            ) from None
        if moment is not None and (moment.tzinfo is None) != (zone is None):
            wanted = "no time zone" if zone is None else f"a time zone, as in {_SUCH[False]}"
            raise TensorError(f"element {index} is {describe(text)}, expected {wanted}")
        if moment is not None and zone is not None:
            try:
                moment = moment.astimezone(UTC)
            except OverflowError:
                raise TensorError(f"element {index} is {describe(text)}, out of range in UTC") from None
        elements.append(b"" if moment is None else moment.isoformat(timespec="microseconds").encode())
    return replace(tensor, data=join_elements(elements))


def zone_of(texts: Iterable[str | None]) -> str | None:
    """The time zone of a column of moments: the one that all name as RFC 9557 does, else their one offset, else UTC.

    :returns: None for local times, and for texts that are no times.
    """
    names, offsets = set(), set()
    for text in texts:
        if text is None:
            continue
        named = _ZONE_NAME.search(text)
        try:
            offset = datetime.fromisoformat(_ZONE_NAME.sub("", text)).utcoffset()
        except ValueError:
            return None
        if offset is None:
            return None
        names.add(named[1] if named else "")
        offsets.add(offset)
    if len(names) == 1 and (name := next(iter(names))):
        return str(name)
    if len(offsets) != 1 or not (offset := next(iter(offsets))) or offset.total_seconds() % 60:
        return "UTC" if offsets else None
    minutes = int(offset.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def read_text(datatype: str, texts: Sequence[str], *, nullable: bool) -> list[Any]:
    """Values that were written as text, as in CSV: an empty one is missing, where a value may be.

    :raises TensorError: a text is no value of ``datatype``.
    """
    if datatype == "BYTES":
        return [None if nullable and not text else text for text in texts]
    if datatype == "BOOL":
        read: Any = {"true": True, "false": False, "1": True, "0": False}.__getitem__
    else:
        read = float if datatype.startswith("FP") else int
    values = []
    for index, text in enumerate(texts):
        try:
            values.append(read(text.strip().lower().replace("_", "?")) if text else None)  # Python's 1_000 is no number
        except (KeyError, ValueError):
            raise TensorError(_misfit(datatype, index, text, nullable=nullable)) from None
    return values


def first_nan(tensor: Tensor) -> int | None:
    """Row of the first NaN of a float tensor, ``None`` when there is none."""
    if not tensor.datatype.startswith("FP"):
        return None
    if tensor.datatype == "FP64" and tensor.count <= FEW and not math.isnan(sum(memoryview(tensor.data).cast("d"))):
        return None
    array = np.frombuffer(tensor.data, dtype=DTYPES[tensor.datatype])
    if not math.isnan(np.minimum.reduce(array, initial=0.0)):
        return None  # the smallest of all is NaN when one of them is; finding it takes a third of the time
    missing = np.isnan(array)
    if not missing.any():
        return None
    return int(missing.argmax()) // max(1, tensor.count // tensor.shape[0])


def join(tensors: Sequence[Tensor]) -> Tensor:
    """The rows of several tensors of one name, datatype and row shape, in order."""
    first = tensors[0]
    if len(tensors) == 1:
        return first
    nulls: list[int] = []
    offset = 0
    for tensor in tensors:
        nulls.extend(offset + index for index in tensor.nulls)
        offset += tensor.count
    rows = sum(tensor.shape[0] for tensor in tensors)
    return Tensor(first.name, first.datatype, (rows, *first.shape[1:]), b"".join(t.data for t in tensors), tuple(nulls))


def split(tensor: Tensor, rows: Sequence[int]) -> list[Tensor]:
    """Undo a join: consecutive pieces of so many rows each."""
    if len(rows) == 1:
        return [tensor]
    width = math.prod(tensor.shape[1:])
    size = 0 if tensor.datatype == "BYTES" else width * DTYPES[tensor.datatype].itemsize
    data = memoryview(tensor.data)
    pieces = []
    start = 0
    for count in rows:
        if tensor.datatype == "BYTES":
            end = start
            for _ in range(count * width):
                end += _LENGTH.size + _LENGTH.unpack_from(data, end)[0]
        else:
            end = start + count * size
        pieces.append(Tensor(tensor.name, tensor.datatype, (count, *tensor.shape[1:]), data[start:end]))
        start = end
    return pieces


def join_elements(elements: Iterable[bytes]) -> bytes:
    """BYTES elements in wire form."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def elements_of(data: Buffer) -> Iterator[memoryview]:
    """The elements of BYTES in wire form.

    :raises TensorError: the lengths do not add up to the size of ``data``.
    """
    view = memoryview(data)
    start = 0
    while start < len(view):
        body = start + _LENGTH.size
        end = body + _LENGTH.unpack_from(view, start)[0] if body <= len(view) else body
        if end > len(view):
            raise TensorError(f"BYTES data ends in the middle of the element that starts at byte {start}")
        yield view[body:end]
        start = end


def pack(head: dict[str, Any], tensors: Sequence[Tensor] = ()) -> list[Buffer]:
    """A frame: its lengths, a JSON head, then the data of ``tensors``, as parts to be written one after the other."""
    described = [
        {"name": t.name, "datatype": t.datatype, "shape": t.shape, "size": len(t.data), "nulls": t.nulls}
        for t in tensors
    ]
    text = json.dumps({**head, "tensors": described}).encode()
    return [FRAME.pack(len(text), sum(len(t.data) for t in tensors)), text, *(t.data for t in tensors)]


def unpack(text: Buffer, data: Buffer) -> tuple[dict[str, Any], list[Tensor]]:
    """Head and tensors of a frame whose two parts were read by the lengths of its first 12 bytes. Shares ``data``."""
    head: dict[str, Any] = json.loads(bytes(text))
    view = memoryview(data)
    tensors = []
    start = 0
    for item in head.pop("tensors"):
        end = start + item["size"]
        tensors.append(
            Tensor(item["name"], item["datatype"], tuple(item["shape"]), view[start:end], tuple(item["nulls"]))
        )
        start = end
    return head, tensors


def describe(value: Any) -> str:
    """A JSON value in a few words, for messages."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f"the string {value if len(value) <= 40 else value[:40] + '...'!r}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "an object" if isinstance(value, dict) else f"the number {value}"


def _from_strings(name: str, shape: tuple[int, ...], values: list[Any], *, nullable: bool) -> Tensor:
    if len(shape) > 1 and values and all(isinstance(row, list) for row in values):
        _check_layout((len(values), *{len(row) for row in values}), shape)
        values = flat(values)
    _check_layout((len(values),), (math.prod(shape),))
    nulls = []
    encoded = []
    for index, item in enumerate(values):
        if isinstance(item, bytes):
            item = _decoded(item, index)  # noqa: PLW2901
        if item is None and nullable:
            nulls.append(index)
        elif not isinstance(item, str):
            raise TensorError(_misfit("BYTES", index, item, nullable=nullable))
        try:
            encoded.append((item or "").encode())
        except UnicodeEncodeError:
            raise TensorError(f"element {index} holds half of a surrogate pair, expected Unicode text") from None
    return Tensor(name, "BYTES", shape, join_elements(encoded), tuple(nulls))


def _decoded(item: bytes, index: int) -> str:
    try:
        return item.decode()
    except UnicodeDecodeError as error:
        raise TensorError(f"element {index} is not UTF-8: {error.reason} at its byte {error.start}") from None


def _check_layout(came: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if came not in (shape, (math.prod(shape),)):
        what = f"{came[0]} values" if len(came) == 1 else f"values nested as {list(came)}"
        raise TensorError(f"{what} came, shape {list(shape)} holds {math.prod(shape)}")


def _check_types(datatype: str, values: list[Any], *, nullable: bool) -> tuple[int, ...]:
    """Places of nulls among numbers or booleans. Before numpy sees them: it reads strings as numbers, and true as 1.

    :raises TensorError: naming the first value of another type.
    """
    kinds: dict[str, set[type]] = {"B": {bool}, "F": {int, float}}
    allowed = kinds.get(datatype[0], {int})
    found = set(map(type, values))
    if found == {list}:
        found = set(map(type, chain.from_iterable(values)))
    for row in values if list in found else ():
        found.update(map(type, row) if isinstance(row, list) else ())
    found.discard(list)
    if found <= allowed:
        return ()
    nulls = []
    for index, item in enumerate(flat(values)):
        if item is None and nullable and allowed != {int}:
            nulls.append(index)
        elif type(item) not in allowed:
            raise TensorError(_misfit(datatype, index, item, nullable=nullable))
    return tuple(nulls)


def flat(values: list[Any]) -> list[Any]:
    """The elements of ``values``, which are flat or in rows."""
    return [item for row in values for item in (row if isinstance(row, list) else [row])]


def _misfit(datatype: str, index: int, item: Any, *, nullable: bool) -> str:
    if item is None:
        reason = f"{datatype} has no value for it" if nullable else "this input takes no nulls"
        return f"element {index} is null, and {reason}"
    expected = {"B": "true or false", "F": f"a number ({datatype})"}.get(datatype[0], f"an integer ({datatype})")
    return f"element {index} is {describe(item)}, expected {'a string' if datatype == 'BYTES' else expected}"
