"""Bytes through the real server: large, cut off, chunked, refused while they are still coming, and a full disk."""

import hashlib
import http.client
import socket
import time

import pytest

from tests.portal.api.api_server import serving

MIB = 1 << 20
LIMIT = 64 * MIB
DISK = 12 * MIB


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with serving(folder, largest_file=DISK, COUNTERSIGN_MAX_UPLOAD_BYTES=str(LIMIT)) as running:
        yield running


@pytest.fixture(scope="module")
def token(server):
    return server.token()


def content(size, seed):
    return hashlib.sha256(str(seed).encode()).digest() * (size // 32)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def connection(server):
    opened = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    yield opened
    opened.close()


def put(connection, token, data, *, digest="", **headers):
    headers = {"Authorization": f"Bearer {token}", "Content-Length": str(len(data)), **headers}
    connection.request("PUT", f"/api/v1/blobs/{digest or digest_of(data)}", body=data, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def head(connection, token, digest):
    connection.request("HEAD", f"/api/v1/blobs/{digest}", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_large_and_small_over_one_connection(server, token, connection):
    for size in (8 * MIB, 0, 32, 8 * MIB - 32):
        data = content(size, size)
        assert put(connection, token, data)[0] == 201
        assert server.world.store.size(digest_of(data)) == size


def test_chunked(server, token, connection):
    data = content(3 * MIB, "chunked")
    pieces = (data[start : start + 100_000] for start in range(0, len(data), 100_000))
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("PUT", f"/api/v1/blobs/{digest_of(data)}", body=pieces, headers=headers, encode_chunked=True)
    assert connection.getresponse().status == 201
    assert server.world.store.size(digest_of(data)) == len(data)


def test_a_chunked_body_cut_off_leaves_nothing(server, token):
    data = content(2 * MIB, "chunked and cut")
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(
            f"PUT /api/v1/blobs/{digest_of(data)} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            f"Transfer-Encoding: chunked\r\n\r\n{len(data):x}\r\n".encode()
        )
        raw.sendall(data)  # and neither its end nor the last chunk
        wait_until(server.incoming)
    wait_until(lambda: not server.incoming())
    assert not server.world.store.has(digest_of(data))


def test_expecting_to_go_on(server, token):
    data = content(2 * MIB, "expect")
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(
            f"PUT /api/v1/blobs/{digest_of(data)} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(data)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 100 Continue")
        raw.sendall(data)
        assert raw.recv(1000).startswith(b"HTTP/1.1 201")


def test_a_client_that_goes_away_leaves_nothing(server, token, connection):
    data = content(8 * MIB, "gone")
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(
            f"PUT /api/v1/blobs/{digest_of(data)} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
        )
        raw.sendall(data[: 5 * MIB])
        wait_until(server.incoming)
    wait_until(lambda: not server.incoming())
    assert not server.world.store.has(digest_of(data))
    assert head(connection, token, digest_of(data)) == 404
    assert put(connection, token, data)[0] == 201


def wait_until(true):
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_full_disk_is_told_and_leaves_nothing(server, token, connection):
    data = content(24 * MIB, "full")
    status, body = put(connection, token, data)
    assert status == 507
    assert b'"code": "storage-full"' in body
    assert server.incoming() == []
    assert not server.world.store.has(digest_of(data))
    assert put(connection, token, content(MIB, "after"))[0] == 201


@pytest.mark.parametrize(
    ("size", "digest", "with_token", "status"),
    [
        (LIMIT + MIB, "", True, 413),
        (8 * MIB, "sha256:" + "0" * 64, True, 422),
        (8 * MIB, "nonsense", True, 422),
        (8 * MIB, "", False, 401),
    ],
)
def test_a_refusal_reaches_who_is_still_sending(connection, token, size, digest, with_token, status):
    data = content(size, "refused")
    try:
        found, _ = put(connection, token if with_token else "", data, digest=digest)
    except (BrokenPipeError, ConnectionResetError):  # it closed on us; what it said before is there to read
        found = connection.getresponse().status
    assert found == status
