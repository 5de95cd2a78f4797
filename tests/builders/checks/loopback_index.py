"""A package index on loopback with wheels made on the spot; it can be told to fail."""

import contextlib
import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field


def wheel(
    name: str, version: str, *, requires: tuple[str, ...] = (), tag: str = "py3-none-any", python: str = ""
) -> tuple[str, bytes]:
    """File name and bytes of a small wheel."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {r}\n" for r in requires
    )
    if python:
        metadata += f"Requires-Python: {python}\n"
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for path, text in (
            (f"{module}/__init__.py", f"TAG = {tag!r}\n"),
            (f"{info}/METADATA", metadata),
            (f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"),
            (f"{info}/RECORD", ""),
        ):
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{module}-{version}-{tag}.whl", sink.getvalue()


@dataclass
class LoopbackIndex:
    """Files by name. ``failures``: status codes answered to the next requests of files; ``cut``: files broken off half-way."""

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    with_sizes: bool = True
    failures: list[int] = field(default_factory=list)
    cut: int = 0
    asked: list[str] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)

    def add(self, name: str, version: str, **options) -> str:
        """Add a wheel; returns the digest of its bytes."""
        filename, data = wheel(name, version, **options)
        self.files[filename] = data
        return self.digest(filename)

    def digest(self, filename: str) -> str:
        return "sha256:" + hashlib.sha256(self.files[filename]).hexdigest()

    def listing(self, project: str) -> bytes:
        found = [
            {
                "filename": filename,
                "url": f"/files/{filename}",
                "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
                **({"size": len(data)} if self.with_sizes else {}),
            }
            for filename, data in self.files.items()
            if filename.startswith(project.replace("-", "_") + "-")
        ]
        return json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": found}).encode() if found else b""


@contextlib.contextmanager
def served(index: LoopbackIndex) -> Iterator[LoopbackIndex]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            _, kind, name, *_ = [*self.path.split("/"), ""]
            index.asked.append(f"{self.command} {self.path}")
            index.credentials.append(self.headers.get("Authorization"))
            if kind == "simple":
                self.answer(index.listing(name), "application/vnd.pypi.simple.v1+json")
            elif index.failures:
                self.send_error(index.failures.pop(0))
            else:
                self.answer(index.files.get(name, b""), "application/octet-stream")

        def answer(self, data: bytes, kind: str) -> None:
            self.send_response(200 if data else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if index.cut and kind == "application/octet-stream":
                index.cut -= 1
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
