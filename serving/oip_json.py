"""The protocol's JSON messages, with the binary tensor extension: bytes to `InferRequest`, `InferResponse` to bytes."""

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from serving.errors import BadRequest
from serving.messages import CONTENT_TYPES, GivenInput, InferRequest, InferResponse
from serving.tensors import DTYPES, FEW, PACKED_AS, Buffer, Tensor, describe, to_strings

LONG = 16 * 1024  # bytes of a body; in a shorter one values are sooner looked at one by one
LETTERS = 100  # a body with more of one letter is of texts: its values are looked at, too
_NONE: dict[str, Any] = {}  # where a message says nothing; never written to


@dataclass(slots=True)  # as a Tensor
class Form:
    """How the client wants its outputs: ``binary`` for those that ``named`` does not list."""

    binary: bool = False
    named: dict[str, bool] = field(default_factory=dict)

    def is_binary(self, name: str) -> bool:
        return self.named.get(name, self.binary)


def parse(body: bytes, head_length: int | None) -> tuple[InferRequest, Form]:
    """Read an inference request.

    :param head_length: of the JSON, when binary tensors follow it (`Inference-Header-Content-Length`).
    :raises BadRequest: naming the place, what came and what is expected.
    """
    if head_length is not None and head_length > len(body):
        raise BadRequest(f"Inference-Header-Content-Length is {head_length}, but the body has {len(body)} bytes")
    view = memoryview(body)
    message = _object(_json(view[:head_length]), "the request")
    tail = view[head_length:] if head_length is not None else None
    given = message.get("inputs")
    if not isinstance(given, list) or not given:
        raise BadRequest(f"inputs is {_seen(message, 'inputs')}, expected an array with an object for each input")
    parameters = _object(message.get("parameters", _NONE), "parameters")
    frame = _content_type(parameters, "parameters") == "pd"
    plain = len(view) > LONG and _is_plain(body)
    inputs = []
    start = 0
    for place, item in enumerate(given):
        made, start = _input(_object(item, "inputs[{}]", place), place, tail, start)
        made.plain = plain
        inputs.append(made)
    if tail is not None and start != len(tail):
        raise BadRequest(f"{len(tail)} bytes follow the JSON, but the inputs' binary_data_size add up to {start}")
    identifier = message.get("id", "")
    if not isinstance(identifier, str):
        raise BadRequest(f"id is {describe(identifier)}, expected a string")
    outputs, form = _outputs(message.get("outputs", []), binary=parameters.get("binary_data_output") is True)
    return InferRequest(inputs, outputs, identifier, parameters, "frame" if frame else "tensors"), form


def render(response: InferResponse, form: Form) -> tuple[int | None, list[Buffer]]:
    """The answer: length of its JSON when binary tensors follow it, else None, and the parts of its body."""
    described = []
    tail: list[Buffer] = []
    for tensor in response.outputs:
        item: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if form.is_binary(tensor.name):
            item["parameters"] = {"binary_data_size": len(tensor.data)}
            tail.append(tensor.data)
        else:
            item["data"] = _values(tensor)
        described.append(item)
    message: dict[str, Any] = {"model_name": response.route, "model_version": response.version}
    if response.id:
        message["id"] = response.id
    message["parameters"] = {"release_digest": response.release_digest}
    message["outputs"] = described
    head = orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY)
    return (len(head) if tail else None), [head, *tail]


def parse_options(body: bytes) -> dict[str, Any]:
    """The body of a repository request: an object, or nothing.

    :raises BadRequest: something else.
    """
    return _object(_json(memoryview(body)), "the request") if body.strip() else {}


def _json(text: memoryview) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def _is_plain(body: bytes) -> bool:
    """Whether ``body`` surely has no `true` and no `false`. Numbers have neither first letter: looking for one is fast."""
    for letter, word in ((b"t", b"true"), (b"f", b"false")):
        start = -1
        for _ in range(LETTERS):
            start = body.find(letter, start + 1)
            if start < 0:
                break
            if body.startswith(word, start):
                return False
        else:
            return False
    return True


def _object(value: Any, place: str, *where: object) -> dict[str, Any]:
    """:param place: with a ``{}`` for each of ``where``, written out only when it is told."""
    if not isinstance(value, dict):
        raise BadRequest(f"{place.format(*where)} is {describe(value)}, expected an object")
    return value


def _seen(item: dict[str, Any], key: str) -> str:
    return describe(item[key]) if key in item else "missing"


def _input(item: dict[str, Any], place: int, tail: memoryview | None, start: int) -> tuple[GivenInput, int]:
    name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str):
        raise BadRequest(f"inputs[{place}].name is {_seen(item, 'name')}, expected the name of an input")
    if not isinstance(datatype, str):
        raise BadRequest(f'input "{name}": datatype is {_seen(item, "datatype")}, expected a string such as FP64')
    if not isinstance(shape, list) or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise BadRequest(f'input "{name}": shape is {_seen(item, "shape")}, expected an array of sizes such as [1, 4]')
    parameters = _object(item.get("parameters", _NONE), 'input "{}": parameters', name)
    size = parameters.get("binary_data_size")
    content_type = _content_type(parameters, 'input "{}"', name)
    if size is None:
        if "data" not in item:
            raise BadRequest(f'input "{name}": data is missing')
        return GivenInput(name, datatype, tuple(shape), values=item["data"], content_type=content_type), start
    if type(size) is not int or size < 0:
        raise BadRequest(f'input "{name}": binary_data_size is {describe(size)}, expected a number of bytes')
    if "data" in item:
        raise BadRequest(f'input "{name}" has both data and binary_data_size, expected one of them')
    if tail is None:
        raise BadRequest(f'input "{name}" is binary, but the header Inference-Header-Content-Length is missing')
    if start + size > len(tail):
        raise BadRequest(
            f'input "{name}": binary_data_size is {size}, but {len(tail) - start} bytes are left in the body'
        )
    end = start + size
    return GivenInput(name, datatype, tuple(shape), raw=tail[start:end], content_type=content_type), end


def _content_type(parameters: dict[str, Any], place: str, *where: object) -> str | None:
    """What MLServer's clients say of a request or an input; ``place`` as in `_object`."""
    given = parameters.get("content_type")
    if given is not None and given not in CONTENT_TYPES:
        known = ", ".join(CONTENT_TYPES)
        raise BadRequest(f"{place.format(*where)}: content_type is {describe(given)}, expected one of {known}")
    return given


def _outputs(value: Any, *, binary: bool) -> tuple[tuple[str, ...], Form]:
    if not isinstance(value, list):
        raise BadRequest(f"outputs is {describe(value)}, expected an array with an object for each output")
    names = []
    named = {}
    for place, item in enumerate(value):
        name = _object(item, "outputs[{}]", place).get("name")
        if not isinstance(name, str):
            raise BadRequest(f"outputs[{place}].name is {_seen(item, 'name')}, expected the name of an output")
        names.append(name)
        wish = _object(item.get("parameters", _NONE), 'output "{}": parameters', name).get("binary_data")
        if wish is not None:
            named[name] = wish is True
    return tuple(names), Form(binary, named)


def _values(tensor: Tensor) -> Any:
    """Flat, row-major. orjson writes arrays itself, NaN as null; it needs them aligned."""
    if tensor.datatype == "BYTES":
        return to_strings(tensor)
    if tensor.datatype in PACKED_AS and len(tensor.data) <= 8 * FEW:
        return struct.unpack(f"<{tensor.count}{PACKED_AS[tensor.datatype]}", tensor.data)
    return np.require(np.frombuffer(tensor.data, dtype=DTYPES[tensor.datatype]), requirements="A")
