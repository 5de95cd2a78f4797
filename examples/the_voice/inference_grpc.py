"""Asking a Countersign container over gRPC, with the messages of the public Open Inference Protocol .proto.

Only what is needed here is declared, by field name, number and type; Protocol Buffers skip the fields they do not know.
"""

import struct
import time
from typing import Any, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from inference import OUTPUTS, TIMEOUT_SECONDS, Answer, InferenceError, read_answer

METHOD = "/inference.GRPCInferenceService/ModelInfer"

MESSAGES = {
    "InferParameter": ("string string_param = 3",),
    # On the wire a map is a repeated message of key and value.
    "ParametersEntry": ("string key = 1", ".inference.InferParameter value = 2"),
    "InferTensorContents": (
        "repeated float fp32_contents = 6",
        "repeated double fp64_contents = 7",
        "repeated bytes bytes_contents = 8",
    ),
    "InferInputTensor": (
        "string name = 1",
        "string datatype = 2",
        "repeated int64 shape = 3",
        ".inference.InferTensorContents contents = 5",
    ),
    "InferRequestedOutputTensor": ("string name = 1",),
    "InferOutputTensor": (
        "string name = 1",
        "string datatype = 2",
        "repeated int64 shape = 3",
        ".inference.InferTensorContents contents = 5",
    ),
    "ModelInferRequest": (
        "string model_name = 1",
        "repeated .inference.InferInputTensor inputs = 5",
        "repeated .inference.InferRequestedOutputTensor outputs = 6",
    ),
    "ModelInferResponse": (
        "string model_name = 1",
        "string model_version = 2",
        "repeated .inference.ParametersEntry parameters = 4",
        "repeated .inference.InferOutputTensor outputs = 5",
        "repeated bytes raw_output_contents = 6",
    ),
}


def descriptor() -> descriptor_pb2.FileDescriptorProto:
    """The part of the public .proto that MESSAGES declares."""
    file = descriptor_pb2.FileDescriptorProto(name="the_voice/inference.proto", package="inference", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, declared in MESSAGES.items():
        message = file.message_type.add(name=name)
        for line in declared:
            *repeated, kind, field_name, _, number = line.split()
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=int(number), label=label)
            if kind.startswith("."):
                field.type, field.type_name = kinds.TYPE_MESSAGE, kind
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    return file


def message_classes() -> dict[str, Any]:
    """Message classes by name, in a pool of their own: another copy of the .proto in this process does no harm."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in MESSAGES}


class GrpcAsker:
    """Asks ``ModelInfer`` at ``HOST:PORT``."""

    name = "gRPC"

    def __init__(self, target: str, route: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """:param target: ``HOST:PORT`` of the container; :param timeout: seconds for one answer."""
        self._target, self._route, self._timeout = target, route, timeout
        self._classes = message_classes()
        # grpcio would send loopback traffic to a proxy that the environment names.
        self._channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
        self._call = self._channel.unary_unary(
            METHOD,
            request_serializer=self._classes["ModelInferRequest"].SerializeToString,
            response_deserializer=self._classes["ModelInferResponse"].FromString,
        )

    def ask(self, text: str, routing_key: str) -> Answer:
        """As ``inference.Asker.ask``."""
        request = self._classes["ModelInferRequest"](model_name=self._route)
        tensor = request.inputs.add(name="text", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(text.encode())
        for name in OUTPUTS:
            request.outputs.add(name=name)
        start = time.perf_counter()
        try:
            response = self._call(request, timeout=self._timeout, metadata=(("x-routing-key", routing_key),))
        except grpc.RpcError as error:
            raise InferenceError(self._explain(error)) from error
        seconds = time.perf_counter() - start
        parameters = {entry.key: entry.value.string_param for entry in response.parameters}
        return read_answer(response.model_version, parameters.get("release_digest", ""), _outputs(response), seconds)

    def _explain(self, error: grpc.RpcError) -> str:
        details = str(error.details())
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return f"no answer from {self._target} over gRPC: {details.rpartition(': ')[2]}; is the container up?"
        return f"{self._target} answered {error.code().name} over gRPC: {details[:500]}"

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _outputs(response: Any) -> dict[str, list[Any]]:
    """Outputs by name; values come typed in ``contents``, or raw for all outputs at once, as the server likes."""
    raw = list(response.raw_output_contents)
    if raw and len(raw) != len(response.outputs):
        raise InferenceError(f"the answer holds {len(raw)} raw tensors for {len(response.outputs)} outputs")
    found: dict[str, list[Any]] = {}
    for at, output in enumerate(response.outputs):
        contents = output.contents
        typed = {"BYTES": contents.bytes_contents, "FP64": contents.fp64_contents, "FP32": contents.fp32_contents}
        found[output.name] = _decode(raw[at], output.datatype) if raw else list(typed.get(output.datatype, ()))
    return found


def _decode(raw: bytes, datatype: str) -> list[Any]:
    """Little-endian numbers, or BYTES elements that each carry their length in four bytes."""
    if datatype in {"FP64", "FP32"}:
        letter, size = ("d", 8) if datatype == "FP64" else ("f", 4)
        return list(struct.unpack(f"<{len(raw) // size}{letter}", raw[: len(raw) // size * size]))
    values, at = [], 0
    while at + 4 <= len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        values.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return values
