"""The gRPC side: messages of `inference.proto` to and from what the service understands."""

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import grpc

from serving.access import Access, Call
from serving.errors import BadRequest, ServingError, TooLarge
from serving.grpc_generated import inference_pb2 as pb
from serving.grpc_generated import inference_pb2_grpc as pb_grpc
from serving.messages import GivenInput, InferRequest, InferResponse
from serving.rest import routing_key
from serving.service import Service
from serving.settings import Settings
from serving.tensors import DTYPES, Tensor, elements_of, view
from serving.tokens import TokenInterceptor, Tokens, text_metadata

# Which repeated field of InferTensorContents holds a datatype. FP16 has none: it travels raw only.
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def create(service: Service, access: Access, settings: Settings, tokens: Tokens | None = None) -> grpc.aio.Server:
    """A server with the service on it, not bound to a port yet."""
    server = grpc.aio.server(
        interceptors=[TokenInterceptor(tokens, access)] if tokens else None,
        options=[
            ("grpc.max_receive_message_length", settings.max_body),  # grpc's own default is 4 MiB
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # two servers on one port would share its requests without a word
        ],
        # Calls that wait for a place fail in `Door` with a clear message; this bounds what reads a message at all.
        maximum_concurrent_rpcs=2 * settings.max_concurrency,
    )
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(service, access, settings.max_rows), server)
    return server


class Servicer(pb_grpc.GRPCInferenceServiceServicer):
    """Calls of the protocol; names and argument order are grpc's."""

    def __init__(self, service: Service, access: Access, max_rows: int) -> None:
        self._service = service
        self._max_rows = max_rows
        self._access = access

    async def ServerLive(self, request: Any, context: Any) -> pb.ServerLiveResponse:  # noqa: ARG002, N802
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> pb.ServerReadyResponse:  # noqa: ARG002, N802
        return pb.ServerReadyResponse(ready=self._service.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:  # noqa: N802
        try:
            return pb.ModelReadyResponse(ready=self._service.version_ready(request.name, request.version))
        except ServingError as error:
            return await _abort(context, error)

    async def ServerMetadata(self, request: Any, context: Any) -> pb.ServerMetadataResponse:  # noqa: ARG002, N802
        found = self._service.server_metadata()
        return pb.ServerMetadataResponse(name=found["name"], version=found["version"], extensions=found["extensions"])

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:  # noqa: N802
        try:
            found = self._service.model_metadata(request.name, request.version)
        except ServingError as error:
            return await _abort(context, error)
        return pb.ModelMetadataResponse(
            name=found["name"],
            versions=found["versions"],
            platform=found["platform"],
            inputs=[_tensor_metadata(item) for item in found["inputs"]],
            outputs=[_tensor_metadata(item) for item in found["outputs"]],
        )

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:  # noqa: N802
        sent = text_metadata(context.invocation_metadata())
        call = self._access.begin("grpc", sent.get("x-request-id", ""), sent.get("traceparent"))
        code = grpc.StatusCode.UNKNOWN
        try:
            answer = await self._infer(request, sent.get("x-routing-key"), call)
            context.set_trailing_metadata(call.metadata)
            code = grpc.StatusCode.OK
            return render(answer, raw=bool(request.raw_input_contents))
        except ServingError as error:
            context.set_trailing_metadata(call.metadata)
            code = grpc.StatusCode[error.grpc_code]
            return await _abort(context, error)
        finally:
            self._access.answered(call, code.name)

    async def RepositoryIndex(  # noqa: N802
        self,
        request: pb.RepositoryIndexRequest,
        context: Any,  # noqa: ARG002
    ) -> pb.RepositoryIndexResponse:
        entries = self._service.index(ready_only=request.ready)
        return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**entry) for entry in entries])

    async def RepositoryModelLoad(self, request: Any, context: Any) -> pb.RepositoryModelLoadResponse:  # noqa: ARG002, N802
        return await _abort(context, self._service.refuse_change())

    async def RepositoryModelUnload(self, request: Any, context: Any) -> pb.RepositoryModelUnloadResponse:  # noqa: ARG002, N802
        return await _abort(context, self._service.refuse_change())

    async def _infer(self, request: pb.ModelInferRequest, key: str | None, call: Call) -> InferResponse:
        door, held = self._service.door, 0
        door.enter()
        try:
            size = request.ByteSize()
            door.hold(size)
            held = size
            message = parse(request, self._max_rows)
            key = routing_key(key, message.parameters)
            return await self._service.infer(request.model_name, request.model_version, message, key=key, call=call)
        finally:
            door.leave(held)


def parse(request: pb.ModelInferRequest, max_rows: int) -> InferRequest:
    """Read a message.

    :raises BadRequest: raw and typed contents are mixed, or in the wrong place or number.
    :raises TooLarge: an input has more than ``max_rows`` rows.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequest(
            f"raw_input_contents has {len(raw)} entries, expected one for each of {len(request.inputs)} inputs"
        )
    inputs = []
    for place, item in enumerate(request.inputs):
        shape = tuple(item.shape)
        if shape and shape[0] > max_rows:  # before its values are read, which takes far longer than to count them
            raise TooLarge(f"{shape[0]} rows came, at most {max_rows} are taken at once")
        if raw:
            if item.HasField("contents"):
                raise BadRequest(f'input "{item.name}" has contents, expected none beside raw_input_contents')
            inputs.append(GivenInput(item.name, item.datatype, shape, raw=raw[place]))
        else:
            inputs.append(GivenInput(item.name, item.datatype, shape, values=_contents(item)))
    if not inputs:
        raise BadRequest("inputs is empty, expected every input of the model")
    outputs = tuple(item.name for item in request.outputs)
    return InferRequest(inputs, outputs, request.id, _parameters(request.parameters))


def render(answer: InferResponse, *, raw: bool) -> pb.ModelInferResponse:
    """The answer in the form that the request had."""
    response = pb.ModelInferResponse(model_name=answer.route, model_version=answer.version, id=answer.id)
    response.parameters["release_digest"].string_param = answer.release_digest
    for tensor in answer.outputs:
        described = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw or tensor.datatype not in CONTENTS:
            response.raw_output_contents.append(bytes(tensor.data))
        else:
            getattr(described.contents, CONTENTS[tensor.datatype]).extend(_values(tensor))
    return response


def _contents(item: pb.ModelInferRequest.InferInputTensor) -> list[Any]:
    field = CONTENTS.get(item.datatype)
    if field is None:
        if item.datatype in DTYPES:
            raise BadRequest(f'input "{item.name}": {item.datatype} travels in raw_input_contents only')
        return []  # an unknown datatype, which the signature's check names
    for other, _ in item.contents.ListFields():
        if other.name != field:
            raise BadRequest(f'input "{item.name}": {other.name} came, expected {field} for {item.datatype}')
    values = getattr(item.contents, field)
    if len(values) > (holds := max(0, math.prod(item.shape))):  # fewer are told when they are bound
        raise BadRequest(f'input "{item.name}": {len(values)} values came, shape {[*item.shape]} holds {holds}')
    return list(values)


def _values(tensor: Tensor) -> list[Any]:
    if tensor.datatype == "BYTES":
        return [bytes(element) for element in elements_of(tensor.data)]
    values: list[Any] = view(tensor).reshape(-1).tolist()
    return values


def _parameters(given: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    found = {}
    for name, parameter in given.items():
        choice = parameter.WhichOneof("parameter_choice")
        found[name] = getattr(parameter, choice) if choice else None
    return found


def _tensor_metadata(item: dict[str, Any]) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=item["name"], datatype=item["datatype"], shape=item["shape"])


async def _abort(context: Any, error: ServingError) -> NoReturn:
    await context.abort(grpc.StatusCode[error.grpc_code], str(error))
    raise AssertionError("abort() always raises")
