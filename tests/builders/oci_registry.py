"""A real OCI registry (Debian's docker-registry) on loopback: open, with a password, or with tokens; plain or over TLS."""

import base64
import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

USER, PASSWORD = "baker", "correct horse"
# bcrypt of PASSWORD: what the registry compares with; making one needs a library that nothing else does.
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n"
_SECOND = dt.timedelta(seconds=1)


@dataclass
class Registry:
    """Where it listens; ``ca`` is the certificate to trust, ``log`` what it said, ``root`` where it keeps blobs."""

    url: str
    root: Path
    log: Path
    ca: str = ""
    tokens_given: list[str] = field(default_factory=list)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def available() -> bool:
    return shutil.which("docker-registry") is not None


@contextlib.contextmanager
def served(folder: Path, *, auth: str = "", tls: bool = False) -> Iterator[Registry]:
    """Run one until left.

    :param auth: empty, ``password`` or ``token``.
    """
    folder.mkdir(parents=True)
    key, certificate = _certificate(folder)
    with contextlib.ExitStack() as stack:
        port = _free_port()
        made = Registry(f"http{'s' if tls else ''}://127.0.0.1:{port}", folder / "data", folder / "registry.log")
        lines = ["version: 0.1", "log: {level: info}", "storage:", "  delete: {enabled: true}"]
        lines += [f"  filesystem: {{rootdirectory: {made.root}}}", "http:", f"  addr: 127.0.0.1:{port}"]
        if tls:
            made.ca = str(certificate)
            lines += ["  tls:", f"    certificate: {certificate}", f"    key: {key}"]
        if auth == "password":
            (folder / "htpasswd").write_text(HTPASSWD)
            lines += [f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}"]
        if auth == "token":
            realm = stack.enter_context(_token_service(key, certificate, made.tokens_given))
            lines += ["auth:", "  token:", f"    realm: {realm}", "    service: registry", "    issuer: test"]
            lines += [f"    rootcertbundle: {certificate}"]
        (folder / "config.yml").write_text("\n".join(lines) + "\n")
        sink = stack.enter_context(made.log.open("ab"))
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=sink, stderr=sink, cwd=folder
        )
        try:
            _wait(process, port, made)
            yield made
        finally:
            process.terminate()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, made: Registry) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None, made.said()
        time.sleep(0.05)
    raise AssertionError(made.said())


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry of a test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - 60 * _SECOND)
        .not_valid_after(now + 3600 * _SECOND)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private, public = folder / "key.pem", folder / "certificate.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return private, public


@contextlib.contextmanager
def _token_service(key: Path, certificate: Path, given: list[str]) -> Iterator[str]:
    """What Harbor and GitLab have beside the registry: a password buys a token for one repository."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(serialization.Encoding.DER)

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def token(scope: str) -> str:
        kind, name, actions = scope.split(":")
        now = int(time.time())
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        claims = {
            "iss": "test",
            "sub": USER,
            "aud": "registry",
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
        }
        body = ".".join(encoded(json.dumps(part).encode()) for part in (header, {**claims, "access": access}))
        r, s = utils.decode_dss_signature(private.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{body}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            right = self.headers.get("Authorization") == expected
            body = json.dumps({"token": token(asked["scope"][0])} if right else {"details": "no"}).encode()
            if right:
                given.append(asked["scope"][0])
            self.send_response(200 if right else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/token"
        finally:
            server.shutdown()
