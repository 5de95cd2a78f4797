"""Requests and responses, apart from how a connection carries them."""

import functools
import zlib
from dataclasses import dataclass

import orjson

from serving.access import Call
from serving.errors import BadEncoding, BadRequest, ServingError, TooLarge, Unauthorized, WrongMethod
from serving.tensors import Body, Buffer

JSON = b"application/json"
JSON_HEAD = b"content-type: %s\r\n" % JSON
COMPRESSED_FROM = 1024  # bytes of a body: below, its headers weigh as much


@dataclass(slots=True)  # not frozen, as a Tensor
class Request:
    """A whole request. ``target`` is the path with its query, still percent-encoded; header names are lower case."""

    method: str
    target: str
    headers: dict[bytes, bytes]
    body: Body
    call: Call


@dataclass(slots=True)
class Response:
    """``head`` has the lines of its headers, besides the length, the date and the request id."""

    status: int
    body: list[Buffer]
    head: bytes = JSON_HEAD

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.body))


def path_of(target: bytes) -> bytes:
    """The path and query of a whole URL, which a client may send as if to a proxy (RFC 9112, 3.2.2)."""
    scheme, _, rest = target.partition(b"://")
    if scheme.lower() not in (b"http", b"https"):
        return target
    return b"/" + rest.partition(b"/")[2]


def error_response(error: ServingError) -> Response:
    """``error`` as the protocol shows it."""
    head = JSON_HEAD
    if isinstance(error, WrongMethod):
        head += b"allow: %s\r\n" % error.allowed.encode()
    if isinstance(error, Unauthorized):
        head += b"www-authenticate: Bearer\r\n"
    if error.retry_after is not None:
        head += b"retry-after: %d\r\n" % error.retry_after
    return Response(error.status, [orjson.dumps({"error": str(error)})], head)


def decompress(body: Body, encoding: bytes, limit: int) -> bytes:
    """Undo a Content-Encoding, never making more than ``limit`` bytes.

    :raises BadEncoding: neither gzip nor deflate.
    :raises BadRequest: ``body`` is not what the encoding says, or ends early.
    :raises TooLarge: it holds more than ``limit`` bytes.
    """
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise BadEncoding(
            f"Content-Encoding {encoding.decode('latin-1')!r} is unknown; gzip, deflate and identity are taken"
        )
    # zlib's own header for deflate, as the standard says; some clients send the bare stream.
    bare = encoding == b"deflate" and (len(body) < 2 or body[0] & 15 != 8 or (body[0] << 8 | body[1]) % 31)
    stream = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest(f"the body is not {encoding.decode()}, as its Content-Encoding says") from None
    if len(data) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes once decompressed, the most that are taken")
    if not stream.eof or stream.unused_data:
        raise BadRequest(f"the {encoding.decode()} body ends early or holds more than one stream")
    return data


@functools.lru_cache(64)  # clients send the same few
def accepted_encoding(header: bytes) -> bytes | None:
    """The first of gzip and deflate that an Accept-Encoding takes; None when it takes neither."""
    for item in header.lower().split(b","):
        name, _, weight = item.partition(b";")
        refused = weight.strip().startswith(b"q=0") and not weight.strip().removeprefix(b"q=").strip(b"0.")
        if name.strip() in (b"gzip", b"deflate") and not refused:
            return name.strip()
    return None


def compress(response: Response, encoding: bytes) -> Response:
    """``response`` under a Content-Encoding, at the level that costs least: numbers hardly shrink at any."""
    stream = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16 if encoding == b"gzip" else zlib.MAX_WBITS)
    body = b"".join([*(stream.compress(part) for part in response.body), stream.flush()])
    head = response.head + b"content-encoding: %s\r\nvary: accept-encoding\r\n" % encoding
    return Response(response.status, [body], head)
