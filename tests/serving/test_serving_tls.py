"""TLS and tokens from mounted files, over both transports: renewed without a restart, health open to probes."""

import datetime as dt
import hashlib
import ipaddress
import json
import socket
import ssl

import grpc
import pytest
import requests
import serving_image as si
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from serving.errors import Refusal, Unauthorized
from serving.grpc_generated import inference_pb2 as pb
from serving.grpc_generated import inference_pb2_grpc as pb_grpc
from serving.logs import Log
from serving.tls import Tls
from serving.tokens import Tokens

TOKEN, OTHER = "b6f1c2a9" * 8, "77aa01fe" * 8


def hashed(*tokens):
    return json.dumps({f"name-{n}": f"sha256:{hashlib.sha256(t.encode()).hexdigest()}" for n, t in enumerate(tokens)})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def put(path, text):
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def certificate(folder, name="tls"):
    """A self-signed certificate for 127.0.0.1, as `<name>.crt` and `<name>.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    put(folder / f"{name}.crt", pem)
    put(folder / f"{name}.key", private.decode())
    return pem


# --- Tokens


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.json"
    put(path, hashed(TOKEN, OTHER))
    return path


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {OTHER}", f"Bearer  {TOKEN} "])
def test_a_listed_token_is_taken(tokens, given):
    Tokens(tokens, Log("error")).check(given)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer \xff"]
)
def test_anything_else_is_not(tokens, given):
    with pytest.raises(Unauthorized):
        Tokens(tokens, Log("error")).check(given)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"desk": "sha256:abc"}', json.dumps({"desk": TOKEN})])
def test_a_file_of_another_form_is_refused(tokens, text, capsysbinary):
    held = Tokens(tokens, Log("error"))
    put(tokens, text)
    with pytest.raises(Refusal):
        Tokens(tokens, Log("error"))
    held.look()
    held.check(f"Bearer {TOKEN}")
    assert b"tokens refused" in capsysbinary.readouterr().out


def call(running, method, request, token=None, credentials=None):
    metadata = [("authorization", f"Bearer {token}")] if token else None
    channel = grpc.secure_channel(running.grpc, credentials) if credentials else grpc.insecure_channel(running.grpc)
    with channel:
        return getattr(pb_grpc.GRPCInferenceServiceStub(channel), method)(request, metadata=metadata, timeout=20)


def question():
    contents = pb.InferTensorContents(bytes_contents=[b"my card"])
    text = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1], contents=contents)
    return pb.ModelInferRequest(model_name="feedback", inputs=[text])


def test_without_a_token_only_health_answers(small_image, tokens, serve):
    running = serve(small_image, tokens_file=tokens)
    for path in ("/v2/health/live", "/v2/health/ready", "/ping", "/health"):
        assert requests.get(f"{running.rest}{path}", timeout=10).status_code == 200
    for path in ("/v2", "/metrics", "/v2/models/feedback", "/v2/models/feedback/ready"):
        assert requests.get(f"{running.rest}{path}", timeout=10).status_code == 401
    assert requests.post(f"{running.rest}/ping", data=b"x" * 1000, timeout=10).status_code == 401
    refused = running.infer("feedback", si.text_input("my card"))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "send Authorization: Bearer" in refused.json()["error"]
    assert running.infer("feedback", si.text_input("my card"), headers=bearer("wrong")).status_code == 401
    assert running.infer("feedback", si.text_input("my card"), headers=bearer(TOKEN)).status_code == 200

    assert call(running, "ServerReady", pb.ServerReadyRequest()).ready
    for method, request in (("ModelInfer", question()), ("ModelReady", pb.ModelReadyRequest(name="feedback"))):
        for token in (None, "wrong"):
            with pytest.raises(grpc.RpcError) as error:
                call(running, method, request, token)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert dict(error.value.trailing_metadata())["x-request-id"]
    assert call(running, "ModelInfer", question(), TOKEN).model_version == "1"
    assert running.events("tokens without TLS")

    put(tokens, hashed(OTHER))
    si.wait_for(lambda: len(running.events("tokens taken")) == 2, "the new tokens", 10)
    assert running.infer("feedback", si.text_input("my card"), headers=bearer(TOKEN)).status_code == 401
    assert running.infer("feedback", si.text_input("my card"), headers=bearer(OTHER)).status_code == 200


def test_the_body_of_a_refused_upgrade_is_no_request_of_its_own(small_image, tokens, serve):
    """Else whoever is refused could put answers between those of others behind one proxy."""
    running = serve(small_image, tokens_file=tokens).wait_ready()
    hidden = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", running.rest_port), timeout=10) as client:
        client.sendall(head % len(hidden) + hidden)
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answers.count(b"HTTP/1.1 401") == 1
    assert answers.count(b"HTTP/1.1 200") == 1
    assert b'"live"' not in answers


# --- TLS


def said(running, trusted, sent):
    """What a connection answers until it closes."""
    context = ssl.create_default_context(cafile=trusted)
    with (
        socket.create_connection(("127.0.0.1", running.rest_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as link,
    ):
        link.sendall(sent)
        return b"".join(iter(lambda: link.recv(65536), b""))


def test_a_pair_that_does_not_fit_leaves_the_old_one(tmp_path, capsysbinary):
    certificate(tmp_path)
    held = Tls(tmp_path / "tls.crt", tmp_path / "tls.key", Log("error"))
    certificate(tmp_path, "other")
    (tmp_path / "other.key").replace(tmp_path / "tls.key")
    held.look()
    assert b"certificate refused" in capsysbinary.readouterr().out
    with pytest.raises(Refusal, match="are no certificate with its key"):
        Tls(tmp_path / "tls.crt", tmp_path / "tls.key", Log("error"))
    with pytest.raises(Refusal, match="No such file"):
        Tls(tmp_path / "tls.crt", tmp_path / "gone.key", Log("error"))


def test_one_file_alone_is_refused(small_image, tmp_path):
    result = si.run_command(small_image, "serve", *si.PORTS, tls_cert_file=tmp_path / "tls.crt")
    assert "COUNTERSIGN_TLS_CERT_FILE and COUNTERSIGN_TLS_KEY_FILE go together" in result.stderr


def test_both_transports_speak_tls_and_take_a_renewed_certificate(small_image, tmp_path, serve, monkeypatch):
    first = certificate(tmp_path)
    running = serve(small_image, ready=False, tls_cert_file=tmp_path / "tls.crt", tls_key_file=tmp_path / "tls.key")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "tls.crt"))
    plain, running.rest = running.rest, running.rest.replace("http:", "https:")
    running.wait_ready()

    with requests.Session() as session:
        url = f"{running.rest}/v2/models/feedback/infer"
        for size in (1, 20_000):  # the second in several records, each way
            body = {"inputs": si.text_input(*["my card was stolen"] * size)}
            assert len(session.post(url, json=body, timeout=30).json()["outputs"][0]["data"]) == size
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{plain}/v2/health/live", timeout=10)
    head = b"POST /v2/models/feedback/infer HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n"
    assert said(running, tmp_path / "tls.crt", head).startswith(b"HTTP/1.1 413 ")
    assert call(running, "ModelInfer", question(), credentials=grpc.ssl_channel_credentials(first.encode())).id == ""

    second = certificate(tmp_path)
    si.wait_for(lambda: running.events("certificate taken"), "the renewed certificate", 10)
    assert ssl.get_server_certificate(("127.0.0.1", running.rest_port)) == second
    assert requests.get(f"{running.rest}/v2/health/ready", timeout=10).status_code == 200
    assert call(
        running, "ServerLive", pb.ServerLiveRequest(), credentials=grpc.ssl_channel_credentials(second.encode())
    ).live
    running.terminate()
    assert running.process.wait(30) == 0
