"""HTTP/1.1 connections: llhttp parses, this keeps order, limits and deadlines, and hands whole requests to a handler."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import httptools

from serving.access import Access, Call
from serving.admission import Door
from serving.errors import BadExpectation, BadRequest, Busy, HeadTooLarge, ServingError, TooLarge, TooSlow
from serving.http_messages import (
    COMPRESSED_FROM,
    Request,
    Response,
    accepted_encoding,
    compress,
    decompress,
    error_response,
    path_of,
)
from serving.settings import Settings
from serving.tensors import Body, Buffer
from serving.tokens import Tokens

HEAD_LIMIT = 32 * 1024  # bytes of request line and headers; of a trailer; of what frames a chunk
JOINED = 4 * 1024  # bytes of a body that is written with its head: copying them is cheaper than another part
STEP = 4 * 1024  # bytes handed to the parser at once: heads are measured, and requests counted, in between
TURN = 256_000  # bytes read at once after which others have their turn: uvloop's buffer
PIPELINE = 64  # requests of one connection under way before it is no longer read
SLOWEST = 64 * 1024  # bytes a second that a body must make on average
IDLE_SECONDS = 75  # that a connection may stay open between requests
LINGER_SECONDS = 2  # of reading and discarding before a connection with an unread body is closed
SWEEP_SECONDS = 0.5
QUIET_SECONDS = 0.5  # without a new connection before a server that goes away closes its port

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


Handler = Callable[[Request], Awaitable[Response]]


class Exchange:
    """One request and the place of its response in the order of its connection."""

    __slots__ = (
        "admitted",
        "body",
        "call",
        "headers",
        "held",
        "http10",
        "keep_alive",
        "length",
        "method",
        "parts",
        "refusal",
        "target",
        "task",
    )

    def __init__(self) -> None:
        self.call: Call | None = None
        self.method = ""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: Body = b""  # the first piece as it came: small ones come in one
        self.length = 0  # of the body, where the head says it
        self.held = 0  # bytes of body in memory
        self.admitted = False
        self.keep_alive = False
        self.http10 = False
        self.refusal: ServingError | None = None  # told when the body, which is not kept, has passed
        self.task: asyncio.Task[None] | None = None
        self.parts: list[Buffer] | None = None  # the response, once it is known

    def identify(self, access: Access) -> Call:
        if self.call is None:
            given = self.headers.get(b"traceparent")
            traceparent = None if given is None else given.decode("latin-1")
            self.call = access.begin("rest", self.headers.get(b"x-request-id", b"").decode("latin-1"), traceparent)
        return self.call


class Http:
    """What all connections of a server share."""

    def __init__(
        self, handler: Handler, door: Door, access: Access, settings: Settings, tokens: Tokens | None = None
    ) -> None:
        self.handler = handler
        self.tokens = tokens
        self.access = access
        self.door = door
        self.settings = settings
        self.connections: set[Connection] = set()
        self.connected_at = 0.0  # when the newest connection was made
        self.date = b""
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] | None = None
        self._sweep()

    def connect(self) -> "Connection":
        return Connection(self)

    async def settled(self, seconds: float) -> None:
        """Wait, at most so long, until nobody is about to ask: no new connection for a moment, and no request half here."""
        end = self._loop.time() + seconds
        while self._loop.time() < min(end, self.connected_at + QUIET_SECONDS) or (  # noqa: ASYNC110  # once per shutdown
            self._loop.time() < end and any(connection.is_asking for connection in self.connections)
        ):
            await asyncio.sleep(QUIET_SECONDS / 10)

    async def close(self, seconds: float) -> None:
        """Close every connection after what is already written to it, for which its client has ``seconds``."""
        self._timer.cancel()
        if self.connections:
            self._closed = self._loop.create_future()
            for connection in tuple(self.connections):
                connection.close()
            await asyncio.wait((self._closed,), timeout=seconds)

    def forget(self, connection: "Connection") -> None:
        self.connections.discard(connection)
        if self._closed is not None and not self.connections and not self._closed.done():
            self._closed.set_result(None)

    def _sweep(self) -> None:
        """End what is overdue. One timer for all: a timer per request would cost more than the request's parsing."""
        self.date = formatdate(usegmt=True).encode()
        now = self._loop.time()
        for connection in tuple(self.connections):
            connection.check_deadline(now)
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)


class Connection(asyncio.Protocol):
    """One client's connection. The `on_...` methods are called by the parser."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None  # being received
        self._unparsed: bytes | memoryview = b""
        self._around = 0  # bytes since the message, or its last chunk, began that are not of its body
        self._in_head = False
        self._deaf = False  # whatever still comes is discarded
        self._unread = False  # ... and something may come: close only when the client had time to read our answer
        self._writing_paused = False
        self._reading_paused = False
        self._unsent = 0
        self._deadline = self._loop.time() + IDLE_SECONDS

    # --- The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._http.connections.add(self)
        self._http.connected_at = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._http.forget(self)
        self._deaf = True
        for exchange in self._queue:
            if exchange.task is not None:
                exchange.task.cancel()  # no one is left to read the answer
            self._release(exchange)  # here, too: a task that never began has no `finally` to run
        self._queue.clear()

    @property
    def is_asking(self) -> bool:
        """A request of it is being received or answered."""
        return bool(self._queue)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unparsed = bytes(self._unparsed) + data if self._unparsed else data
        self._parse()
        if len(data) >= TURN and not self._reading_paused:
            # A full buffer: libuv would read on at once, up to 32 times, and a large body always has more.
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def _parse(self) -> None:
        """Parse what was read, in steps, until too many requests of this connection are under way."""
        try:
            while self._unparsed and not self._deaf and not self._crowded:
                step = max(STEP, self._missing)
                piece, self._unparsed = self._unparsed, b""
                if len(piece) > step:
                    view = memoryview(piece)
                    piece, self._unparsed = view[:step], view[step:]
                try:
                    self._parser.feed_data(piece)
                except httptools.HttpParserUpgrade as upgrade:
                    self._stay(piece[upgrade.args[0] :])
                    continue
                self._around += len(piece)
                if self._around > HEAD_LIMIT:
                    self._refuse(HeadTooLarge(f"the request's head or trailer is larger than {HEAD_LIMIT} bytes"))
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse(BadRequest(f"malformed HTTP request: {error}"))
        self._regulate()

    def _stay(self, rest: bytes | memoryview) -> None:
        """Go on with HTTP/1.1 where a client offers another protocol (RFC 9110, 7.8): the parser would read no more of this one.

        A new parser is told how the body of the request comes, which the old one took for the other protocol's.
        """
        self._parser = httptools.HttpRequestParser(self)
        exchange = self._current
        if exchange is not None:
            coding = exchange.headers.get(b"transfer-encoding")
            framing = b"content-length: %d" % exchange.length if coding is None else b"transfer-encoding: " + coding
            self._current, self._deaf = None, True  # nothing of it is new
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n\r\n" % framing)
            self._current, self._deaf = exchange, False
        self._unparsed = bytes(rest) + self._unparsed

    @property
    def _missing(self) -> int:
        """Bytes of the body that is being received which are still to come: no head and no other request is among them."""
        exchange = self._current
        return 0 if exchange is None or self._in_head else exchange.length - exchange.held

    @property
    def _crowded(self) -> bool:
        return self._writing_paused or len(self._queue) > PIPELINE

    def eof_received(self) -> bool:
        """The client has sent all it will; it may still wait for answers."""
        self._deaf = True
        self._unread = False
        if self._current is not None:
            self._queue.remove(self._current)
            self._release(self._current)
            self._current = None
        return bool(self._queue) and self._transport.can_write_eof()  # TLS has no half-closed connections

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._deadline = self._loop.time() + self._http.settings.read_seconds
        self._regulate()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._set_deadline()
        self._regulate()

    def close(self) -> None:
        self._deaf = True
        self._transport.close()

    def check_deadline(self, now: float) -> None:
        if now < self._deadline:
            return
        if self._writing_paused:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:  # slow, but it reads
                self._unsent = unsent
                self._deadline = now + self._http.settings.read_seconds
            else:
                self._transport.abort()
        elif self._reading_paused:
            self._deadline = now + self._http.settings.read_seconds  # it is we who do not read
        elif self._current is not None:
            self._refuse(TooSlow("the request did not arrive in time"))
        else:
            self._transport.close()

    # --- The parser

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        self._current = Exchange()
        self._queue.append(self._current)
        self._in_head = True
        self._around = 0
        self._deadline = self._loop.time() + self._http.settings.read_seconds

    def on_url(self, url: bytes) -> None:
        if self._current is not None:
            self._current.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._current is not None and self._in_head:  # a trailer says nothing that was not asked before the body
            self._current.headers[name.lower()] = value

    def on_chunk_header(self) -> None:
        self._around = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        exchange = self._current
        if exchange is None:
            return
        exchange.method = self._parser.get_method().decode()
        if not exchange.target.startswith(b"/"):
            exchange.target = path_of(exchange.target)
        exchange.http10 = self._parser.get_http_version() == "1.0"
        exchange.keep_alive = self._parser.should_keep_alive()
        expectation = exchange.headers.get(b"expect", b"").lower()
        try:
            self._check_head(exchange, expectation)
        except TooLarge as error:
            self._refuse(error)  # at once: the rest of the body is not worth reading
        except ServingError as error:
            if expectation:
                self._refuse(error)  # a client that asked first may never send the body
            else:
                exchange.refusal = error
        else:
            if expectation and not exchange.http10:
                self._ask_for_body(exchange)

    def _check_head(self, exchange: Exchange, expectation: bytes) -> None:
        # First, as where the request ends does not depend on what is wrong with it.
        exchange.length = int(exchange.headers.get(b"content-length", b"0"))
        if self._http.tokens is not None:
            self._http.tokens.check_request(exchange.method, exchange.target, exchange.headers)
        limit = self._http.settings.max_body
        if exchange.length > limit:
            raise TooLarge(f"the body has {exchange.length} bytes, at most {limit} are taken")
        if expectation not in (b"", b"100-continue"):
            raise BadExpectation("the expectation is unknown, expected 100-continue")
        if exchange.method == "POST":
            self._http.door.enter()
            exchange.admitted = True

    def on_body(self, body: bytes) -> None:
        exchange = self._current
        if exchange is None:
            return
        self._around -= len(body)
        # Time for what came, but never more silence than the limit: else a fast beginning would buy a long one.
        limit = self._loop.time() + self._http.settings.read_seconds
        self._deadline = max(self._deadline, min(self._deadline + len(body) / SLOWEST, limit))
        try:
            if exchange.held + len(body) > self._http.settings.max_body:
                raise TooLarge(f"the body is larger than {self._http.settings.max_body} bytes, the most that are taken")
            if exchange.admitted:
                self._http.door.hold(len(body))
                if not exchange.body:
                    exchange.body = body
                else:
                    if isinstance(exchange.body, bytes):
                        exchange.body = bytearray(exchange.body)
                    exchange.body += body
            exchange.held += len(body)
        except (TooLarge, Busy) as error:
            self._refuse(error)

    def on_message_complete(self) -> None:
        exchange = self._current
        if exchange is None:
            return
        if self._parser.should_upgrade() and (exchange.length or b"transfer-encoding" in exchange.headers):
            return  # its body is still to come, see _stay
        self._current = None
        if not exchange.keep_alive or exchange.method == "CONNECT":
            self._deaf = True
        if exchange.refusal is None:
            self._set_deadline()
            exchange.task = self._loop.create_task(self._answer(exchange))
        else:
            self._finish(exchange, error_response(exchange.refusal))

    # --- Answers

    async def _answer(self, exchange: Exchange) -> None:
        try:
            body, exchange.body = exchange.body, b""
            encoding = exchange.headers.get(b"content-encoding", b"identity").lower()
            if encoding != b"identity":  # in a thread: a small body may become a large one
                body = await asyncio.to_thread(decompress, body, encoding, self._http.settings.max_body)
                self._hold(exchange, len(body) - exchange.held)
            target = exchange.target.decode("latin-1")
            request = Request(exchange.method, target, exchange.headers, body, exchange.identify(self._http.access))
            response = await self._http.handler(request)
            if (given := exchange.headers.get(b"accept-encoding")) and response.size >= COMPRESSED_FROM:
                accepted = accepted_encoding(given)
                if accepted:
                    response = await asyncio.to_thread(compress, response, accepted)
        except ServingError as error:
            response = error_response(error)
        except Exception as error:  # noqa: BLE001  # a fault of ours is one request's 500, not the connection's end
            self._loop.call_exception_handler({"message": "request failed", "exception": error})
            response = error_response(ServingError("internal error; the server's log has the details"))
        finally:
            self._release(exchange)
        self._finish(exchange, response)

    def _hold(self, exchange: Exchange, more: int) -> None:
        """Account for what a body grew by when it was unpacked.

        :raises Busy: the bodies of all requests together are too large.
        """
        if exchange.admitted and more > 0:
            self._http.door.hold(more)
            exchange.held += more

    def _refuse(self, error: ServingError) -> None:
        """Answer what is being received with ``error``, after the answers before it, and end the connection."""
        exchange = self._current
        if exchange is None:
            exchange = Exchange()
            self._queue.append(exchange)
        self._current = None
        self._in_head = False
        self._deaf = True
        self._unread = True
        exchange.keep_alive = False
        self._release(exchange)
        self._finish(exchange, error_response(error))

    def _ask_for_body(self, exchange: Exchange) -> None:
        """Send `100 Continue` when its turn comes, as if it were a response of its own before the exchange's."""
        turn = Exchange()
        turn.keep_alive = True
        turn.parts = [_CONTINUE]
        self._queue.pop()
        self._queue.append(turn)
        self._queue.append(exchange)
        self._flush()

    def _finish(self, exchange: Exchange, response: Response) -> None:
        call = exchange.identify(self._http.access)
        if exchange.method not in ("GET", "HEAD"):  # probes and scrapes come all day and say nothing
            self._http.access.answered(call, response.status)
        size = response.size
        about = (size, self._http.date, call.id.encode())
        head = b"content-length: %d\r\ndate: %s\r\nx-request-id: %s\r\n" % about + response.head
        if call.trace is not None:
            head += b"traceparent: %s\r\n" % call.trace.header.encode()
        if self._http.door.draining and len(self._queue) == 1 and self._current is None:
            exchange.keep_alive = False  # the last answer of this connection
        if not exchange.keep_alive:
            head += b"connection: close\r\n"
        elif exchange.http10:
            head += b"connection: keep-alive\r\n"
        body = () if exchange.method == "HEAD" else response.body
        head = b"%s%s\r\n" % (_STATUS_LINES[response.status], head)
        if size <= JOINED:
            exchange.parts = [b"".join((head, *body))]
        else:
            exchange.parts = [head, *body]
        self._flush()

    def _flush(self) -> None:
        """Write the responses that are known, in the order of their requests."""
        if self._transport.is_closing():
            return
        while self._queue and self._queue[0].parts is not None:
            exchange = self._queue.popleft()
            assert exchange.parts is not None
            if len(exchange.parts) == 1:
                self._transport.write(exchange.parts[0])
            else:
                self._transport.writelines(exchange.parts)
            if not exchange.keep_alive:
                self._deaf = True
                self._end()
                return
        if self._deaf and not self._queue:
            self._end()
            return
        self._set_deadline()
        self._regulate()

    def _end(self) -> None:
        if self._unread:
            # Closing now would reset the connection, and the client might lose our answer with it.
            if self._transport.can_write_eof():
                self._transport.write_eof()
            self._deadline = self._loop.time() + LINGER_SECONDS
            self._current = None
        else:
            self._transport.close()

    def _release(self, exchange: Exchange) -> None:
        if exchange.admitted:
            exchange.admitted = False
            self._http.door.leave(exchange.held)
        exchange.body = b""

    def _set_deadline(self) -> None:
        if self._current is None and not self._writing_paused:
            # While answers are being made, the model's own limit holds.
            self._deadline = math.inf if self._queue else self._loop.time() + IDLE_SECONDS

    def _regulate(self) -> None:
        """Stop reading from a client that does not read, or that sends faster than it is answered."""
        if self._deaf:
            self._unparsed = b""
        crowded = self._crowded
        if self._unparsed and not crowded:
            self._loop.call_soon(self._parse)  # not at once: other connections have their turn
        pause = crowded or bool(self._unparsed)
        if pause != self._reading_paused and not self._transport.is_closing():
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
