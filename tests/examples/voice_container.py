"""A container that speaks the Open Inference Protocol, REST and gRPC, without a model inside."""

import hashlib
import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
from inference_grpc import message_classes

VOICE = Path(__file__).resolve().parents[2] / "examples" / "the_voice"
Answerer = Callable[[str], tuple[str, float]]


def by_keyword(text: str) -> tuple[str, float]:
    """A category that a test can foresee: mail about PIN codes is sure, everything else is not."""
    return ("cards-pin", 0.93) if "PIN" in text else ("app-crash", 0.11)


@dataclass
class FakeContainer:
    """REST and gRPC on free loopback ports; version 1 gets nine in ten routing keys, version 2 the others."""

    answer: Answerer = by_keyword
    refusal: tuple[int, str] | None = None
    raw: bool = True
    asked: list[dict] = field(default_factory=list)
    rest_url: str = ""
    grpc_target: str = ""

    def version(self, key: str) -> str:
        share = int.from_bytes(hashlib.sha256(b"feedback\0" + key.encode()).digest()[:8]) / 2**64
        return "1" if share < 0.9 else "2"

    def digest(self, version: str) -> str:
        return f"sha256:{hashlib.sha256(version.encode()).hexdigest()}"


def _rest_handler(container: FakeContainer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers.get("X-Routing-Key", "")
            container.asked.append({"over": "REST", "path": self.path, "key": key, "request": request})
            if container.refusal:
                self._send(container.refusal[0], {"error": container.refusal[1]})
                return
            (tensor,) = request["inputs"]
            category, confidence = container.answer(tensor["data"][0])
            outputs = [
                {"name": "predict", "datatype": "BYTES", "shape": [1], "data": [category]},
                {"name": "predict_proba", "datatype": "FP64", "shape": [1, 2], "data": [[confidence, 1 - confidence]]},
            ]
            if confidence < 0.5:
                outputs[1]["data"] = [[confidence, 0.01]]
            version = container.version(key)
            answer = {"model_name": "feedback", "model_version": version, "outputs": outputs}
            self._send(200, answer | {"parameters": {"release_digest": container.digest(version)}})

        def _send(self, status: int, body: dict) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def _grpc_handler(container: FakeContainer) -> grpc.GenericRpcHandler:
    classes = message_classes()

    def infer(request, context):
        key = dict(context.invocation_metadata()).get("x-routing-key", "")
        container.asked.append({"over": "gRPC", "path": request.model_name, "key": key, "request": request})
        if container.refusal:
            context.abort(grpc.StatusCode.NOT_FOUND, container.refusal[1])
        (text,) = request.inputs[0].contents.bytes_contents
        category, confidence = container.answer(text.decode())
        version = container.version(key)
        response = classes["ModelInferResponse"](model_name="feedback", model_version=version)
        response.parameters.add(key="release_digest").value.string_param = container.digest(version)
        label = response.outputs.add(name="predict", datatype="BYTES", shape=[1])
        scores = response.outputs.add(name="predict_proba", datatype="FP64", shape=[1, 2])
        if container.raw:
            encoded = category.encode()
            response.raw_output_contents.append(struct.pack("<I", len(encoded)) + encoded)
            response.raw_output_contents.append(struct.pack("<2d", confidence, 0.01))
        else:
            label.contents.bytes_contents.append(category.encode())
            scores.contents.fp64_contents.extend([confidence, 0.01])
        return response

    call = grpc.unary_unary_rpc_method_handler(
        infer,
        request_deserializer=classes["ModelInferRequest"].FromString,
        response_serializer=classes["ModelInferResponse"].SerializeToString,
    )
    return grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": call})


@contextmanager
def running() -> Iterator[FakeContainer]:
    """A fake that listens on free loopback ports until the block ends."""
    fake = FakeContainer()
    rest = ThreadingHTTPServer(("127.0.0.1", 0), _rest_handler(fake))
    thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    rpc = grpc.server(futures.ThreadPoolExecutor(2), handlers=[_grpc_handler(fake)])
    port = rpc.add_insecure_port("127.0.0.1:0")
    rpc.start()
    fake.rest_url, fake.grpc_target = f"http://127.0.0.1:{rest.server_address[1]}", f"127.0.0.1:{port}"
    yield fake
    rpc.stop(None).wait()
    rest.shutdown()
    rest.server_close()
    thread.join()
