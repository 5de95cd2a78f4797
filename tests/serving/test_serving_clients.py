"""Clients that other people wrote, unchanged: tritonclient in its three ways, and plain grpcio on the protocol's definition."""

import asyncio
import json
import subprocess
import sys

import grpc
import numpy as np
import pytest
import requests
import serving_image as si
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tritonclient.utils import InferenceServerException

from serving.tensors import DTYPES

# Both Triton's client and our server define the protocol's messages. A process has one pool for all of them, and refuses
# the second definition; here each gets its own, as they have in the processes of a client and a server.
with pytest.MonkeyPatch.context() as patched:
    own = descriptor_pool.DescriptorPool()
    patched.setattr(descriptor_pool, "Default", lambda: own)
    import tritonclient.grpc as triton_grpc
    import tritonclient.grpc.aio as triton_grpc_aio

# Tests close their clients. This would do it again in whatever thread collects garbage, which gevent refuses.
del triton_http.InferenceServerClient.__del__

TEXTS = ["my card was stolen", "the app crashes at login", "apply for a loan"]


@pytest.fixture
def http(server):
    with triton_http.InferenceServerClient(f"127.0.0.1:{server.rest_port}") as client:
        yield client


@pytest.fixture
def rpc(server):
    with triton_grpc.InferenceServerClient(server.grpc) as client:
        yield client


def text_tensor(module, texts=TEXTS, **options):
    tensor = module.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object), **options)
    return tensor


def matrix_tensor(module, rows, **options):
    tensor = module.InferInput("input", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, **options)
    return tensor


def decoded(array):
    return [item.decode() if isinstance(item, bytes) else item for item in array.tolist()]


# --- tritonclient over HTTP


def test_triton_http_as_it_comes(http, trained):
    """Its default: binary tensors both ways, and no outputs named."""
    assert http.is_server_live()
    assert http.is_server_ready()
    assert http.is_model_ready("feedback")
    assert http.get_model_metadata("feedback")["inputs"][0]["name"] == "text"
    result = http.infer("feedback", [text_tensor(triton_http)], model_version="1", request_id="7")
    assert result.get_response()["id"] == "7"
    assert decoded(result.as_numpy("predict")) == trained["voice-1"].estimator.predict(TEXTS).tolist()
    np.testing.assert_allclose(
        result.as_numpy("predict_proba"), trained["voice-1"].estimator.predict_proba(TEXTS), rtol=1e-9
    )


def test_triton_http_in_json(http, trained):
    """Without a Content-Type, as this client sends JSON."""
    tensor = text_tensor(triton_http, binary_data=False)
    wanted = [triton_http.InferRequestedOutput("predict", binary_data=False)]
    result = http.infer("feedback", [tensor], model_version="2", outputs=wanted)
    assert decoded(result.as_numpy("predict")) == trained["voice-2"].estimator.predict(TEXTS).tolist()
    assert result.as_numpy("predict_proba") is None


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_triton_http_compressed(http, trained, algorithm):
    rows = np.random.default_rng(1).normal(size=(5, 4))
    result = http.infer(
        "mixed",
        [matrix_tensor(triton_http, rows)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert result.as_numpy("predict").tolist() == trained["matrix"].estimator.predict(rows.copy()).tolist()


def test_triton_http_reads_our_errors(http):
    with pytest.raises(InferenceServerException, match=r"shape \[1, 3\] came, expected \[-1, 4\]"):
        http.infer("mixed", [matrix_tensor(triton_http, np.zeros((1, 3)))])
    with pytest.raises(InferenceServerException, match="no model"):
        http.infer("nothing", [matrix_tensor(triton_http, np.zeros((1, 4)))])
    with pytest.raises(InferenceServerException, match="approved"):
        http.load_model("feedback")
    assert {item["name"] for item in http.get_model_repository_index()} == {"feedback", "mixed", "customers"}


def test_triton_http_asyncio(server, trained):
    async def ask():
        async with triton_http_aio.InferenceServerClient(f"127.0.0.1:{server.rest_port}") as client:
            assert await client.is_server_ready()
            return await client.infer("feedback", [text_tensor(triton_http_aio)], model_version="1")

    answer = asyncio.run(ask())
    assert decoded(answer.as_numpy("predict")) == trained["voice-1"].estimator.predict(TEXTS).tolist()


# --- tritonclient over gRPC


def test_triton_grpc_asyncio(server, trained):
    async def ask():
        async with triton_grpc_aio.InferenceServerClient(server.grpc) as client:
            assert await client.is_server_ready()
            return await client.infer("feedback", [text_tensor(triton_grpc_aio)], model_version="2")

    answer = asyncio.run(ask())
    assert decoded(answer.as_numpy("predict")) == trained["voice-2"].estimator.predict(TEXTS).tolist()


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_triton_grpc_compressed(rpc, trained, algorithm):
    rows = np.random.default_rng(1).normal(size=(5, 4))
    result = rpc.infer("mixed", [matrix_tensor(triton_grpc, rows)], compression_algorithm=algorithm)
    assert result.as_numpy("predict").tolist() == trained["matrix"].estimator.predict(rows.copy()).tolist()


def test_triton_grpc_compressed_messages_are_bounded_by_what_they_hold(rpc):
    with pytest.raises(InferenceServerException) as caught:
        rpc.infer("mixed", [matrix_tensor(triton_grpc, np.zeros((320_000, 4)))], compression_algorithm="gzip")
    assert "RESOURCE_EXHAUSTED" in caught.value.status()


def test_triton_grpc(rpc, trained):
    assert rpc.is_server_live()
    assert rpc.is_server_ready()
    assert rpc.is_model_ready("feedback", "2")
    assert rpc.get_server_metadata().extensions == ["binary_tensor_data", "model_repository"]
    metadata = rpc.get_model_metadata("mixed")
    assert (metadata.inputs[0].datatype, list(metadata.inputs[0].shape)) == ("FP64", [-1, 4])
    assert list(metadata.versions) == ["matrix-3", "forest-1"]
    rows = np.random.default_rng(2).normal(size=(7, 4))
    result = rpc.infer("mixed", [matrix_tensor(triton_grpc, rows)], model_version="forest-1", request_id="9")
    answer = result.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("mixed", "forest-1", "9")
    assert answer.parameters["release_digest"].string_param.startswith("sha256:")
    assert result.as_numpy("predict").tolist() == trained["forest"].estimator.predict(rows).tolist()
    np.testing.assert_allclose(result.as_numpy("predict_proba"), trained["forest"].estimator.predict_proba(rows))


def test_triton_grpc_frame(rpc, trained):
    frame = si.customers().dropna()
    inputs = []
    for name, kind in (("member", "BOOL"), ("city", "BYTES"), ("age", "INT64"), ("income", "FP64")):
        inputs.append(triton_grpc.InferInput(name, [len(frame), 1], kind))
        values = frame[name].to_numpy(dtype=object if kind == "BYTES" else None).reshape(-1, 1)
        inputs[-1].set_data_from_numpy(values)
    result = rpc.infer("customers", inputs, outputs=[triton_grpc.InferRequestedOutput("predict")])
    assert decoded(result.as_numpy("predict")) == trained["frame"].estimator.predict(frame).tolist()
    assert result.as_numpy("predict_proba") is None


def test_triton_grpc_keeps_a_key_on_its_version_as_rest_does(rpc, server):
    for key in ("a", "b", "c", "d", "e", "f"):
        by_header = rpc.infer("feedback", [text_tensor(triton_grpc)], headers={"x-routing-key": key})
        by_parameter = rpc.infer("feedback", [text_tensor(triton_grpc)], parameters={"routing_key": key})
        over_rest = server.infer("feedback", si.text_input("a"), headers={"X-Routing-Key": key})
        versions = {by_header.get_response().model_version, by_parameter.get_response().model_version}
        assert versions == {over_rest.json()["model_version"]}


def test_triton_grpc_takes_messages_above_grpcs_own_limit_and_not_above_ours(rpc, server):
    rows = np.zeros((31_000, 4))
    assert rpc.infer("mixed", [matrix_tensor(triton_grpc, rows)]).as_numpy("predict").shape == (31_000,)
    with pytest.raises(InferenceServerException, match="larger than max") as caught:
        rpc.infer("mixed", [matrix_tensor(triton_grpc, np.zeros((32_000, 4)))])
    assert "RESOURCE_EXHAUSTED" in caught.value.status()


def test_triton_grpc_reads_our_errors(rpc):
    for call, status, told in (
        (lambda: rpc.infer("nothing", [matrix_tensor(triton_grpc, np.zeros((1, 4)))]), "NOT_FOUND", "no model"),
        (lambda: rpc.infer("x" * 100_000, [matrix_tensor(triton_grpc, np.zeros((1, 4)))]), "NOT_FOUND", "no model"),
        (lambda: rpc.infer("mixed", [matrix_tensor(triton_grpc, np.zeros((1, 3)))]), "INVALID_ARGUMENT", r"\[-1, 4\]"),
        (lambda: rpc.get_model_metadata("feedback", "9"), "NOT_FOUND", "it has 1, 2"),
        (lambda: rpc.is_model_ready("nothing"), "NOT_FOUND", "no model"),
        (lambda: rpc.load_model("feedback"), "PERMISSION_DENIED", "approved"),
        (lambda: rpc.unload_model("feedback"), "PERMISSION_DENIED", "approved"),
    ):
        with pytest.raises(InferenceServerException, match=told) as caught:
            call()
        assert caught.value.status() == f"StatusCode.{status}"
    assert {item.name for item in rpc.get_model_repository_index().models} == {"feedback", "mixed", "customers"}


# --- Plain grpcio, with messages made from the .proto alone


class Plain:
    """Calls and messages of the protocol from its definition; in a pool of its own, since tritonclient brings the same names."""

    def __init__(self, target, folder):
        compiled = folder / "protocol.bin"
        source = si.REPOSITORY / "serving"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                f"-I{source}",
                f"--descriptor_set_out={compiled}",
                "inference.proto",
            ],
            check=True,
        )
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
            pool.Add(file)
        self._service = pool.FindServiceByName("inference.GRPCInferenceService")
        self.channel = grpc.insecure_channel(target)

    def call(self, name, metadata=(), **fields):
        method = self._service.FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        answer = message_factory.GetMessageClass(method.output_type)
        path = f"/{self._service.full_name}/{name}"
        stub = self.channel.unary_unary(path, type(request).SerializeToString, answer.FromString)
        return stub(request, timeout=20, metadata=metadata)


@pytest.fixture(scope="module")
def plain(server, tmp_path_factory):
    client = Plain(server.grpc, tmp_path_factory.mktemp("proto"))
    yield client
    client.channel.close()


def typed(name, datatype, shape, **contents):
    return {"name": name, "datatype": datatype, "shape": shape, "contents": contents}


def test_plain_grpc_with_typed_contents(plain, trained):
    assert plain.call("ServerLive").live
    rows = trained["frame"].sample
    filled = [row | {"city": "Bern", "income": 9.5} for row in rows]
    count = [len(rows)]
    inputs = [
        typed("age", "INT64", count, int64_contents=[row["age"] for row in filled]),
        typed("income", "FP64", count, fp64_contents=[row["income"] for row in filled]),
        typed("city", "BYTES", count, bytes_contents=[row["city"].encode() for row in filled]),
        typed("member", "BOOL", count, bool_contents=[row["member"] for row in filled]),
    ]
    answer = plain.call("ModelInfer", model_name="customers", inputs=inputs, outputs=[{"name": "predict"}])
    assert not answer.raw_output_contents
    found = [item.decode() for item in answer.outputs[0].contents.bytes_contents]
    columns = si.customers().head(len(rows)).assign(city="Bern", income=9.5)
    assert found == trained["frame"].estimator.predict(columns).tolist()


def test_plain_grpc_answers_in_the_form_it_was_asked(plain):
    rows = np.arange(8.0).reshape(2, 4)
    asked = {"model_name": "mixed", "model_version": "forest-1"}
    described = {"name": "input", "datatype": "FP64", "shape": [2, 4]}
    raw = plain.call("ModelInfer", inputs=[described], raw_input_contents=[rows.tobytes()], **asked)
    contents = typed("input", "FP64", [2, 4], fp64_contents=rows.reshape(-1).tolist())
    written = plain.call("ModelInfer", inputs=[contents], **asked)
    assert np.frombuffer(raw.raw_output_contents[0], "<i8").tolist() == list(written.outputs[0].contents.int64_contents)
    small = typed("input", "INT8", [1, 4], int_contents=[1, 2, 3, 4])
    assert len(plain.call("ModelInfer", inputs=[small], **asked).outputs[0].contents.int64_contents) == 1


def test_plain_grpc_metadata_names_request_and_version(plain, server):
    inputs = [typed("text", "BYTES", [1], bytes_contents=[b"lost card"])]
    method = plain.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    request = message_factory.GetMessageClass(plain._service.FindMethodByName("ModelInfer").input_type)
    sent = request(model_name="feedback", model_version="2", inputs=inputs).SerializeToString()
    _, call = method.with_call(sent, metadata=[("x-request-id", "grpc-call-1")], timeout=20)
    found = dict(call.trailing_metadata())
    assert (found["x-request-id"], found["x-model-version"]) == ("grpc-call-1", "2")
    si.wait_for(lambda: "grpc-call-1" in server.log_path.read_text(), "its line")


def test_plain_grpc_refusal_names_the_request(plain):
    method = plain.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    request = message_factory.GetMessageClass(plain._service.FindMethodByName("ModelInfer").input_type)
    sent = request(model_name="feedback", model_version="2").SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        method.with_call(sent, metadata=[("x-request-id", "refused-1")], timeout=20)
    assert dict(caught.value.trailing_metadata())["x-request-id"] == "refused-1"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "inputs is empty"),
        (
            {"inputs": [typed("input", "FP64", [1, 4], fp32_contents=[1, 2, 3, 4])]},
            "fp32_contents came, expected fp64_contents",
        ),
        ({"inputs": [typed("input", "FP64", [1, 4], fp64_contents=[1])]}, "1 values came, shape [1, 4] holds 4"),
        ({"inputs": [typed("input", "FP16", [1, 4])]}, "FP16 travels in raw_input_contents only"),
        ({"inputs": [typed("input", "BF16", [1, 4])]}, 'datatype "BF16" is unknown'),
        ({"inputs": [typed("input", "FP64", [-1, 4])]}, "shape [-1, 4] came"),
        (
            {"inputs": [typed("input", "FP64", [1, 4])], "raw_input_contents": [bytes(32)] * 2},
            "has 2 entries, expected one",
        ),
        (
            {"inputs": [typed("input", "FP64", [1, 4], fp64_contents=[1] * 4)], "raw_input_contents": [bytes(32)]},
            "has contents, expected none beside raw_input_contents",
        ),
    ],
)
def test_plain_grpc_bad_requests_are_invalid_arguments(plain, fields, told):
    with pytest.raises(grpc.RpcError) as caught:
        plain.call("ModelInfer", model_name="mixed", **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told in caught.value.details()


def test_plain_grpc_half_precision_comes_raw(plain, trained):
    rows = np.array([[1, 2, 3, 4]], dtype="<f2")
    described = {"name": "input", "datatype": "FP16", "shape": [1, 4]}
    answer = plain.call("ModelInfer", model_name="mixed", inputs=[described], raw_input_contents=[rows.tobytes()])
    expected = trained["matrix"].estimator.predict(rows.astype(float))
    assert np.frombuffer(answer.raw_output_contents[0], "?").tolist() == expected.tolist()


# Where the .proto has room for a number; FP16 travels raw only.
CONTENTS = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
NUMBERS = {name: kind for name, kind in DTYPES.items() if name != "BOOL"}


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_number_is_taken_in_every_way(server, plain, trained, datatype):
    """JSON, binary, raw and typed: the model's answer is the same from each."""
    rows = np.array([[1, 2, 3, 4], [4, 3, 2, 1]], dtype=NUMBERS[datatype])
    expected = trained["forest"].estimator.predict(rows.astype(float)).tolist()
    described = {"name": "input", "datatype": datatype, "shape": [2, 4]}
    as_json = server.infer("mixed", [described | {"data": rows.tolist()}], version="forest-1")
    assert si.outputs_of(as_json)["predict"]["data"] == expected
    asked = {"model_name": "mixed", "model_version": "forest-1"}
    raw = plain.call("ModelInfer", inputs=[described], raw_input_contents=[rows.tobytes()], **asked)
    assert np.frombuffer(raw.raw_output_contents[0], "<i8").tolist() == expected
    if datatype in CONTENTS:
        inputs = [described | {"contents": {CONTENTS[datatype]: rows.reshape(-1).tolist()}}]
        written = plain.call("ModelInfer", inputs=inputs, **asked)
        assert list(written.outputs[0].contents.int64_contents) == expected
    binary = [described | {"parameters": {"binary_data_size": rows.nbytes}}]
    head = json.dumps({"inputs": binary}).encode()
    response = requests.post(
        f"{server.rest}/v2/models/mixed/versions/forest-1/infer",
        data=head + rows.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head))},
        timeout=10,
    )
    assert si.outputs_of(response)["predict"]["data"] == expected


def test_both_sides_are_ready_together(server, rpc):
    assert rpc.is_server_ready() == (requests.get(f"{server.rest}/v2/health/ready", timeout=5).status_code == 200)
