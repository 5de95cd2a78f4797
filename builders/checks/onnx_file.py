"""An ONNX model: no code by design. What is left to refuse: files beside it, operators outside the standard, and nesting.

Read by our own reader of the wire format: the scan's process has no third-party package.
"""

from collections.abc import Callable
from typing import BinaryIO

from builders.checks.limits import Limits
from builders.checks.protobuf import BYTES, VARINT, fields, malformed
from builders.checks.report import Refused
from builders.checks.unpickle import printable

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_DEEPEST = 16  # graphs inside If, Loop and Scan
_OLDEST_IR, _NEWEST_IR = 3, 20
_INSIDE = "Export it as one file: onnx.save(model, 'model.onnx', save_as_external_data=False)."

# Field numbers of onnx.proto3. A field that is not here is refused: nothing else may travel in the file.
_MODEL = {1: "ir_version", 2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version", 6: "doc_string",
          7: "graph", 8: "opset_import", 14: "metadata_props", 20: "training_info", 25: "functions", 26: "configuration"}  # fmt: skip
_GRAPH = {1: "node", 2: "name", 5: "initializer", 10: "doc_string", 11: "input", 12: "output", 13: "value_info",
          14: "quantization_annotation", 15: "sparse_initializer", 16: "metadata_props"}  # fmt: skip
_NODE = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 6: "doc_string", 7: "domain", 8: "overload",
         9: "metadata_props", 10: "device_configurations"}  # fmt: skip
_ATTRIBUTE = {1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 6: "g", 7: "floats", 8: "ints", 9: "strings", 10: "tensors",
              11: "graphs", 13: "doc_string", 14: "tp", 15: "type_protos", 20: "type", 21: "ref_attr_name",
              22: "sparse_tensor", 23: "sparse_tensors"}  # fmt: skip
_TENSOR = {1: "dims", 2: "data_type", 3: "segment", 4: "float_data", 5: "int32_data", 6: "string_data", 7: "int64_data",
           8: "name", 9: "raw_data", 10: "double_data", 11: "uint64_data", 12: "doc_string", 13: "external_data",
           14: "data_location", 16: "metadata_props"}  # fmt: skip


class Reader:
    """Walks one model; ``count`` is the number of messages seen, ``inputs`` those a caller must give."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.count = 0
        self.inputs: set[str] = set()

    def read(self, file: BinaryIO, size: int) -> None:
        """:raises Refused: not an ONNX model, or one that is more than a graph of standard operators."""
        head = file.read(2)
        if len(head) < 2 or head[0] != 0x08 or not _OLDEST_IR <= head[1] <= _NEWEST_IR:
            raise Refused(
                "format-mismatch",
                "The file was declared as onnx, but its first bytes are not those of an ONNX model.",
                "Push the file that onnx.save or skl2onnx wrote, or declare the format that the file has.",
            )
        file.seek(0)
        data = bytearray()
        while len(data) < size and (piece := file.read(size - len(data))):
            data += piece
        seen = self._each(memoryview(data), _MODEL, "the model", {"graph": self._top, "opset_import": self._opset})
        if "graph" not in seen or "opset_import" not in seen:
            raise malformed("It has no graph, or no set of operators")
        for part, why in (("training_info", "how to train it further"), ("functions", "functions of its own")):
            if part in seen:
                raise Refused(
                    "unsafe-construct",
                    f"The model brings {why}, which prediction does not need.",
                    "Export the graph for inference alone; onnx.inliner.inline_local_functions writes functions out.",
                )

    def _each(
        self, data: memoryview, known: dict[int, str], what: str, handlers: dict[str, Callable[[memoryview], None]]
    ) -> set[str]:
        """Hand the known fields of a message to their handlers; the names of those it has."""
        self.count += 1
        if self.count > self.limits.opcodes:
            raise Refused(
                "too-large",
                f"The model has more than {self.limits.opcodes} parts; reading it would take too long.",
                "Make the model smaller, or ask the operator for a higher limit.",
            )
        seen: set[str] = set()
        for number, kind, value in fields(data, what):
            name = known.get(number)
            if name is None:
                raise Refused(
                    "trailing-bytes",
                    f"The file has bytes in {what} that are no part of an ONNX model (field {number}).",
                    "Nothing may follow or hide in the model. Export it again and push that file.",
                )
            seen.add(name)
            if handler := handlers.get(name):
                if kind != BYTES or not isinstance(value, memoryview):
                    raise malformed(f"{name} is not a message")
                handler(value)
        return seen

    def _top(self, graph: memoryview) -> None:
        given: set[str] = set()
        held: set[str] = set()
        for number, kind, value in fields(graph, "the graph"):
            if kind == BYTES and number in (5, 11) and isinstance(value, memoryview):
                (held if number == 5 else given).add(_text(value, 8 if number == 5 else 1))
        self.inputs = given - held
        self._graph(graph, 0)

    def _graph(self, graph: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise Refused(
                "unsafe-construct",
                f"The model nests graphs more than {_DEEPEST} levels deep.",
                "Export a flatter graph.",
            )
        self._each(
            graph,
            _GRAPH,
            "the graph",
            {
                "node": lambda node: self._node(node, depth),
                "initializer": self._tensor,
                "sparse_initializer": self._sparse,
            },
        )

    def _node(self, node: memoryview, depth: int) -> None:
        self._each(
            node,
            _NODE,
            "a node",
            {"domain": self._domain, "attribute": lambda attribute: self._attribute(attribute, depth)},
        )

    def _attribute(self, attribute: memoryview, depth: int) -> None:
        nested = lambda graph: self._graph(graph, depth + 1)  # noqa: E731
        tensors = {
            "t": self._tensor,
            "tensors": self._tensor,
            "sparse_tensor": self._sparse,
            "sparse_tensors": self._sparse,
        }
        self._each(attribute, _ATTRIBUTE, "an attribute", {"g": nested, "graphs": nested, **tensors})

    def _sparse(self, tensor: memoryview) -> None:
        self._each(
            tensor,
            {1: "values", 2: "indices", 3: "dims"},
            "a sparse tensor",
            {"values": self._tensor, "indices": self._tensor},
        )

    def _tensor(self, tensor: memoryview) -> None:
        self.count += 1
        for number, kind, value in fields(tensor, "a tensor"):
            if number not in _TENSOR:
                raise malformed(f"A tensor has the unknown field {number}")
            if number == 13 or (number == 14 and (kind != VARINT or value != 0)):
                raise Refused(
                    "unsafe-construct",
                    f"The tensor {printable(_text(tensor, 8), 80)!r} is kept in another file, which is read by a path of the model's choice.",
                    _INSIDE,
                )

    def _opset(self, opset: memoryview) -> None:
        self._each(opset, {1: "domain", 2: "version"}, "the set of operators", {"domain": self._domain})

    def _domain(self, value: memoryview) -> None:
        domain = bytes(value).decode(errors="replace")
        if domain not in DOMAINS:
            raise Refused(
                "unknown-name",
                f"The model uses operators of the domain {printable(domain, 80)!r}, which is not ONNX's own.",
                "Export it with operators of ai.onnx and ai.onnx.ml only; operators of other libraries are code that the image does not have.",
            )


def _text(message: memoryview, wanted: int) -> str:
    """The text of field ``wanted``, the last one as protocol buffers have it; empty when there is none."""
    found = ""
    for number, kind, value in fields(message, "a value"):
        if number == wanted and kind == BYTES and isinstance(value, memoryview):
            found = bytes(value[:1000]).decode(errors="replace")
    return found
