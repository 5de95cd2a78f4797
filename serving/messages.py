"""Messages of the Open Inference Protocol, apart from how they travel, and what a signature makes of a request."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from formats.signature import Input, Signature
from serving.errors import BadRequest
from serving.predictor import Batch
from serving.tensors import DTYPES, Buffer, Tensor, TensorError, convert, first_nan, from_raw, from_values


@dataclass(frozen=True, slots=True)
class GivenInput:
    """An input as it came: either ``values`` (JSON or typed contents) or ``raw`` (binary), not checked against anything."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | None = None
    raw: Buffer | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference request. ``outputs`` empty means all the model has."""

    inputs: Sequence[GivenInput]
    outputs: tuple[str, ...] = ()
    id: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
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
    known = [item.name for item in signature.inputs]
    given: dict[str, GivenInput] = {}
    for item in request.inputs:
        if item.name in given:
            raise BadRequest(f'input "{item.name}" came twice')
        if item.name not in known:
            raise BadRequest(f'no input "{item.name}"{_nearest(item.name, known)}; expected {_list(known)}')
        given[item.name] = item
    missing = [name for name in known if name not in given]
    if missing:
        raise BadRequest(f"missing {_list(missing)}; this model takes {_list(known)}")
    tensors = tuple(_bind_input(item, given[item.name]) for item in signature.inputs)
    rows = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape[0] != rows:
            raise BadRequest(
                f'input "{tensor.name}": {tensor.shape[0]} rows came, but input "{tensors[0].name}" has {rows}; '
                "expected the same number in every input"
            )
    return Batch(tensors, _bind_outputs(signature, request.outputs))


def _bind_input(expected: Input, given: GivenInput) -> Tensor:
    if given.datatype != "BYTES" and given.datatype not in DTYPES:
        known = ", ".join([*DTYPES, "BYTES"])
        raise BadRequest(f'input "{expected.name}": datatype "{given.datatype}" is unknown; the protocol has {known}')
    shape = given.shape
    if len(shape) == len(expected.shape) + 1 == 2 and shape[1] == 1:
        shape = shape[:1]  # a column may come as [n, 1]
    if len(shape) != len(expected.shape) or shape[1:] != expected.shape[1:] or shape[0] < 0:
        raise BadRequest(
            f'input "{expected.name}": shape {list(given.shape)} came, expected {list(expected.shape)} (-1: any number of rows)'
        )
    if shape[0] == 0:
        raise BadRequest(f'input "{expected.name}": 0 rows came, expected at least 1')
    try:
        if given.raw is not None:
            tensor = from_raw(expected.name, given.datatype, shape, given.raw)
        else:
            # A wrong datatype is told before the values are judged by it.
            convert(Tensor(expected.name, given.datatype, (0,), b""), expected.datatype)
            values = _flat_column(given)
            tensor = from_values(expected.name, given.datatype, shape, values, nullable=expected.nullable)
        tensor = convert(tensor, expected.datatype)
    except TensorError as error:
        raise BadRequest(f'input "{expected.name}": {error}') from None
    if not expected.nullable and (row := first_nan(tensor)) is not None:
        raise BadRequest(f'input "{expected.name}": row {row} is NaN, and this input takes no missing values')
    return tensor


def _flat_column(given: GivenInput) -> Any:
    """The values of a column that came nested, as its shape [n, 1] says."""
    values = given.values
    if given.shape[1:] == (1,) and values and all(isinstance(row, list) and len(row) == 1 for row in values):
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
    found = difflib.get_close_matches(name, known, n=1)
    return f' (did you mean "{found[0]}"?)' if found else ""


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
