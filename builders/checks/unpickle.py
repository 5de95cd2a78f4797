"""The inert unpickler: runs the opcodes of a pickle over records instead of objects. It imports nothing and calls nothing.

Written from the opcodes' semantics instead of inheriting `pickle._Unpickler`, whose methods import and call: an opcode that
is not in the table below is refused, also when a later Python knows it. Where the C and the Python unpickler differ, or where
no pickler writes a construct, it is refused: what passes means the same to every loader.
"""

import pickle
import struct
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from typing import Any, NoReturn

from builders.checks import arrays, calls, values
from builders.checks.names import AllowList
from builders.checks.report import Refused
from builders.checks.stack import StackMachine
from builders.checks.stream import Source
from builders.checks.values import ArrayHeader, Global, Made, Table

ARRAY_HEADER = "joblib.numpy_pickle:NumpyArrayWrapper"
_MOST_NAMES = 2000  # the largest pipelines have some hundred
_OLD_HEADERS = {
    f"joblib.{module}:{name}"
    for module in ("numpy_pickle", "numpy_pickle_compat")
    for name in ("NDArrayWrapper", "ZNDArrayWrapper")
}


class Names:
    """The names one file imports.

    ``met`` holds labels, for a file of protocol 0 to 2 also as the file spells them (`__builtin__:set`), because that is what
    a loader's `find_class` is asked for. ``unlisted``: label -> the name and the way to where it was met.
    """

    def __init__(self, allowed: AllowList) -> None:
        self.allowed = allowed
        self.met: set[str] = set()
        self.unlisted: dict[str, tuple[Global, str]] = {}


class Machine(StackMachine):
    """Runs one pickle stream. A joblib file's arrays of objects are streams of their own, run by a machine of their own."""

    def __init__(
        self,
        source: Source,
        names: Names,
        *,
        arrays_inside: bool,
        opcodes: int,
        outer: "Machine | None" = None,
    ) -> None:
        """Prepare to read from ``source``.

        :param arrays_inside: joblib mode, where array headers are followed by raw arrays.
        :param opcodes: how many may be run, nested streams included.
        :param outer: the machine whose array this stream is.
        """
        super().__init__(source)
        self.names = names
        self.arrays_inside = arrays_inside
        self.limit = opcodes
        self.outer = outer
        self.count = 0

    def run(self) -> None:
        """Run to STOP; ``count`` is then the number of opcodes, nested ones included.

        :raises Refused: anything a pickler would not have written, or that no loader should run.
        """
        read, table = self.source.read, _TABLE
        try:
            while (code := read(1)[0]) != _STOP:
                self.count += 1
                if self.count > self.limit:
                    self._too_many()
                operation = table.get(code)
                if operation is None:
                    self.refuse(f"The byte {code:#04x} is not a pickle operation", code="malformed")
                operation(self)
        except (IndexError, struct.error, UnicodeError) as error:
            self.refuse(f"The pickle does not fit together ({type(error).__name__})", code="malformed")
        if len(self.stack) != 1 or self.marked:
            self.refuse("The pickle ends with values left over")
        if not self.source.at_frame_end():
            self.refuse("Bytes follow the end of the pickle inside its frame", code="trailing-bytes")

    def _too_many(self) -> NoReturn:
        raise Refused(
            "too-large",
            f"The file has more than {self.limit} pickle operations; reading it would take too long.",
            "Store large vocabularies and tables as arrays, drop what prediction does not need, or ask the operator for a higher limit.",
        )

    def do_global(self) -> None:
        self._import(str(self.source.line(), "utf-8"), str(self.source.line(), "utf-8"))

    def do_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            self.refuse("A name is imported that is not plain text")
        self._import(module, name)

    def _import(self, module: str, name: str) -> None:
        spelled = f"{module}:{name}"
        # joblib reads an array of objects with the outer unpickler's rule for names.
        if (self.outer or self).protocol < 3:
            if (module, name) in NAME_MAPPING:
                module, name = NAME_MAPPING[(module, name)]
            else:
                module = IMPORT_MAPPING.get(module, module)
        found = Global(module, name)
        if found.label == ARRAY_HEADER:
            self._import_array_header(found)
        elif found.label in _OLD_HEADERS:
            self.refuse(
                "The file was saved by joblib before 0.10, which keeps arrays in further files",
                "Load it where it was made and save it again with joblib 1.2 or newer.",
            )
        elif not self.names.allowed.knows(found.label) and found.label not in self.names.unlisted:
            self.names.unlisted[found.label] = (found, self._where())
        self.names.met |= {found.label, spelled}
        if len(self.names.met) > _MOST_NAMES:
            self.refuse(f"The file imports more than {_MOST_NAMES} names", code="too-large")
        self.stack.append(found)

    def _import_array_header(self, found: Global) -> None:
        if not self.arrays_inside:
            self.refuse(
                f"The file holds {found.dotted}, so it was written by joblib",
                "Declare the format joblib: the declared format decides which loader is ever used.",
                code="format-mismatch" if self.outer is None else "unsafe-construct",
            )

    def do_newobj(self) -> None:
        args = self.stack.pop()
        cls = self.stack.pop()
        if type(cls) is Global and cls.label == ARRAY_HEADER and args == ():
            self.stack.append(ArrayHeader())
        else:
            self.stack.append(calls.restore(self.names.allowed, cls, args))

    def do_newobj_ex(self) -> None:
        kwargs, args = self.stack.pop(), self.stack.pop()
        if type(kwargs) is not Table:
            self.refuse("Keyword arguments are not a dict")
        self.stack.append(calls.call(self.names.allowed, self.stack.pop(), args, kwargs))

    def do_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = calls.call(self.names.allowed, self.stack[-1], args)

    def do_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is ArrayHeader:
            self._array(target, state)
        elif type(target) is Made:
            calls.check_state(target, state)
        else:
            self.refuse(f"State is set on {values.describe(target)}, which is not an instance")

    def _array(self, header: ArrayHeader, state: Any) -> None:
        if header.used or type(state) is not Table:
            self.refuse("An array header is used twice, or without its fields")
        header.used = True
        size = arrays.raw_size(state)
        if not self.source.at_frame_end():
            self.refuse("An array lies in the middle of a pickle frame")
        if size is None:
            budget = self.limit - self.count
            inner = Machine(self.source, self.names, arrays_inside=False, opcodes=budget, outer=self)
            try:
                inner.run()
            finally:
                self.count += inner.count
        else:
            arrays.check_padding(self.source.read(1)[0], self.source.read)
            self.source.skip(size)
        self.stack[-1] = values.ARRAY

    def _where(self) -> str:
        """The way from the model to what is being read, as `Pipeline > steps[1] 'clean' > FunctionTransformer > func`."""
        machine = self.outer
        levels = [*machine.marked, machine.stack] if machine else []
        levels += [*self.marked, self.stack]
        way: list[str] = []
        filled = False  # the level before ends with a list, whose items this one holds
        for level in levels:
            tail = level[-5:]
            filling = bool(tail) and tail[-1] is values.LIST
            if tail and type(tail[-1]) in (Table, values.Opaque, tuple):
                tail.pop()  # the state or container being filled; what owns it lies below
            made = tail.pop() if tail and type(tail[-1]) is Made else None
            label = tail.pop() if tail and type(tail[-1]) is str else None
            if label is not None and filled and way:
                way[-1] += (
                    f"[{len(level[:-5]) + len(tail)}] '{printable(label, 60)}'"  # a named step, a pair that is not closed yet
                )
            elif label is not None and len(tail) > 1 and tail[-1] is values.LIST and type(tail[-2]) is str:
                way.append(
                    f"{printable(tail[-2], 60)}[0] '{printable(label, 60)}'"
                )  # a list of one is filled without a mark
            elif label is not None:
                way.append(printable(label, 60))
            if made is not None:
                way.append(printable(made.made_by.name, 60))
            filled = filling
        return " > ".join(way[:12])

    # refused whatever they would do

    def _refused(self, what: str) -> NoReturn:
        self.refuse(f"The pickle {what}, which no model needs")

    def do_inst(self) -> None:
        self.do_global()
        self._refused("makes instances the way Python 2 did (INST)")

    def do_obj(self) -> None:
        self._refused("makes instances the way Python 2 did (OBJ)")

    def do_ext1(self) -> None:
        self._refused("uses extension codes, which hide a name")

    def do_persid(self) -> None:
        self._refused("refers to objects outside of the file (persistent ids)")

    def do_next_buffer(self) -> None:
        self._refused("refers to buffers outside of the file")

    def do_string(self) -> None:
        self._refused("holds text as Python 2 wrote it")

    do_ext2 = do_ext4 = do_ext1
    do_binpersid = do_persid
    do_readonly_buffer = do_next_buffer
    do_binstring = do_short_binstring = do_string


def printable(text: str, longest: int = 200) -> str:
    """``text`` without control characters and not too long: names come from the file and go into pages and terminals."""
    clean = text.encode("unicode_escape", "surrogatepass").decode() if not text.isprintable() else text
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


_STOP = pickle.STOP[0]
# A method `do_newobj` runs the opcode `pickle.NEWOBJ`. What has no method is refused.
_TABLE: dict[int, Callable[[Machine], None]] = {
    getattr(pickle, name.removeprefix("do_").upper())[0]: getattr(Machine, name)
    for name in dir(Machine)
    if name.startswith("do_")
}
