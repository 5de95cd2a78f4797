"""What each kind of server is sent for the same rows, and where its answers are."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from bench.serving.cases import Case
from bench.serving.grpc_client import call
from bench.serving.rest_client import post
from serving.grpc_generated import inference_pb2 as pb
from serving.tensors import join_elements

JSON = {"Content-Type": "application/json"}
INFER = "/inference.GRPCInferenceService/ModelInfer"
WIRE: dict[str, tuple[str, Callable[[Sequence[Any]], bytes]]] = {
    "float": ("FP64", lambda values: np.array(values, dtype="<f8").tobytes()),
    "int": ("INT64", lambda values: np.array(values, dtype="<i8").tobytes()),
    "str": ("BYTES", lambda values: join_elements(value.encode() for value in values)),
}


# --- The Open Inference Protocol: Countersign and MLServer


def oip(case: Case, rows: Sequence[Any], *, typed: bool = False) -> bytes:
    """The protocol's JSON. ``typed`` says of each input what MLServer wants to know."""
    inputs = []
    for name, shape, kind, values in _tensors(case, rows):
        item: dict[str, Any] = {"name": name, "datatype": WIRE[kind][0], "shape": shape, "data": values}
        if typed:
            item["parameters"] = {"content_type": "str" if kind == "str" else "np"}
        inputs.append(item)
    message: dict[str, Any] = {"inputs": inputs, "outputs": [{"name": "predict"}]}
    if typed and case.layout == "frame":
        message["parameters"] = {"content_type": "pd"}
    return orjson.dumps(message)


def oip_binary(matrix: np.ndarray[Any, Any]) -> tuple[bytes, dict[str, str]]:
    """The protocol's binary tensors for one matrix: body and headers."""
    data = matrix.astype("<f8").tobytes()
    described = {"name": "input", "datatype": "FP64", "shape": matrix.shape}
    described["parameters"] = {"binary_data_size": len(data)}
    wanted = [{"name": "predict", "parameters": {"binary_data": True}}]
    head = orjson.dumps({"inputs": [described], "outputs": wanted})
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return head + data, headers


def arrow(case: Case, matrix: np.ndarray[Any, Any]) -> bytes:
    """An Arrow stream with a column for each feature."""
    table = pa.table({name: matrix[:, place].copy() for place, name in enumerate(case.columns)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def read_oip(body: bytes) -> Any:
    """Predictions in the protocol's JSON."""
    return orjson.loads(body)["outputs"][0]["data"]


def read_oip_binary(body: bytes) -> Any:
    """Predictions of whole numbers in a binary tensor: the body's last bytes."""
    end = _json_end(body)
    head = orjson.loads(body[:end])
    return np.frombuffer(body[end:], "<i8").reshape(head["outputs"][0]["shape"]).tolist()


def read_arrow(body: bytes) -> Any:
    """Predictions in an Arrow stream."""
    return pa.ipc.open_stream(body).read_all().column("predict").to_pylist()


def grpc_call(case: Case, row: Any, *, typed: bool = False) -> bytes:
    """The frames of one call with raw tensors."""
    message = pb.ModelInferRequest(model_name=case.name)
    for name, shape, kind, values in _tensors(case, [row]):
        datatype, encode = WIRE[kind]
        item = message.inputs.add(name=name, datatype=datatype, shape=shape)
        if typed:
            item.parameters["content_type"].string_param = "str" if kind == "str" else "np"
        message.raw_input_contents.append(encode(np.ravel(values).tolist()))
    if typed and case.layout == "frame":
        message.parameters["content_type"].string_param = "pd"
    message.outputs.add(name="predict")
    return call(INFER, message.SerializeToString())


def message_of(frames: bytes) -> bytes:
    """The message in what :func:`grpc_call` made."""
    headers = int.from_bytes(frames[:3], "big") + 9
    return frames[headers + 9 + 5 :]


def read_grpc(body: bytes) -> Any:
    """Predictions in a message of the protocol, raw or typed."""
    message = pb.ModelInferResponse.FromString(body)
    output = message.outputs[0]
    if message.raw_output_contents:
        raw = message.raw_output_contents[0]
        if output.datatype == "BYTES":
            return [raw[4:].decode()]
        return np.frombuffer(raw, {"INT64": "<i8", "FP64": "<f8"}[output.datatype]).tolist()
    found = output.contents
    if output.datatype == "BYTES":
        return [item.decode() for item in found.bytes_contents]
    return list(found.int64_contents or found.fp64_contents)


# --- The others' forms


def rows(_case: Case, asked: Sequence[Any]) -> bytes:
    """The plain form of FastAPI's and BentoML's servers here: ``rows``, lists in the order of the columns."""
    return orjson.dumps({"rows": asked})


def mlflow(case: Case, asked: Sequence[Any]) -> bytes:
    """MLflow's shorter form of what the model takes."""
    if case.layout == "frame":
        return orjson.dumps({"dataframe_split": {"columns": case.columns, "data": asked}})
    return orjson.dumps({"inputs": asked})


def read_predictions(body: bytes) -> Any:
    """Predictions of MLflow and of FastAPI's server here."""
    return orjson.loads(body)["predictions"]


def requests(path: str, bodies: Sequence[bytes], headers: dict[str, str] | None = None) -> list[bytes]:
    """The bytes of whole requests."""
    return [post(path, body, JSON if headers is None else headers) for body in bodies]


def _tensors(case: Case, asked: Sequence[Any]) -> list[tuple[str, list[int], str, list[Any]]]:
    """Name, shape, kind and values of each input, as its signature has them."""
    if case.layout == "matrix":
        return [("input", [len(asked), len(asked[0])], "float", list(asked))]
    if case.layout == "text":
        return [("text", [len(asked)], "str", list(asked))]
    columns = zip(*asked, strict=True)
    return [
        (name, [len(asked)], type(values[0]).__name__, list(values))
        for name, values in zip(case.columns, columns, strict=True)
    ]


def _json_end(body: bytes) -> int:
    """Where the JSON before binary tensors ends: its braces are balanced there."""
    depth = 0
    for place, byte in enumerate(body):
        depth += (byte == ord("{")) - (byte == ord("}"))
        if not depth:
            return place + 1
    raise ValueError("no JSON comes first")
