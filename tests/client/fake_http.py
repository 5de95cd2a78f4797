"""The HTTP half of the fake portal: routing, tokens, replays, and faults on demand."""

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

TOKEN = "cs_t1_0123456789abcdef"


@dataclass
class Fault:
    """What happens instead of an answer to requests that match, ``times`` times.

    ``status`` with ``headers`` and ``problem`` is answered; ``cut_after`` bytes of the request's body the connection is
    closed; ``cut_answer`` closes it after so many bytes of the usual answer's body; ``delay`` seconds pass before it.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    problem: dict[str, Any] = field(default_factory=dict)
    cut_after: int | None = None
    cut_answer: int | None = None
    delay: float = 0.0


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(Exception):
    """Raised by a handler to answer with a problem."""

    def __init__(self, status: int, code: str, detail: str, hint: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.problem = {
            "type": f"/docs/errors#{code}",
            "title": code,
            "status": status,
            "detail": detail,
            "code": code,
            "hint": hint,
            "request_id": "req-7",
        }


class Served:
    """A server on a free port of loopback, with what arrived and what shall go wrong. ``routes``: method, path, handler."""

    routes: list[tuple[str, str, Callable[..., Any]]]

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.answered: dict[tuple[str, str], tuple[int, Any, dict[str, str]]] = {}
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, method: str, path: str, **what: Any) -> None:
        self.faults.append(Fault(method, path, **what))

    def calls(self, method: str, pattern: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and re.search(pattern, seen.path)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up early is what some tests are about.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler_for(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            fault = next(
                (
                    item
                    for item in served.faults
                    if item.times and item.method == self.command and re.search(item.path, path)
                ),
                None,
            )
            if fault:
                fault.times -= 1
            length = int(self.headers.get("Content-Length") or 0)
            if fault and fault.cut_after is not None:
                self.rfile.read(min(fault.cut_after, length))
                served.seen.append(Seen(self.command, path, {}, b"(cut)"))
                self.close_connection = True
                self.connection.close()
                return
            body = self.rfile.read(length)
            headers = {key.lower(): value for key, value in self.headers.items()}
            served.seen.append(Seen(self.command, path, headers, body))
            time.sleep(fault.delay if fault else 0)
            status, content, extra = self._answer(fault, path, dict(parse_qsl(parts.query)), headers, body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            kind = {"Content-Type": "application/problem+json" if status >= 400 and data else "application/json"}
            self.send_response(status)
            for key, value in {**kind, "X-Request-Id": "req-7", "Content-Length": str(len(data)), **extra}.items():
                self.send_header(key, value)
            self.end_headers()
            if fault and fault.cut_answer is not None:
                self.wfile.write(data[: fault.cut_answer])
                self.wfile.flush()
                time.sleep(0.01)
                self.close_connection = True
            elif self.command != "HEAD":
                self.wfile.write(data)

        def _answer(
            self, fault: Fault | None, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
        ) -> tuple[int, Any, dict[str, str]]:
            if fault and fault.status is not None:
                return fault.status, (fault.problem or b""), fault.headers
            if path.startswith("/api/") and headers.get("authorization") != f"Bearer {TOKEN}":
                return 401, Answer(401, "token-refused", "the token is unknown or revoked").problem, {}
            key = (path, headers.get("idempotency-key", ""))
            if self.command == "POST" and key in served.answered:
                return served.answered[key]
            for method, pattern, handler in served.routes:
                if method == self.command and (match := re.fullmatch(pattern, path)):
                    try:
                        status, content, *rest = handler(
                            served, **match.groupdict(), query=query, body=body, headers=headers
                        )
                    except Answer as problem:
                        return problem.status, problem.problem, {}
                    if self.command == "POST" and key[1]:
                        # What a repeated request is told: the same, or less where something is told only once.
                        served.answered[key] = (status, rest[1] if len(rest) > 1 else content, {})
                    return status, content, rest[0] if rest else {}
            return 404, Answer(404, "not-found", f"no route {path}").problem, {}

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    return Handler
