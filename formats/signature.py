"""Signature of a model: its input and output tensors. Nothing cryptographic.

Layouts: `text` has the one input `text` (BYTES, [-1]); `matrix` the one input `input` (FP64, [-1, n]), for estimators fitted
without feature names; `frame` has one input per column, in the order the estimator was trained with. Dates, for which the
protocol has no datatype, are BYTES with the content type `datetime`: ISO 8601 to the microsecond. A column without a `zone` takes
local times without an offset; one with it takes moments, with any offset, and the model sees them in that zone.
"""

from dataclasses import dataclass
from typing import Any

from . import canonical
from .shapes import Node

LAYOUTS = ("text", "matrix", "frame")
OUTPUTS = ("predict", "predict_proba", "decision_function", "transform")
# Datatypes of the Open Inference Protocol.
DATATYPES = (
    "BOOL",
    "UINT8", "UINT16", "UINT32", "UINT64",
    "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64",
    "BYTES",
)  # fmt: skip

CONTENT_TYPES = ("datetime",)
ZONE = r"[A-Za-z][A-Za-z0-9_+/-]{1,63}|[+-][0-9]{2}:[0-9]{2}"

Label = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Input:
    """One input tensor; ``shape`` starts with the batch axis, -1.

    :param categories: all values the column may take.
    :param content_type: what the BYTES of a column mean, when it is not text: one of `CONTENT_TYPES`.
    :param zone: of dates that are moments, the time zone in which the model sees them: `Europe/Zurich`, `UTC` or `+01:00`.
    :param columns: of a matrix, what its sample calls the columns, in their order.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    nullable: bool = False
    categories: tuple[Label, ...] | None = None
    content_type: str | None = None
    columns: tuple[str, ...] | None = None
    zone: str | None = None

    def to_dict(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "name": self.name,
            "datatype": self.datatype,
            "shape": list(self.shape),
            "nullable": self.nullable,
        }
        if self.categories is not None:
            value["categories"] = list(self.categories)
        if self.content_type is not None:
            value["content_type"] = self.content_type
        if self.zone is not None:
            value["zone"] = self.zone
        if self.columns is not None:
            value["columns"] = list(self.columns)
        return value

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "Input":
        """:raises ShapeError: naming the place below ``path``."""
        optional = ("categories", "content_type", "columns", "zone")
        fields = Node(value, path).fields(("name", "datatype", "shape", "nullable"), optional)
        made = cls(
            name=fields["name"].text(),
            datatype=fields["datatype"].one_of(DATATYPES),
            shape=_shape(fields["shape"]),
            nullable=fields["nullable"].boolean(),
            categories=_labels(fields["categories"]) if "categories" in fields else None,
            content_type=fields["content_type"].one_of(CONTENT_TYPES) if "content_type" in fields else None,
            columns=tuple(item.text() for item in fields["columns"].items()) if "columns" in fields else None,
            zone=fields["zone"].text(ZONE, "a time zone such as Europe/Zurich or +01:00") if "zone" in fields else None,
        )
        if made.content_type is not None and made.datatype != "BYTES":
            raise fields["content_type"].fail(f"only BYTES has a content type, this is {made.datatype}")
        if made.zone is not None and made.content_type != "datetime":
            raise fields["zone"].fail("only dates have a time zone")
        if made.columns is not None and (len(made.columns), len(set(made.columns))) != (made.shape[-1],) * 2:
            raise fields["columns"].expected(f"{made.shape[-1]} different names, as the shape says")
        return made


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor, named after the estimator's method. ``labels``: the classes, in the order of the last axis."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    labels: tuple[Label, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        value: dict[str, Any] = {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
        if self.labels is not None:
            value["labels"] = list(self.labels)
        return value

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "Output":
        """:raises ShapeError: naming the place below ``path``."""
        fields = Node(value, path).fields(("name", "datatype", "shape"), ("labels",))
        return cls(
            name=fields["name"].one_of(OUTPUTS),
            datatype=fields["datatype"].one_of(DATATYPES),
            shape=_shape(fields["shape"]),
            labels=_labels(fields["labels"]) if "labels" in fields else None,
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and what it answers."""

    layout: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    @property
    def digest(self) -> str:
        return canonical.digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {
            "layout": self.layout,
            "inputs": [item.to_dict() for item in self.inputs],
            "outputs": [item.to_dict() for item in self.outputs],
        }

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "Signature":
        """:raises ShapeError: naming the place below ``path``."""
        fields = Node(value, path).fields(("layout", "inputs", "outputs"))
        signature = cls(
            layout=fields["layout"].one_of(LAYOUTS),
            inputs=tuple(Input.from_dict(item.value, item.path) for item in fields["inputs"].items(least=1)),
            outputs=tuple(Output.from_dict(item.value, item.path) for item in fields["outputs"].items(least=1)),
        )
        _check_layout(signature, fields["inputs"])
        _check_distinct([item.name for item in signature.inputs], fields["inputs"])
        _check_distinct([item.name for item in signature.outputs], fields["outputs"])
        return signature


def _check_layout(signature: Signature, inputs: Node) -> None:
    first = signature.inputs[0]
    if signature.layout == "text":
        if len(signature.inputs) != 1 or (first.name, first.datatype, first.shape) != ("text", "BYTES", (-1,)):
            raise inputs.fail("layout text has exactly one input: text, BYTES, [-1]")
    elif signature.layout == "matrix":
        if len(signature.inputs) != 1 or (first.name, first.datatype, len(first.shape)) != ("input", "FP64", 2):
            raise inputs.fail("layout matrix has exactly one input: input, FP64, [-1, n]")
    elif any(item.shape != (-1,) for item in signature.inputs):
        raise inputs.fail("layout frame has one input of shape [-1] per column")


def _check_distinct(names: list[str], node: Node) -> None:
    for name in names:
        if names.count(name) > 1:
            raise node.fail(f"the name {name!r} appears twice")


def _shape(node: Node) -> tuple[int, ...]:
    axes = node.items(least=1, most=2)
    if axes[0].value != -1 or isinstance(axes[0].value, bool):
        raise axes[0].expected("-1, the batch axis")
    return (-1, *(axis.integer(least=1) for axis in axes[1:]))


def _labels(node: Node) -> tuple[Label, ...]:
    return tuple(item.scalar() for item in node.items(least=1))
