"""A skops file: a ZIP archive whose `schema.json` is a tree of nodes. Every node is one of a few kinds, every name is listed.

skops trusts by itself whatever scikit-learn, NumPy and SciPy define. Here only names of the allow-list pass, and kinds of
nodes that call a method, an operator or a partial function are refused whatever they name.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NoReturn

from builders.checks import npy
from builders.checks.archive import Archive
from builders.checks.limits import Limits
from builders.checks.report import Refused
from builders.checks.stack import FITTED_COLUMNS
from builders.checks.unpickle import Names, printable
from builders.checks.values import Global

SCHEMA = "schema.json"
PROTOCOL = 2  # of skops 0.11 and newer
_AGAIN = "Save the model again with skops 0.13 or newer: skops.io.dump(model, 'model.skops')."
_ELSE = "Save the model with joblib.dump(model, 'model.joblib') instead and declare the format joblib."
_LARGEST_SCHEMA = 256 << 20
_DEEPEST = 200
_REFUSED_KINDS = {
    "MethodNode": "a bound method, which is called by name",
    "OperatorFuncNode": "an operator that reaches attributes or methods by name",
    "PartialNode": "a partial function",
    "ConstructorFromReduceNode": "a call of a class with arguments of its own",
    "SparseMatrixNode": "a sparse matrix, which is an archive inside the archive",
    "BytesNode": "a file of bytes that nothing here can read",
    "BytearrayNode": "a file of bytes that nothing here can read",
    "QuantileForestNode": "a quantile forest",
}
_SCALARS = {
    *("bool", "bool_", "str_", "bytes_", "datetime64", "timedelta64", "complex64", "complex128", "ndarray"),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64"),
}  # fmt: skip
_BIT_GENERATORS = {"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
# Kinds that make exactly one thing of Python's or NumPy's own.
_FIXED = {
    "JsonNode": {"builtins:str"},
    "ListNode": {"builtins:list"},
    "SetNode": {"builtins:set"},
    "SliceNode": {"builtins:slice"},
    "DefaultDictNode": {"collections:defaultdict"},
    "RandomStateNode": {"numpy.random.mtrand:RandomState"},
    "RandomGeneratorNode": {"numpy.random._generator:Generator"},
    "MaskedArrayNode": {"numpy.ma:MaskedArray", "numpy.ma.core:MaskedArray"},
    "DTypeNode": {"numpy:dtype"},
    "TreeNode": {"sklearn.tree._tree:Tree"},
}


class Reader:
    """Walks the tree of one file; ``count`` is the number of nodes seen."""

    def __init__(self, names: Names, limits: Limits) -> None:
        self.names = names
        self.limits = limits
        self.count = 0
        self.has_columns = False
        self.files: set[str] = set()
        self._depth = 0

    def read(self, file: BinaryIO, size: int) -> None:
        """:raises Refused: anything that skops would not have written, or that no loader should build."""
        archive = Archive(file, size, self.limits)
        if SCHEMA not in archive.members:
            raise Refused("format-mismatch", f"The archive holds no {SCHEMA}, so that it is not a skops file.", _AGAIN)
        schema = self._schema(archive)
        self.node(schema, ())
        arrays = set(archive.members) - {SCHEMA}
        if missing := sorted(self.files - arrays):
            self._refuse(f"The file names {printable(missing[0])}, which the archive does not hold", code="truncated")
        if unused := sorted(arrays - self.files):
            self._refuse(f"The archive holds {unused[0]}, which belongs to no array", code="trailing-bytes")
        for name in sorted(self.files):
            member = archive.members[name]
            npy.check(name, member.size, archive.pieces(member))

    def _schema(self, archive: Archive) -> dict[str, Any]:
        text = archive.read(archive.members[SCHEMA], _LARGEST_SCHEMA)
        try:
            schema = json.loads(str(text, "utf-8"), object_pairs_hook=self._object)
        except (ValueError, RecursionError) as error:
            self._refuse(f"{SCHEMA} cannot be read ({type(error).__name__})", code="malformed")
        if type(schema) is not dict or schema.get("protocol") != PROTOCOL:
            self._refuse(f"{SCHEMA} is not of protocol {PROTOCOL}", code="malformed")
        return schema

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            self._refuse(f"{SCHEMA} says one thing twice, which readers take differently")
        return made

    def node(self, node: Any, way: Sequence[str]) -> None:
        """Judge one node and those below it; ``way`` leads to it, for messages."""
        self.count += 1
        if self.count > self.limits.opcodes:
            raise Refused(
                "too-large",
                f"The file has more than {self.limits.opcodes} nodes; reading it would take too long.",
                "Store large vocabularies and tables as arrays, or ask the operator for a higher limit.",
            )
        if self._depth > _DEEPEST:
            self._refuse(f"The file nests values more than {_DEEPEST} levels deep", code="malformed")
        if type(node) is not dict or any(
            type(node.get(key)) is not str for key in ("__class__", "__module__", "__loader__")
        ):
            self._refuse("The file has a node without class, module and kind", code="malformed")
        kind = node["__loader__"]
        if why := _REFUSED_KINDS.get(kind):
            self._refuse(f"The file holds {why} ({kind}){_at(way)}", hint=_ELSE)
        handler = _HANDLERS.get(kind)
        if handler is None:
            self._refuse(f"The file has a node of the kind {printable(kind, 60)}, which is not known{_at(way)}")
        found = Global(node["__module__"], node["__class__"])
        if kind in _FIXED and found.label not in _FIXED[kind]:
            self._refuse(f"A {kind} makes {printable(found.label)}, which skops never writes{_at(way)}")
        self._depth += 1
        handler(self, node, found, (*way, found.name) if kind in ("ObjectNode", "TreeNode", "LossNode") else tuple(way))
        self._depth -= 1

    # the kinds

    def plain(self, node: dict[str, Any], _found: Global, _way: Sequence[str]) -> None:
        if type(node.get("content")) is not str:
            self._refuse("A plain value is not text", code="malformed")

    def slice(self, node: dict[str, Any], _found: Global, _way: Sequence[str]) -> None:
        content = node.get("content")
        if type(content) is not dict or any(type(value) not in (int, type(None)) for value in content.values()):
            self._refuse("A slice has bounds that are not whole numbers", code="malformed")

    def reference(self, _node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        """A class or a function held as a value."""
        self._name(found, way)

    def instance(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        """Restored by ``__new__`` and its state."""
        allowed = self.names.allowed
        known = self._name(found, way)
        # Trees of neighbours are restored through a function of their module; what it may be handed may be restored here.
        if known and not (allowed.may_be_new(found.label) or allowed.may_take(f"{found.module}:newObj", found.label)):
            self._refuse(f"The file makes an instance of {found.dotted}, which may only be referred to{_at(way)}")
        if node.get("content") is not None:
            self.node(node["content"], way)

    def made(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        """Made by calling the class with plain values."""
        allowed = self.names.allowed
        # Compiled classes are pickled through a function of their module; what it may be handed may be made here.
        restored = allowed.may_take(f"{found.module}:__pyx_unpickle_{found.name}", found.label)
        if self._name(found, way) and not (allowed.may_be_called(found.label) or restored):
            self._refuse(f"The file calls {found.dotted}, which may only be restored or referred to{_at(way)}")
        reduced = node.get("__reduce__")
        self.node(reduced.get("args") if type(reduced) is dict else None, way)
        self.node(node.get("content"), way)

    def dictionary(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        if found.label != "builtins:dict" and self._name(found, way) and not self.names.allowed.may_be_new(found.label):
            self._refuse(f"The file fills {found.dotted} as a dict, which it is not{_at(way)}")
        content = node.get("content")
        if type(content) is not dict:
            self._refuse("A dict has no entries", code="malformed")
        for key, value in content.items():
            if key[:2] == "__" and key[-2:] == "__":
                self._refuse(f"The file sets the attribute {printable(key, 60)}{_at(way)}")
            self.has_columns = self.has_columns or key == FITTED_COLUMNS
            self.node(value, (*way, key))
        self.node(node.get("key_types"), way)

    def sequence(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        named = node["__loader__"] == "TupleNode" and found.label != "builtins:tuple"
        if named and self._name(found, way) and not self.names.allowed.may_be_called(found.label):
            self._refuse(f"The file calls {found.dotted} as a tuple, which it is not{_at(way)}")
        content = node.get("content")
        if type(content) is not list:
            self._refuse("A list has no items", code="malformed")
        label = ""
        for position, item in enumerate(content):
            # The steps of a pipeline are a list of pairs, a name and an estimator: the name leads to what follows it.
            if node["__loader__"] == "ListNode":
                self.node(item, (*way[:-1], f"{way[-1]}[{position}]") if way else way)
            else:
                self.node(item, (*way[:-1], f"{way[-1]} '{label}'") if label and way else way)
                label = _text(item) if node["__loader__"] == "TupleNode" else ""

    def array(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        if found.module != "numpy" or found.name not in _SCALARS:
            self._refuse(
                f"An array is made into {printable(found.label)}, which is not a type of NumPy's numbers{_at(way)}"
            )
        if node.get("type") == "numpy" and type(node.get("file")) is str:
            self.files.add(node["file"])
        elif node.get("type") == "json":
            content = node.get("content")
            if type(content) is not list:
                self._refuse("An array of objects has no items", code="malformed")
            for item in content:
                self.node(item, way)
            self.node(node.get("shape"), way)
        else:
            self._refuse("An array is stored in a way that is not known")

    def parts(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        """A fixed class with a node, or a dict of nodes, for its content."""
        self.names.met.add(found.label)
        content = node.get("content")
        if type(content) is dict and "__loader__" in content:
            self.node(content, way)
            return
        if type(content) is not dict:
            self._refuse("A value has no content", code="malformed")
        for part in content.values():
            self.node(part, way)

    def generator(self, node: dict[str, Any], found: Global, way: Sequence[str]) -> None:
        try:
            name = json.loads(node["content"]["bit_generator"]["content"]["bit_generator"]["content"])
        except (KeyError, TypeError, ValueError, RecursionError):
            name = None
        if type(name) is not str or name not in _BIT_GENERATORS:
            self._refuse("A random generator names another class than NumPy's bit generators")
        self.parts(node, found, way)

    def _name(self, found: Global, way: Sequence[str]) -> bool:
        """Note a name that the loader will import; whether it is on the list."""
        self.names.met.add(found.label)
        if self.names.allowed.knows(found.label):
            return True
        self.names.unlisted.setdefault(found.label, (found, _path(way)))
        return False

    def _refuse(self, what: str, *, hint: str = _AGAIN, code: str = "unsafe-construct") -> NoReturn:
        raise Refused(code, what + ".", hint)


def _text(node: Any) -> str:
    content = node.get("content") if type(node) is dict else None
    return content.strip('"') if type(content) is str else ""


def _path(way: Sequence[str]) -> str:
    return " > ".join(printable(part, 60) for part in way[:12])


def _at(way: Sequence[str]) -> str:
    return f" at {_path(way)}" if way else ""


_Handler = Callable[[Reader, dict[str, Any], Global, Sequence[str]], None]
_HANDLERS: dict[str, _Handler] = {
    "JsonNode": Reader.plain,
    "SliceNode": Reader.slice,
    "TypeNode": Reader.reference,
    "FunctionNode": Reader.reference,
    "ObjectNode": Reader.instance,
    "TreeNode": Reader.made,
    "LossNode": Reader.made,
    "DictNode": Reader.dictionary,
    "ListNode": Reader.sequence,
    "TupleNode": Reader.sequence,
    "SetNode": Reader.sequence,
    "NdArrayNode": Reader.array,
    "DefaultDictNode": Reader.parts,
    "RandomStateNode": Reader.parts,
    "RandomGeneratorNode": Reader.generator,
    "MaskedArrayNode": Reader.parts,
    "DTypeNode": Reader.parts,
}
