"""The part of the inert unpickler that only moves plain values: numbers, text, containers, the memo."""

import re
import struct
from typing import Any, NoReturn

from builders.checks import values
from builders.checks.report import Refused
from builders.checks.stream import SAVE_AGAIN, Source
from builders.checks.values import Made, Table

_INT = re.compile(rb"-?(0|[1-9][0-9]{0,99})")  # random states have 128 bits
_FLOAT = re.compile(rb"-?(inf|nan|[0-9]{1,20}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,3})?)")
_INDEX = re.compile(rb"0|[1-9][0-9]{0,9}")
_LONGEST_INT = 1024  # bytes; random states are 16 to 80
FITTED_COLUMNS = "feature_names_in_"  # scikit-learn's attribute for the names of a DataFrame's columns
_LONGEST_TEXT = 1 << 16  # kept; names are shorter, documents need not be kept


class StackMachine:
    """The stack, the marks and the memo of one pickle stream, and the operations on them, one `do_` method each."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.begin = source.position
        self.protocol = 0
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: list[Any] = []
        self.has_columns = False  # some estimator was fitted on named columns

    def refuse(self, what: str, hint: str = SAVE_AGAIN, *, code: str = "unsafe-construct") -> NoReturn:
        raise Refused(code, f"{what}, at byte {self.source.position}.", hint)

    # values

    def do_proto(self) -> None:
        if self.source.position != self.begin + 1:
            self.refuse("The protocol is declared in mid-stream")
        self.protocol = self.source.read(1)[0]
        if not 2 <= self.protocol <= 5:
            self.refuse(f"Pickle protocol {self.protocol} is not known", code="malformed")

    def do_frame(self) -> None:
        self.source.open_frame(*struct.unpack("<Q", self.source.read(8)))

    def do_none(self) -> None:
        self.stack.append(None)

    def do_newtrue(self) -> None:
        self.stack.append(True)

    def do_newfalse(self) -> None:
        self.stack.append(False)

    def do_int(self) -> None:
        line = self.source.line()
        if line in (b"00", b"01"):
            self.stack.append(line == b"01")
        else:
            self._decimal(line)

    def do_long(self) -> None:
        self._decimal(self.source.line().removesuffix(b"L"))

    def _decimal(self, line: bytes) -> None:
        # Octal, hexadecimal and underscores are read differently by different unpicklers, and picklers write none.
        if not _INT.fullmatch(line):
            self.refuse("A number is not written in plain decimal digits")
        self.stack.append(int(line))

    def do_float(self) -> None:
        line = self.source.line()
        if not _FLOAT.fullmatch(line):
            self.refuse("A number is not written in plain decimal digits")
        self.stack.append(float(line))

    def do_binint(self) -> None:
        self.stack.append(struct.unpack("<i", self.source.read(4))[0])

    def do_binint1(self) -> None:
        self.stack.append(self.source.read(1)[0])

    def do_binint2(self) -> None:
        self.stack.append(struct.unpack("<H", self.source.read(2))[0])

    def do_long1(self) -> None:
        self.stack.append(int.from_bytes(self.source.read(self.source.read(1)[0]), "little", signed=True))

    def do_long4(self) -> None:
        size = struct.unpack("<i", self.source.read(4))[0]
        if not 0 <= size <= _LONGEST_INT:
            self.refuse(f"A whole number claims {size} bytes")
        self.stack.append(int.from_bytes(self.source.read(size), "little", signed=True))

    def do_binfloat(self) -> None:
        self.stack.append(struct.unpack(">d", self.source.read(8))[0])

    def do_unicode(self) -> None:
        self._text(str(self.source.line(), "raw-unicode-escape"))

    def do_short_binunicode(self) -> None:
        self._text(str(self.source.read(self.source.read(1)[0]), "utf-8", "surrogatepass"))

    def do_binunicode(self) -> None:
        self._sized_text("<I")

    def do_binunicode8(self) -> None:
        self._sized_text("<Q")

    def _sized_text(self, layout: str) -> None:
        size = struct.unpack(layout, self.source.read(struct.calcsize(layout)))[0]
        if size > _LONGEST_TEXT:
            self.source.skip(size)
            self.stack.append(values.TEXT)
        else:
            self._text(str(self.source.read(size), "utf-8", "surrogatepass"))

    def _text(self, text: str) -> None:
        self.stack.append(text if len(text) <= _LONGEST_TEXT else values.TEXT)

    def do_short_binbytes(self) -> None:
        self._bytes(self.source.read(1)[0], values.BYTES)

    def do_binbytes(self) -> None:
        self._bytes(struct.unpack("<I", self.source.read(4))[0], values.BYTES)

    def do_binbytes8(self) -> None:
        self._bytes(struct.unpack("<Q", self.source.read(8))[0], values.BYTES)

    def do_bytearray8(self) -> None:
        self._bytes(struct.unpack("<Q", self.source.read(8))[0], values.SKIPPED)

    def _bytes(self, size: int, kind: values.Opaque) -> None:
        self.source.skip(size)
        self.stack.append(kind)

    # containers

    def do_mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _to_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marked.pop()
        return items

    def do_pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._to_mark()

    def do_pop_mark(self) -> None:
        self._to_mark()

    def do_dup(self) -> None:
        self.stack.append(self.stack[-1])

    def do_empty_tuple(self) -> None:
        self.stack.append(())

    def do_tuple(self) -> None:
        items = self._to_mark()
        self.stack.append(values.pack(items))

    def do_tuple1(self) -> None:
        self.stack[-1] = (self.stack[-1],)

    def do_tuple2(self) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def do_tuple3(self) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def do_empty_list(self) -> None:
        self.stack.append(values.LIST)

    def do_list(self) -> None:
        self._to_mark()
        self.stack.append(values.LIST)

    def do_append(self) -> None:
        self.stack.pop()
        self._grow(values.LIST)

    def do_appends(self) -> None:
        self._to_mark()
        self._grow(values.LIST)

    def do_empty_set(self) -> None:
        self.stack.append(values.SET)

    def do_additems(self) -> None:
        self._to_mark()
        self._grow(values.SET)

    def _grow(self, kind: values.Opaque) -> None:
        if self.stack[-1] is not kind:
            self.refuse(f"Items are added to {values.describe(self.stack[-1])}, which is no {kind.kind}")

    def do_frozenset(self) -> None:
        self._to_mark()
        self.stack.append(values.FROZENSET)

    def do_empty_dict(self) -> None:
        self.stack.append(Table())

    def do_dict(self) -> None:
        items = self._to_mark()
        self.stack.append(Table())
        self._put(items)

    def do_setitem(self) -> None:
        value = self.stack.pop()
        self._put([self.stack.pop(), value])

    def do_setitems(self) -> None:
        self._put(self._to_mark())

    def _put(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if len(items) % 2:
            self.refuse("A dict has a key without a value", code="malformed")
        if type(holder) is Table:
            put = holder.put
            for position in range(0, len(items), 2):
                put(items[position], items[position + 1])
            self.has_columns = self.has_columns or FITTED_COLUMNS in holder.entries
        elif type(holder) is Made and not holder.dtype:
            holder.filled = True
        else:
            self.refuse(f"Entries are set in {values.describe(holder)}, which is no dict")

    # memo

    def do_get(self) -> None:
        self.stack.append(self.memo[self._index(self.source.line())])

    def do_binget(self) -> None:
        self.stack.append(self.memo[self.source.read(1)[0]])

    def do_long_binget(self) -> None:
        self.stack.append(self.memo[struct.unpack("<I", self.source.read(4))[0]])

    def do_put(self) -> None:
        self._remember(self._index(self.source.line()))

    def do_binput(self) -> None:
        self._remember(self.source.read(1)[0])

    def do_long_binput(self) -> None:
        self._remember(struct.unpack("<I", self.source.read(4))[0])

    def do_memoize(self) -> None:
        self.memo.append(self.stack[-1])

    def _index(self, line: bytes) -> int:
        if not _INDEX.fullmatch(line):
            self.refuse("A memo index is not written in plain decimal digits")
        return int(line)

    def _remember(self, index: int) -> None:
        # Picklers number from 0. The C unpickler allocates an array up to the largest index, so that one far number is a bomb;
        # and one that is reused can mean another object to a scanner that counts differently.
        if index != len(self.memo):
            self.refuse(f"The memo index {index} is out of sequence")
        self.memo.append(self.stack[-1])
