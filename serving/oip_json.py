"""The protocol's JSON messages, with the binary tensor extension: bytes to `InferRequest`, `InferResponse` to bytes."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from serving.errors import BadRequest
from serving.messages import CONTENT_TYPES, GivenInput, InferRequest, InferResponse
from serving.tensors import DTYPES, FEW, PACKED_AS, Body, Buffer, Tensor, describe, to_strings

LONG = 16 * 1024  # bytes of a body; in a shorter one values are sooner looked at one by one
SHOWN = 60  # letters of a shape that is wrong
LETTERS = 100  # a body with more of one letter is of texts: its values are looked at, too
_SIZE = frozenset({int})  # the type of a size; true and 1.0 are none


@dataclass(frozen=True, slots=True)
class Form:
    """How the client wants its outputs: ``binary`` for those that ``named`` does not list."""

    binary: bool = False
    named: Mapping[str, bool] = field(default_factory=dict)

    def is_binary(self, name: str) -> bool:
        return self.named.get(name, self.binary)


AS_JSON = Form()  # what most want


def parse(body: Body, head_length: int | None) -> tuple[InferRequest, Form]:
    """Read an inference request.

    :param head_length: of the JSON, when binary tensors follow it (`Inference-Header-Content-Length`).
    :raises BadRequest: naming the place, what came and what is expected.
    """
    text, tail = _parts(body, head_length)
    message = _object(_json(text), "the request")
    given = message.get("inputs")
    if not isinstance(given, list) or not given:
        raise BadRequest(f"inputs is {_seen(message, 'inputs')}, expected an array with an object for each input")
    inputs = []
    start = 0
    for place, item in enumerate(given):
        made, start = _input(item, place, tail, start)
        inputs.append(made)
    if tail is not None and start != len(tail):
        raise BadRequest(f"{len(tail)} bytes follow the JSON, but the inputs' binary_data_size add up to {start}")
    if len(body) > LONG and _is_plain(body):
        for made in inputs:
            made.plain = True
    request, form = InferRequest(inputs), AS_JSON
    if "id" in message:
        request.id = _identifier(message["id"])
    if "parameters" in message:
        parameters = request.parameters = _object(message["parameters"], "parameters")
        if parameters.get("binary_data_output") is True:
            form = Form(binary=True)
        if _content_type(parameters, "parameters") == "pd":
            request.form = "frame"
    if "outputs" in message:
        request.outputs, named = _outputs(message["outputs"])
        if named:
            form = Form(form.binary, named)
    return request, form


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


def parse_options(body: Body) -> dict[str, Any]:
    """The body of a repository request: an object, or nothing.

    :raises BadRequest: something else.
    """
    return _object(_json(body), "the request") if body.strip() else {}


def _parts(body: Body, head_length: int | None) -> tuple[Buffer, memoryview | None]:
    """The JSON, and the binary tensors behind it where the sender says how long the JSON is."""
    if head_length is None:
        return body, None
    if head_length > len(body):
        raise BadRequest(f"Inference-Header-Content-Length is {head_length}, but the body has {len(body)} bytes")
    view = memoryview(body)
    return view[:head_length], view[head_length:]


def _json(text: Buffer) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def _is_plain(body: Body) -> bool:
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


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"{place} is {describe(value)}, expected an object")
    return value


def _seen(item: dict[str, Any], key: str) -> str:
    return describe(item[key]) if key in item else "missing"


def _input(item: Any, place: int, tail: memoryview | None, start: int) -> tuple[GivenInput, int]:
    """The input at ``place``, and where in ``tail`` the next one starts."""
    item = _object(item, f"inputs[{place}]")
    name, datatype, shape = item.get("name"), item.get("datatype"), item.get("shape")
    if not isinstance(name, str):
        raise BadRequest(f"inputs[{place}].name is {_seen(item, 'name')}, expected the name of an input")
    if not isinstance(datatype, str):
        raise BadRequest(f'input "{name}": datatype is {_seen(item, "datatype")}, expected a string such as FP64')
    if not isinstance(shape, list) or not _SIZE.issuperset(map(type, shape)) or min(shape, default=0) < 0:
        came = str(shape)[:SHOWN] if isinstance(shape, list) else _seen(item, "shape")
        raise BadRequest(f'input "{name}": shape is {came}, expected an array of sizes such as [1, 4]')
    size = content_type = None
    if "parameters" in item:
        parameters = _object(item["parameters"], f'input "{name}": parameters')
        size, content_type = parameters.get("binary_data_size"), _content_type(parameters, f'input "{name}"')
    if size is None:
        values = item.get("data")
        if not isinstance(values, list):
            raise BadRequest(f'input "{name}": data is {_seen(item, "data")}, expected an array')
        return GivenInput(name, datatype, tuple(shape), values, None, content_type), start
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


def _content_type(parameters: dict[str, Any], place: str) -> str | None:
    """What MLServer's clients say of a request or an input."""
    given = parameters.get("content_type")
    if given is not None and given not in CONTENT_TYPES:
        raise BadRequest(f"{place}: content_type is {describe(given)}, expected one of {', '.join(CONTENT_TYPES)}")
    return given


def _identifier(value: Any) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"id is {describe(value)}, expected a string")
    return value


def _outputs(value: Any) -> tuple[tuple[str, ...], dict[str, bool]]:
    """The names of the outputs wanted, and for those where it is said whether they go as binary tensors."""
    if not isinstance(value, list):
        raise BadRequest(f"outputs is {describe(value)}, expected an array with an object for each output")
    names = []
    named = {}
    for place, item in enumerate(value):
        name = _object(item, f"outputs[{place}]").get("name")
        if not isinstance(name, str):
            raise BadRequest(f"outputs[{place}].name is {_seen(item, 'name')}, expected the name of an output")
        names.append(name)
        if "parameters" in item:
            wish = _object(item["parameters"], f'output "{name}": parameters').get("binary_data")
            if wish is not None:
                named[name] = wish is True
    return tuple(names), named


def _values(tensor: Tensor) -> Any:
    """Flat, row-major. orjson writes arrays itself, NaN as null; it needs them aligned."""
    if tensor.datatype == "BYTES":
        return to_strings(tensor)
    if tensor.datatype in PACKED_AS and len(tensor.data) <= 8 * FEW:
        return struct.unpack(f"<{tensor.count}{PACKED_AS[tensor.datatype]}", tensor.data)
    return np.require(np.frombuffer(tensor.data, dtype=DTYPES[tensor.datatype]), requirements="A")
