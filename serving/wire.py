"""What travels over REST, whatever its form: bytes to a request, an answer to bytes. Here, or in the helper when it is large."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from serving import oip_json
from serving.frames import parse_csv, parse_mlflow
from serving.messages import InferRequest, InferResponse
from serving.oip_json import AS_JSON, Form
from serving.tensors import Body, Buffer, to_values

Kind: TypeAlias = Literal["oip", "mlflow", "csv", "arrow", "parquet"]
FOREIGN = ("arrow", "parquet")  # read by a library that is in the helper only
MEDIA: dict[bytes, Kind] = {
    b"application/vnd.apache.arrow.stream": "arrow",
    b"application/vnd.apache.parquet": "parquet",
    b"text/csv": "csv",
}
JSON = b"application/json"
BINARY = b"application/octet-stream"
ARROW = b"application/vnd.apache.arrow.stream"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a body is to be read, and how its answer is to be written.

    :param head_length: of the JSON, when binary tensors follow it.
    :param outputs: named in the address, for bodies that have no place for them.
    """

    kind: Kind
    answer: Literal["oip", "mlflow", "arrow"]
    head_length: int | None = None
    outputs: tuple[str, ...] = ()
    max_rows: int = 0
    max_bytes: int = 0


def parse(wanted: Wanted, body: Body) -> tuple[InferRequest, Form]:
    """:raises ServingError: the body is not of its form, or too large once it is read."""
    if wanted.kind == "oip":
        return oip_json.parse(body, wanted.head_length)
    if wanted.kind == "mlflow":
        return parse_mlflow(body), AS_JSON
    if wanted.kind == "csv":
        return parse_csv(body, wanted.outputs, wanted.max_rows), AS_JSON
    from serving import tables  # noqa: PLC0415  # a large library, for the helper alone

    return tables.parse(wanted.kind, body, wanted.outputs, wanted.max_rows, wanted.max_bytes), AS_JSON


def render(kind: str, response: InferResponse, form: Form) -> tuple[int | None, list[Buffer]]:
    """Length of the JSON when binary tensors follow it, else None, and the parts of the body."""
    if kind == "oip":
        return oip_json.render(response, form)
    if kind == "mlflow":
        answers: Any = to_values(response.outputs[0])
        return None, [orjson.dumps({"predictions": answers})]
    from serving import tables  # noqa: PLC0415  # see parse

    return None, [tables.render(response)]
