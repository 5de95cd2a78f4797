"""NumPy inside a pickle: how many raw bytes an array has, and dtypes that would make NumPy misread memory.

joblib writes an array as a header object, one byte of padding length, the padding, and then the raw bytes *inside* the pickle
stream; an array of objects is a whole pickle in the same place. Reading on at the right byte needs the exact size.
"""

import re
from collections.abc import Callable
from typing import Any

from builders.checks.report import Refused
from builders.checks.stream import SAVE_AGAIN
from builders.checks.values import Dtype, Global, Made, Table, is_bytes

_FIXED = {
    f"{kind}{size}": size
    for kind, sizes in (
        ("b", (1,)),
        ("i", (1, 2, 4, 8)),
        ("u", (1, 2, 4, 8)),
        ("f", (2, 4, 8, 12, 16)),
        ("c", (8, 16, 24, 32)),
    )
    for size in sizes
} | {"M8": 8, "m8": 8}
_SIZED = re.compile(r"([SUV])(0|[1-9][0-9]{0,8})")
_ALIGNMENTS = (1, 2, 4, 8, 16)
_PER_CHARACTER = {"S": 1, "U": 4, "V": 1}

# Flags of a dtype, from NumPy's ndarraytypes.h. Only an object dtype may say that its bytes are pointers.
_OBJECT_FLAGS = 0x3F
_HARMLESS_FLAGS = 0x08 | 0x10 | 0x80  # needs initialisation, needs the Python API, aligned struct

_HEADER_KEYS = {"subclass", "shape", "order", "dtype", "allow_mmap", "numpy_array_alignment_bytes"}
_SUBCLASSES = {"numpy:ndarray", "numpy:matrix", "numpy:memmap"}
_ALIGNMENT = 16


def make_dtype(args: Any) -> Dtype:
    """The dtype that `numpy.dtype(*args)` would be, for the arguments that dtypes are pickled with.

    :raises Refused: any other arguments. Without the copy flag the state that follows would change NumPy's own dtype.
    """
    if type(args) is tuple and len(args) == 3 and type(args[0]) is str and not args[1] and args[2] in (1, True):
        text = args[0]
        if text == "O8":
            return Dtype(text, 8, objects=True)
        if text in _FIXED:
            return Dtype(text, _FIXED[text])
        if sized := _SIZED.fullmatch(text):
            return Dtype(text, int(sized[2]) * _PER_CHARACTER[sized[1]])
    raise _refuse("A NumPy dtype is described in a way that NumPy's own pickles never use")


def check_dtype_state(dtype: Dtype, state: Any) -> None:
    """Refuse a state that gives the dtype another size, pointers, or fields outside of its bytes."""
    dated = dtype.text in ("M8", "m8")
    if type(state) is not tuple or (len(state), state[0]) != ((9, 4) if dated else (8, 3)):
        raise _refuse(f"The dtype {dtype.text} has a state that NumPy never writes")
    if dated and not _is_unit(state[8]):
        raise _refuse(f"The dtype {dtype.text} has a unit of time that NumPy never writes")
    _, order, subarray, names, fields, size, alignment, flags = state[:8]
    if any(type(number) is not int for number in (size, alignment, flags)) or order not in ("<", ">", "|", "="):
        raise _refuse(f"The dtype {dtype.text} has a state that NumPy never writes")
    # NumPy takes both numbers as they are for text and structures, -1 included: joblib would then read no bytes at all.
    sized = dtype.text[0] in _PER_CHARACTER
    if size != (dtype.size if sized else -1) or not (alignment in _ALIGNMENTS if sized else alignment == -1):
        raise _refuse(
            f"The dtype {dtype.text} has {dtype.size} bytes, but its state says {size}, aligned to {alignment}"
        )
    pointers = flags == _OBJECT_FLAGS if dtype.objects else not flags & ~_HARMLESS_FLAGS
    if not pointers:
        raise _refuse(f"The dtype {dtype.text} has the flags {flags:#x}, which would make NumPy read bytes as objects")
    if subarray is not None:
        _check_subarray(dtype, subarray)
    if names is not None or fields is not None:
        _check_fields(dtype, names, fields)


def raw_size(header: Table) -> int | None:
    """Bytes of the array that follows a joblib array header; None when a whole pickle of objects follows.

    :raises Refused: not exactly the header joblib 1.2 and newer writes.
    """
    entries = header.entries
    if not header.whole or entries.keys() != _HEADER_KEYS:
        if "numpy_array_alignment_bytes" not in entries:
            raise _refuse(
                "An array is stored as joblib before 1.2 did it",
                "Load the model where it was made and save it again with joblib 1.2 or newer.",
            )
        raise _refuse("An array header has fields that joblib never writes")
    subclass, shape, dtype = entries["subclass"], entries["shape"], entries["dtype"]
    if type(subclass) is not Global or subclass.label not in _SUBCLASSES:
        raise _refuse("An array header names another class than NumPy's arrays")
    if type(dtype) is not Made or dtype.dtype is None or entries["order"] not in ("C", "F"):
        raise _refuse("An array header has a dtype or order that joblib never writes")
    if type(entries["allow_mmap"]) is not bool or entries["numpy_array_alignment_bytes"] != _ALIGNMENT:
        raise _refuse("An array header has an alignment that joblib never writes")
    if type(shape) is not tuple or any(type(axis) is not int or not 0 <= axis < 1 << 48 for axis in shape):
        raise _refuse("An array header has a shape that is not a tuple of sizes")
    if dtype.dtype.objects:
        return None
    size = dtype.dtype.size
    if not size:
        raise _refuse("An array header has elements of no bytes")
    for axis in shape:
        size *= axis
    return size


def check_padding(length: int, read: Callable[[int], bytes]) -> None:
    """Read the padding before an array, and refuse one that joblib never writes.

    A length of 1 to 16 begins no pickle opcode, so a loader that does not know joblib's arrays stops here instead of running
    the array's bytes as a program.
    """
    if not 1 <= length <= _ALIGNMENT or read(length).strip(b"\xff"):
        raise _refuse("The padding before an array is not as joblib writes it")


def _is_unit(value: Any) -> bool:
    """Whether this is `(None, (unit, number, 1, 1))`; without it NumPy reads through a null pointer."""
    if type(value) is not tuple or len(value) != 2 or value[0] is not None:
        return False
    unit = value[1]
    numbers = (
        type(unit) is tuple and len(unit) == 4 and is_bytes(unit[0]) and all(type(item) is int for item in unit[1:])
    )
    return numbers and 1 <= unit[1] < 1 << 31 and unit[2:] == (1, 1)


def _check_subarray(dtype: Dtype, subarray: Any) -> None:
    if dtype.text[0] == "V" and type(subarray) is tuple and len(subarray) == 2:
        base, shape = subarray
        if type(base) is Made and base.dtype and not base.dtype.objects and type(shape) is tuple:
            size = base.dtype.size
            for axis in shape:
                if type(axis) is not int or not 0 < axis < 1 << 48:
                    break
                size *= axis
            else:
                if size == dtype.size:
                    return
    raise _refuse(f"The dtype {dtype.text} has a sub-array that does not fit into it")


def _check_fields(dtype: Dtype, names: Any, fields: Any) -> None:
    if (
        dtype.text[0] != "V"
        or type(names) is not tuple
        or type(fields) is not Table
        or not fields.whole
        or set(names) != fields.entries.keys()
        or len(names) != len(fields.entries)
    ):
        raise _refuse(f"The structured dtype {dtype.text} has names and fields that do not match")
    for field in fields.entries.values():
        if type(field) is not tuple or len(field) != 2 or type(field[0]) is not Made or type(field[1]) is not int:
            raise _refuse(f"The structured dtype {dtype.text} has a field that NumPy never writes")
        inner, offset = field[0].dtype, field[1]
        if inner is None or inner.objects or offset < 0 or offset + inner.size > dtype.size:
            raise _refuse(f"The structured dtype {dtype.text} has a field of objects, or one outside of its bytes")


def _refuse(message: str, hint: str = SAVE_AGAIN) -> Refused:
    return Refused("unsafe-construct", message + ".", hint)
