"""Trace contexts go through, in both transports; spans go out where a collector is named, and hurt nothing where it is down."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
import serving_image as si

from serving import tracing
from serving.access import Access
from serving.errors import Refusal
from serving.grpc_generated import inference_pb2 as pb
from serving.grpc_generated import inference_pb2_grpc as pb_grpc
from serving.logs import Log
from serving.metrics import Metrics
from serving.tracing import Tracer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01\r\nx: y",
    ],
)
def test_what_is_no_context_is_ignored(text):
    assert tracing.read(text) is None


@pytest.mark.parametrize("text", [SAMPLED, UNSAMPLED])
def test_a_context_passes_through(text):
    assert tracing.read(text).header == text


def test_a_later_version_is_read_as_far_as_it_is_known():
    assert tracing.read(f"01-{TRACE}-{PARENT}-03-more").header == SAMPLED


def calls(tracer, *traceparents):
    access = Access(Metrics(), Log("error"), tracer)
    for traceparent in traceparents:
        call = access.begin("rest", "r-1", traceparent)
        access.answered(call, 200)
        yield call


def test_without_a_collector_nothing_is_made_of_a_request():
    plain, traced = calls(None, None, SAMPLED)
    assert plain.trace is None
    assert traced.trace.span == ""


def test_the_parents_flag_decides_and_else_a_share():
    spans = []
    always, never = Tracer(1.0, spans.append), Tracer(0.0, spans.append)
    sampled, unsampled = calls(never, SAMPLED, UNSAMPLED)
    assert [span["spanId"] for span in spans] == [sampled.trace.span]
    assert sampled.trace.header == f"00-{TRACE}-{sampled.trace.span}-01"
    assert unsampled.trace.header == UNSAMPLED
    assert next(calls(never, None)).trace is None
    root = next(calls(always, None)).trace
    assert (spans[-1]["traceId"], spans[-1]["parentSpanId"]) == (root.id, "")


@pytest.mark.parametrize(
    ("status", "failed"), [(200, False), (429, False), (503, True), ("OK", False), ("INTERNAL", True)]
)
def test_a_fault_of_the_server_is_an_error_and_a_clients_is_none(status, failed):
    spans = []
    access = Access(Metrics(), Log("error"), Tracer(1.0, spans.append))
    access.answered(access.begin("rest", "", None), status)
    assert spans[0]["status"] == ({"code": 2} if failed else {})


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://", "http://collector:port"])
def test_an_endpoint_is_an_address(endpoint):
    with pytest.raises(Refusal, match="expected an address"):
        tracing.exporter(endpoint, "payments/desk")


@contextlib.contextmanager
def collector(status=200):
    """An OTLP receiver: its address, and the requests it took as (path, content type, document)."""
    taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            taken.append((self.path, self.headers["content-type"], json.loads(body)))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", taken
        finally:
            server.shutdown()


def test_a_collector_that_refuses_or_is_away_is_told_of():
    with collector(503) as (endpoint, _), pytest.raises(OSError, match="answered 503"):
        tracing.exporter(endpoint, "payments/desk")([{}])
    with pytest.raises(OSError):
        tracing.exporter(endpoint, "payments/desk")([{}])


def attributes(holder):
    return {item["key"]: next(iter(item["value"].values())) for item in holder["attributes"]}


def infer_grpc(running, traceparent):
    contents = pb.InferTensorContents(bytes_contents=[b"my card"])
    text = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1], contents=contents)
    with grpc.insecure_channel(running.grpc) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        request = pb.ModelInferRequest(model_name="feedback", inputs=[text])
        _, call = stub.ModelInfer.with_call(request, timeout=30, metadata=[("traceparent", traceparent)])
        return dict(call.trailing_metadata())["traceparent"]


def transports(running):
    return {event["transport"] for event in running.events("request") if event.get("trace_id") == TRACE}


def test_answers_and_log_lines_carry_the_context(server):
    answer = server.infer("feedback", si.text_input("my card"), headers={"traceparent": SAMPLED})
    assert answer.headers["traceparent"] == SAMPLED
    assert infer_grpc(server, UNSAMPLED) == UNSAMPLED
    si.wait_for(lambda: transports(server) == {"rest", "grpc"}, "the lines of both")
    assert "traceparent" not in server.infer("feedback", si.text_input("my card")).headers


def test_a_collector_gets_a_span_per_request(small_image, serve):
    with collector() as (endpoint, taken):
        running = serve(small_image, otlp_endpoint=endpoint, trace_share=1)
        answer = running.infer("feedback", si.text_input("my card"), headers={"traceparent": SAMPLED})
        given = infer_grpc(running, SAMPLED)
        assert running.infer("other", si.text_input("my card")).status_code == 404
        running.stop()
    (resources,) = {path for path, kind, _ in taken if kind == "application/json"}
    assert resources == "/v1/traces"
    resource = taken[0][2]["resourceSpans"][0]
    assert attributes(resource["resource"])["service.name"] == "payments/tests"
    spans = [span for _, _, document in taken for span in document["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    rest, over_grpc, unknown = spans
    for span, header, status in (
        (rest, answer.headers["traceparent"], ("http.response.status_code", "200")),
        (over_grpc, given, ("rpc.response.status_code", "OK")),
    ):
        assert f"00-{span['traceId']}-{span['spanId']}-01" == header
        assert (span["traceId"], span["parentSpanId"], span["name"], span["kind"]) == (
            TRACE,
            PARENT,
            "infer feedback",
            2,
        )
        assert 0 < int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) < 60e9
        found = attributes(span)
        assert found[status[0]] == status[1]
        assert found["countersign.version"] == "1"
        assert found["countersign.rows"] == "1"
        assert found["countersign.release_digest"] == small_image.manifest.models[0].release_digest
    assert unknown["traceId"] != TRACE
    assert unknown["name"] == "rest"


def test_a_collector_that_is_away_fails_no_request(small_image, serve):
    with collector() as (endpoint, _):
        pass
    running = serve(small_image, otlp_endpoint=endpoint, trace_share=1)
    assert running.infer("feedback", si.text_input("my card")).status_code == 200
    si.wait_for(lambda: running.events("spans lost"), "the log's line", 20)
    assert running.metric("countersign_outbox_total", what="spans", outcome="lost") >= 1
