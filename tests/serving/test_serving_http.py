"""HTTP/1.1 as it comes over a socket: order, chunks, expectations, limits, and clients that misbehave."""

import asyncio
import json
import socket
import struct
import time

import pytest
import serving_image as si

from serving.access import Access
from serving.admission import Door
from serving.http1 import TURN, Http
from serving.logs import Log
from serving.metrics import Metrics
from serving.settings import from_environment


@pytest.fixture
def connect(server):
    """Open raw connections to the server."""
    opened = []

    def open_one(running=server):
        opened.append(Client(running.rest_port))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture(scope="module")
def strict(trained, tmp_path_factory):
    """A server with small limits."""
    folder = tmp_path_factory.mktemp("strict")
    image = si.build(
        folder / "image", {"payments/voice:1": trained["voice-1"]}, {"feedback": {"payments/voice:1": 100}}
    )
    running = si.Running(image, folder / "server.log", read_seconds=1, max_body=2000, log_level="warning")
    try:
        yield running.wait_ready()
    finally:
        running.stop()


class Client:
    """A connection that says exactly what it is told."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = self._socket.makefile("rb")

    def send(self, data):
        self._socket.sendall(data)

    def flood(self, data):
        """Send without an end and without reading an answer."""
        while True:
            self._socket.sendall(data * 100)

    def timeout(self, seconds):
        self._socket.settimeout(seconds)

    def reset(self):
        """Close so that the server sees an error instead of an end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def end(self):
        self._socket.shutdown(socket.SHUT_WR)

    def read(self):
        """The next response: status, headers, body."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, self._file.read(int(headers.get("content-length", 0)))

    def closed(self):
        return self._file.read(1) == b""

    def close(self):
        self._file.close()
        self._socket.close()


def infer(text="lost card", *headers, route="feedback", identifier="x"):
    body = json.dumps({"id": identifier, "inputs": si.text_input(text)}).encode()
    head = [f"POST /v2/models/{route}/infer HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def test_a_connection_stays_open(connect):
    client = connect()
    for number in range(3):
        client.send(infer(identifier=str(number)))
        status, headers, body = client.read()
        assert (status, json.loads(body)["id"]) == (200, str(number))
        assert "connection" not in headers
        assert headers["date"].endswith("GMT")


def test_pipelined_answers_come_in_the_order_of_their_requests(connect):
    client = connect()
    bad = infer(route="nothing", identifier="bad")
    client.send(
        b"".join(
            [*(infer(identifier=str(n)) for n in range(20)), bad, b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"]
        )
    )
    for number in range(20):
        status, _, body = client.read()
        assert (status, json.loads(body)["id"]) == (200, str(number))
    assert client.read()[0] == 404
    assert json.loads(client.read()[2]) == {"live": True}


def test_more_pipelined_requests_than_are_read_at_once(connect):
    client = connect()
    client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
    assert [client.read()[0] for _ in range(500)] == [200] * 500


def test_a_request_may_come_byte_by_byte(connect):
    client = connect()
    for byte in infer(identifier="slow"):
        client.send(bytes([byte]))
    assert json.loads(client.read()[2])["id"] == "slow"


def test_chunked_bodies(connect):
    client = connect()
    body = json.dumps({"inputs": si.text_input("lost card")}).encode()
    client.send(b"POST /v2/models/feedback/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(body), 7):
        piece = body[start : start + 7]
        client.send(b"%x;note=1\r\n%s\r\n" % (len(piece), piece))
    client.send(b"0\r\nTrailer: 1\r\n\r\n" + infer(identifier="next"))
    assert client.read()[0] == 200
    assert json.loads(client.read()[2])["id"] == "next"


def test_expect_100_continue(connect):
    client = connect()
    head, _, body = infer("lost card", "Expect: 100-continue").partition(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert client.read()[0] == 100
    client.send(body)
    assert client.read()[0] == 200
    client.send(infer("lost card", "Expect: tea"))
    assert client.read()[0] == 417
    assert client.closed()


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(connect, strict):
    client = connect(strict)
    client.send(
        b"POST /v2/models/feedback/infer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2001\r\n\r\n"
    )
    status, headers, body = client.read()
    assert status == 413
    assert headers["connection"] == "close"
    assert json.loads(body) == {"error": "the body has 2001 bytes, at most 2000 are taken"}


def test_a_chunked_body_that_grows_too_large_is_refused_while_it_is_sent(connect, strict):
    client = connect(strict)
    client.send(b"POST /v2/models/feedback/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"3e8\r\n%s\r\n" % (b" " * 1000) * 3)
    assert client.read()[0] == 413
    client.send(b"3e8\r\n%s\r\n" % (b" " * 1000))  # still sending: the answer is not lost to a reset
    client.end()
    assert client.closed()


def test_a_head_that_is_too_large_is_refused(connect):
    client = connect()
    client.send(b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 60_000)
    status, _, body = client.read()
    assert status == 431
    assert "32768 bytes" in json.loads(body)["error"]
    client = connect()
    client.send(b"GET /" + b"a" * 60_000)
    assert client.read()[0] == 431


def test_a_request_that_does_not_arrive_is_ended_with_408(connect, strict):
    started = time.monotonic()
    half_head, half_body = connect(strict), connect(strict)
    half_head.send(b"GET /v2 HTTP/1.1\r\nHo")
    half_body.send(b"POST /v2/models/feedback/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    for client in (half_head, half_body):
        assert client.read()[0] == 408
        client.end()
        assert client.closed()
    assert time.monotonic() - started < 30
    assert strict.metric("countersign_active_requests") == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00",  # a TLS greeting
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET /v2 HTTP/1.1\r\nBad Header: 1\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
    ],
)
def test_malformed_requests_get_400_and_the_connection_ends(connect, data):
    client = connect()
    client.send(data)
    status, headers, body = client.read()
    assert status == 400
    assert headers["connection"] == "close"
    assert "malformed HTTP request" in json.loads(body)["error"]
    client.end()
    assert client.closed()


def test_an_answer_before_the_malformed_request_is_not_lost(connect):
    client = connect()
    client.send(infer(identifier="good") + b"\x00\x00\r\n\r\n")
    assert json.loads(client.read()[2])["id"] == "good"
    assert client.read()[0] == 400


def test_connection_close_and_http_1_0(connect):
    client = connect()
    client.send(infer("lost card", "Connection: close") + infer())
    assert client.read()[1]["connection"] == "close"
    assert client.closed()
    client = connect()
    client.send(b"GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert client.read()[1]["connection"] == "keep-alive"
    assert client.read()[0] == 200
    client.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    assert client.read()[0] == 200
    assert client.closed()


def test_a_client_that_has_sent_all_still_gets_its_answer(connect):
    client = connect()
    client.send(infer(identifier="last"))
    client.end()
    assert json.loads(client.read()[2])["id"] == "last"
    assert client.closed()


def test_a_client_that_leaves_in_the_middle_holds_no_place(connect, server):
    for data in (infer()[:-5], infer(), b"POST /v2/models/feedback/infer HTTP/1.1\r\nContent-Length: 9\r\n\r\n"):
        client = connect()
        client.send(data)
        client.close()
    si.wait_for(lambda: server.metric("countersign_active_requests") == 0, "all places to be free")


def test_a_client_that_resets_at_once_holds_no_place(connect, server):
    for _ in range(50):
        client = connect()
        client.send(infer())
        client.reset()
    si.wait_for(lambda: server.metric("countersign_active_requests") == 0, "all places to be free")


def test_an_upgrade_is_declined_and_the_request_answered(connect):
    client = connect()
    client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert client.read()[0] == 200
    client.send(infer(identifier="next"))
    assert json.loads(client.read()[2])["id"] == "next"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_an_upgrade_offered_with_a_body_is_declined_too(connect, chunked, at_once):
    """As Java's HttpClient and `curl --http2` ask."""
    client = connect()
    offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
    request = infer("lost card", *offer, identifier="1")
    if chunked:
        head, _, body = request.partition(b"\r\n\r\n")
        head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
        request = head + b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for piece in [request] if at_once else request.partition(b"\r\n\r\n"):
        client.send(piece)
        time.sleep(0.05)
    client.send(infer(identifier="2"))
    assert [json.loads(client.read()[2])["id"] for _ in range(2)] == ["1", "2"]


def chunked(*pieces):
    head = b"POST /v2/models/feedback/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def test_a_trailer_changes_nothing_of_the_request(connect):
    client = connect()
    body = json.dumps({"inputs": si.text_input("lost card")}).encode()
    client.send(chunked(body) + b"0\r\nContent-Encoding: br\r\n\r\n")
    assert client.read()[0] == 200


@pytest.mark.parametrize(
    "around",
    [b"0\r\n" + b"t: %s\r\n" % (b"v" * 4000) * 9, b"0\r\nt: " + b"v" * 40_000, b"1;" + b"e" * 40_000],
    ids=["many trailers", "a long trailer", "a long extension"],
)
def test_what_is_around_a_body_is_limited_as_its_head_is(connect, around):
    client = connect()
    client.send(chunked(b"{") + around)
    status, _, body = client.read()
    assert (status, "larger than 32768 bytes" in body.decode()) == (431, True)


def test_many_small_chunks_are_no_head(connect):
    client = connect()
    body = json.dumps({"inputs": si.text_input("card " * 8000)}).encode()
    client.send(chunked(*[body[start : start + 3] for start in range(0, len(body), 3)]) + b"0\r\n\r\n")
    assert client.read()[0] == 200


@pytest.mark.parametrize("path", ["/nope", "/V2/models/feedback/infer", "/v2/repository/nope"])
def test_what_is_no_path_is_none_for_any_method(connect, path):
    client = connect()
    for method in ("POST", "GET", "DELETE"):
        client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert client.read()[0] == 404


def test_a_whole_url_is_its_path(connect):
    client = connect()
    for target, status in (
        ("http://other:1/v2/health/live", 200),
        ("HTTPS://x/v2/models/feedback?y=http://z/", 200),
        ("http://x", 404),
        ("ftp://x/v2/health/live", 404),
    ):
        client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.read()[0] == status, target


def test_a_client_that_does_not_read_is_not_served_on_and_on(connect, strict):
    client = connect(strict)
    client.timeout(0.5)
    with pytest.raises(TimeoutError):  # the server has stopped reading
        client.flood(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert strict.is_ready()
    client.timeout(20)
    with pytest.raises(ConnectionError):  # and after a while it has hung up
        client.flood(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")


def test_a_quiet_log_has_no_line_per_request(connect, strict):
    client = connect(strict)
    client.send(infer() + infer(route="nothing"))
    assert [client.read()[0], client.read()[0]] == [200, 404]
    assert strict.log_path.read_text() == ""


def test_requests_that_cross_a_buffer_keep_their_borders(connect):
    client = connect()
    texts = ["lost card " * (10 + number * 37 % 900) for number in range(40)]
    client.send(b"".join(infer(text, identifier=str(number)) for number, text in enumerate(texts)))
    assert [json.loads(client.read()[2])["id"] for _ in texts] == [str(number) for number in range(40)]


class Turns(asyncio.Transport):
    """A transport that notes when it is told to read no more, and to read on."""

    def __init__(self):
        super().__init__()
        self.told = []

    def is_closing(self):
        return False

    def pause_reading(self):
        self.told.append("stop")

    def resume_reading(self):
        self.told.append("go on")

    def close(self):
        self.told.append("close")


def connected():
    """A connection without a socket."""
    settings, log = from_environment({}), Log("error")
    http = Http(None, Door(settings), Access(Metrics(), log), settings)
    connection, transport = http.connect(), Turns()
    connection.connection_made(transport)
    return http, connection, transport


def test_a_fast_beginning_buys_no_long_silence():
    async def read():
        http, connection, _ = connected()
        connection.data_received(b"POST /v2 HTTP/1.1\r\ncontent-length: 20000000\r\n\r\n")
        for _ in range(160):
            connection.data_received(bytes(100_000))
        left = connection._deadline - asyncio.get_running_loop().time()
        assert 0 < left <= http.settings.read_seconds
        await http.close(0)

    asyncio.run(read())


def test_others_have_their_turn_between_two_reads_of_a_large_body():
    async def read():
        http, connection, transport = connected()
        connection.data_received(b"POST /v2 HTTP/1.1\r\ncontent-length: 1000000\r\n\r\n")
        assert transport.told == []
        connection.data_received(bytes(TURN))
        assert transport.told == ["stop"], "libuv would read on while more is there"
        await asyncio.sleep(0)
        assert transport.told == ["stop", "go on"]
        await http.close(0)

    asyncio.run(read())
