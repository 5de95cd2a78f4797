"""The live page: type feedback, see the team, the version that answered and how long it took.

`python live.py --rest URL --model feedback` serves it on loopback and prints its address. The container is asked from here,
so the browser talks to this page only. It works without JavaScript; with it, answers appear in place.
"""

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from functools import cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from types import FrameType
from typing import Any
from urllib.parse import parse_qs

import page
from corpus import generate
from inference import Asker, InferenceError, RestAsker
from routing import UnknownCategoryError, route
from visitors import Routed, Visitor, Visitors

COOKIE = "voice_visitor"
LARGEST_FORM = 64 * 1024  # bytes: 8,000 characters, each up to twelve bytes when percent-encoded
LARGEST_DRAINED = 16 * LARGEST_FORM  # bytes read of a larger one, so that its sender hears the refusal
EXAMPLES_SHOWN = 6
EXAMPLE_PAGES = 8
LARGEST_STREAM = 50
LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
FILES = {"/live.css": "text/css", "/live.js": "text/javascript", "/icon.svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": browsers then send `Origin: null` with our own forms, which looks like somebody else's.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RefusedError(Exception):
    """A request this page does not serve: the status and one sentence."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


@cache
def example_messages() -> list[str]:
    """Short messages from the grammar to pick from, all different."""
    short = (m.text for m in generate("october", 400, seed=11) if m.channel != "mail" and len(m.text) < 110)
    return list(dict.fromkeys(short))[: EXAMPLES_SHOWN * EXAMPLE_PAGES]


class LiveServer(ThreadingHTTPServer):
    """Serves the page on loopback and asks the container through ``asker``."""

    daemon_threads = True

    def __init__(self, asker: Asker, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.asker = asker
        self.visitors = Visitors()
        self._customers = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is not an error of ours."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def route(self, text: str, routing_key: str) -> Routed:
        """:raises InferenceError, UnknownCategoryError: no usable answer."""
        answer = self.asker.ask(text, routing_key)
        return Routed(text, answer, route(answer.category, answer.confidence))

    def next_customer(self) -> tuple[str, str]:
        """The message of another customer, and a routing key of their own."""
        messages = example_messages()
        self._customers += 1
        return messages[self._customers % len(messages)], token_hex(16)


class Handler(BaseHTTPRequestHandler):
    """Four acts: show the page, ask, stream other customers' messages, become another visitor."""

    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds a connection may idle
    wbufsize = -1  # head and body in one packet: two would wait 40 ms for each other
    server: LiveServer

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def version_string(self) -> str:
        return "the-voice"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it
        """No access log: what customers write stays out of terminals."""

    def _answer(self, act: Any) -> None:
        try:
            act()
        except RefusedError as refusal:
            self.close_connection = True  # a body that was not read would be taken for the next request
            self._send(refusal.status, f"{refusal}\n".encode(), "text/plain")

    def _check_host(self) -> None:
        """Only pages of this machine: a foreign name that resolves to loopback is somebody else's page asking."""
        host = self.headers.get("Host", "")
        if not LOOPBACK.fullmatch(host):
            raise RefusedError(
                HTTPStatus.MISDIRECTED_REQUEST, f"this page is served on loopback only; open {self.server.url}"
            )
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise RefusedError(
                HTTPStatus.FORBIDDEN, "this form was sent by another page; open this page and send it from there"
            )

    def _get(self) -> None:
        self._check_host()
        path, _, query = self.path.partition("?")
        if path in FILES:
            body = (page.FOLDER / path.removeprefix("/")).read_bytes()
            self._send(HTTPStatus.OK, body, FILES[path])
            return
        if path != "/":
            raise RefusedError(HTTPStatus.NOT_FOUND, f"there is nothing at {path}; the page is at /")
        self._page(self._visitor(), examples_page=_whole(_fields(query).get("examples", ["0"])[0]) or 0)

    def _post(self) -> None:
        path, form = (
            self.path,
            self._form(),
        )  # read first: a body left unread resets the connection, and the answer is lost
        self._check_host()
        visitor = self._visitor()
        if path == "/ask":
            self._ask(visitor, form.get("text", [""])[0])
        elif path == "/stream":
            self._stream(visitor, form.get("count", ["1"])[0])
        elif path == "/visitor":
            self._page(self.server.visitors.greet(None))
        else:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"there is nothing to send to at {path}; the form is at /")

    def _ask(self, visitor: Visitor, typed: str) -> None:
        text = typed.replace("\r\n", "\n").strip()
        if not text:
            self._page(
                visitor, HTTPStatus.UNPROCESSABLE_ENTITY, fault="The message is empty. Write what the customer wrote."
            )
            return
        if len(text) > page.LONGEST:
            fault = f"The message has {len(text):,} characters; {page.LONGEST:,} are allowed. Shorten it."
            self._page(visitor, HTTPStatus.UNPROCESSABLE_ENTITY, text=text, fault=fault)
            return
        try:
            routed = self.server.route(text, visitor.key)
        except (InferenceError, UnknownCategoryError) as error:
            self._page(visitor, HTTPStatus.BAD_GATEWAY, text=text, fault=_sentence(error))
            return
        self.server.visitors.record(visitor, [routed])
        self._page(visitor, text=text, latest=routed)

    def _stream(self, visitor: Visitor, wanted: str) -> None:
        count = _whole(wanted)
        if count is None or not 1 <= count <= LARGEST_STREAM:
            raise RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, f"count is {wanted[:20]!r}; send 1 to {LARGEST_STREAM}")
        routed: list[Routed] = []
        fault = ""
        for _ in range(count):
            try:
                routed.append(self.server.route(*self.server.next_customer()))
            except (InferenceError, UnknownCategoryError) as error:
                fault = _sentence(error)
                break
        self.server.visitors.record(visitor, routed)
        latest = routed[-1] if routed else None
        self._page(visitor, HTTPStatus.BAD_GATEWAY if fault else HTTPStatus.OK, latest=latest, fault=fault)

    def _form(self) -> dict[str, list[str]]:
        length = _whole(self.headers.get("Content-Length", ""))
        if length is None:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the form came without its length; send it from the page")
        if length > LARGEST_FORM:
            self.rfile.read(min(length, LARGEST_DRAINED))
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the form has {length} bytes; {LARGEST_FORM} are allowed"
            )
        return _fields(self.rfile.read(length).decode("utf-8", "replace"))

    def _visitor(self) -> Visitor:
        try:
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            morsel = None
        return self.server.visitors.greet(morsel.value if morsel else None)

    def _page(
        self,
        visitor: Visitor,
        status: HTTPStatus = HTTPStatus.OK,
        *,
        text: str = "",
        latest: Routed | None = None,
        fault: str = "",
        examples_page: int = 0,
    ) -> None:
        shown = examples_page % EXAMPLE_PAGES
        html = page.render(
            text=text,
            latest=latest,
            fault=fault,
            history=self.server.visitors.history(visitor),
            versions=self.server.visitors.versions(),
            visitor=visitor.key,
            examples=example_messages()[shown * EXAMPLES_SHOWN :][:EXAMPLES_SHOWN],
            examples_page=shown,
        )
        cookie = f"{COOKIE}={visitor.key}; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict"
        self._send(status, html.encode("utf-8", "replace"), "text/html", {"Set-Cookie": cookie})

    def _send(self, status: HTTPStatus, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _whole(text: str) -> int | None:
    """A whole number of up to nine ASCII digits; None for everything else."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _fields(encoded: str) -> dict[str, list[str]]:
    try:
        return parse_qs(encoded, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "there are more fields than this page has") from None


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Serve the live page of The Voice on loopback.")
    parser.add_argument("--rest", required=True, metavar="URL", help="of the container's REST port")
    parser.add_argument("--model", default="feedback", metavar="ROUTE", help="the route to ask (default: feedback)")
    parser.add_argument("--port", type=int, default=0, help="to listen on (default: any free one)")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _stop)
    try:
        with RestAsker(args.rest, args.model) as asker, LiveServer(asker, args.port) as server:
            print(server.url, flush=True)
            server.serve_forever()
    except InferenceError as error:
        print(f"live: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"live: cannot listen on port {args.port}: {error.strerror}; choose another with --port", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
