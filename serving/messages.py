"""Messages of the Open Inference Protocol, apart from how they travel, and what a signature makes of a request."""

import asyncio
import base64
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from formats.signature import Input, Signature
from serving.errors import BadRequest
from serving.predictor import Batch
from serving.tensors import (
    DTYPES,
    Buffer,
    Tensor,
    TensorError,
    convert,
    dates,
    describe,
    elements_of,
    flat,
    from_array,
    from_raw,
    from_values,
    read_text,
)

LONGEST_NAME = 200  # a name for which the nearest is looked for: that takes longer than reading it
LARGE = 256 * 1024  # bytes; what is larger leaves the event loop while it is read or written

# How MLServer's clients say what is inside a tensor. `np`, `pd` and `str` are what a signature says anyway.
CONTENT_TYPES = ("np", "pd", "str", "base64", "datetime")


@dataclass(slots=True)  # as a Tensor
class GivenInput:
    """An input as it came: either ``values`` (JSON or typed contents) or ``raw`` (binary), not checked against anything.

    :param datatype: empty when the form has none: the signature's then holds.
    :param content_type: what the sender says of the values, see `CONTENT_TYPES`; `csv` for text that a table file holds.
    :param plain: no value is true or false.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | None = None
    raw: Buffer | None = None
    content_type: str | None = None
    plain: bool = False


@dataclass(slots=True)
class InferRequest:
    """One inference request. ``outputs`` empty means all the model has.

    :param form: `tensors` as the protocol has them; `frame`, one input per column; `array`, one input without a name.
    """

    inputs: Sequence[GivenInput]
    outputs: tuple[str, ...] = ()
    id: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    form: Literal["tensors", "frame", "array"] = "tensors"

    async def bind(self, signature: Signature) -> Batch:
        """See `bind` below. Large binary tensors are checked in a thread: numpy lets the event loop go on."""
        if sum([len(item.raw) for item in self.inputs if item.raw is not None]) > LARGE:
            return await asyncio.to_thread(bind, signature, self)
        return bind(signature, self)


class Request(Protocol):
    """A request that was read, here or in the helper."""

    @property
    def id(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]: ...

    async def bind(self, signature: Signature) -> Batch:
        """See `bind` below."""


@dataclass(slots=True)
class InferResponse:
    """The answer, and which version gave it."""

    route: str
    version: str
    release_digest: str
    id: str
    outputs: Sequence[Tensor]


def bind(signature: Signature, request: InferRequest) -> Batch:
    """Check ``request`` against ``signature`` and bring its inputs into the signature's order and datatypes.

    :raises BadRequest: naming the input, what came, and what is expected.
    """
    tensors = _bind_inputs(signature, request)
    rows = tensors[0].shape[0]
    for tensor in tensors[1:]:
        if tensor.shape[0] != rows:
            raise BadRequest(
                f'input "{tensor.name}": {tensor.shape[0]} rows came, but input "{tensors[0].name}" has {rows}; '
                "expected the same number in every input"
            )
    return Batch(tensors, _bind_outputs(signature, request.outputs))


def _bind_inputs(signature: Signature, request: InferRequest) -> tuple[Tensor, ...]:
    first = signature.inputs[0]
    if request.form == "array":
        if len(signature.inputs) > 1:
            known = [item.name for item in signature.inputs]
            raise BadRequest(f"rows without names came; this model takes the columns {_list(known)}")
        return (_bind_input(first, replace(request.inputs[0], name=first.name)),)
    if request.form == "frame" and signature.layout == "matrix":
        return (_bind_matrix(first, request.inputs),)
    given = _in_order([item.name for item in signature.inputs], request.inputs)
    return tuple([_bind_input(expected, item) for expected, item in zip(signature.inputs, given, strict=True)])


def _in_order(known: list[str], inputs: Sequence[GivenInput]) -> Sequence[GivenInput]:
    """The inputs in the order of ``known``, each once."""
    if [item.name for item in inputs] == known:
        return inputs
    given: dict[str, GivenInput] = {}
    for item in inputs:
        if item.name in given:
            raise BadRequest(f'input "{item.name}" came twice')
        if item.name not in known:
            raise BadRequest(f'no input "{item.name}"{_nearest(item.name, known)}; expected {_list(known)}')
        given[item.name] = item
    missing = [name for name in known if name not in given]
    if missing:
        raise BadRequest(f"missing {_list(missing)}; this model takes {_list(known)}")
    return [given[name] for name in known]


def _bind_matrix(expected: Input, columns: Sequence[GivenInput]) -> Tensor:
    """A matrix from columns, by the names that its sample has for them."""
    if expected.columns is None:
        raise BadRequest(f'named columns came; this model takes one matrix, "{expected.name}", without names')
    bound = [
        _bind_input(Input(item.name, expected.datatype, (-1,), expected.nullable), item)
        for item in _in_order(list(expected.columns), columns)
    ]
    rows = bound[0].shape[0]
    if any(tensor.shape[0] != rows for tensor in bound):
        raise BadRequest("the columns have different numbers of rows, expected the same in each")
    matrix = np.stack([np.frombuffer(tensor.data, DTYPES[tensor.datatype]) for tensor in bound], axis=1)
    return from_array(expected.name, expected.datatype, matrix)


def _bind_input(expected: Input, given: GivenInput) -> Tensor:
    datatype = given.datatype or expected.datatype
    if datatype != "BYTES" and datatype not in DTYPES:
        known = ", ".join([*DTYPES, "BYTES"])
        raise BadRequest(f'input "{expected.name}": datatype "{datatype}" is unknown; the protocol has {known}')
    shape = given.shape
    if shape[1:] == (1,) and len(expected.shape) == 1:
        shape = shape[:1]  # a column may come as [n, 1]
    if shape[1:] != expected.shape[1:] or not shape or shape[0] < 0:
        raise BadRequest(
            f'input "{expected.name}": shape {list(given.shape)} came, expected {list(expected.shape)} (-1: any number of rows)'
        )
    if shape[0] == 0:
        raise BadRequest(f'input "{expected.name}": 0 rows came, expected at least 1')
    try:
        tensor = _encode(expected, given, datatype, shape)
        if datatype != expected.datatype:
            tensor = convert(tensor, expected.datatype)
        if expected.content_type == "datetime":
            tensor = dates(tensor, expected.zone)
        elif given.content_type == "datetime":
            raise TensorError(f"dates came, expected {expected.datatype}")
    except TensorError as error:
        raise BadRequest(f'input "{expected.name}": {error}') from None
    return tensor


def _encode(expected: Input, given: GivenInput, datatype: str, shape: tuple[int, ...]) -> Tensor:
    """:raises TensorError: what came is not of ``datatype``, or that is not of the signature's kind."""
    values = given.values or []
    if datatype != expected.datatype:  # a wrong one is told before the values are judged by it
        convert(Tensor(expected.name, datatype, (0,), b""), expected.datatype)
        # Integers of which some are missing, where the model takes floats.
        if expected.nullable and None in (found := flat(values)):
            from_values(expected.name, datatype, (len(found),), [0 if item is None else item for item in found])
            datatype = expected.datatype
    if given.content_type == "base64" and datatype == "BYTES":
        values = _from_base64(given)
    elif given.raw is not None:
        return from_raw(expected.name, datatype, shape, given.raw, nullable=expected.nullable)
    if given.content_type == "csv":
        values = read_text(expected.datatype, values, nullable=expected.nullable)
    if len(shape) < len(given.shape):
        values = _flat_column(values)
    return from_values(expected.name, datatype, shape, values, nullable=expected.nullable, plain=given.plain)


def _from_base64(given: GivenInput) -> list[Any]:
    elements = given.values if given.raw is None else [bytes(item) for item in elements_of(given.raw)]
    decoded = []
    for index, item in enumerate(elements or ()):
        try:
            decoded.append(None if item is None else base64.b64decode(item, validate=True))
        except (ValueError, TypeError):
            raise TensorError(f"element {index} is {describe(item)}, expected base64 text") from None
    return decoded


def _flat_column(values: Any) -> Any:
    """The values of a column that came as [n, 1], nested as that says."""
    if values and all(isinstance(row, list) and len(row) == 1 for row in values):
        return [row[0] for row in values]
    return values


def _bind_outputs(signature: Signature, wanted: tuple[str, ...]) -> tuple[str, ...]:
    known = [item.name for item in signature.outputs]
    for name in wanted:
        if name not in known:
            raise BadRequest(f'no output "{name}"{_nearest(name, known)}; this model has {_list(known)}')
        if wanted.count(name) > 1:
            raise BadRequest(f'output "{name}" is requested twice')
    return wanted or tuple(known)


def _nearest(name: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1) if len(name) <= LONGEST_NAME else []
    return f' (did you mean "{found[0]}"?)' if found else ""


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
