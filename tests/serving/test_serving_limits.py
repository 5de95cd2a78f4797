"""What counts as memory, and what is refused before it is read."""

import asyncio
import zlib

import pytest

from serving import grpc_server
from serving.access import Access
from serving.admission import BODIES, Door
from serving.errors import BadRequest, TooLarge
from serving.grpc_generated import inference_pb2 as pb
from serving.http1 import Http
from serving.http_messages import Response
from serving.logs import Log
from serving.metrics import Metrics
from serving.settings import from_environment


def asked(shape, *values):
    contents = pb.InferTensorContents(int64_contents=values)
    item = pb.ModelInferRequest.InferInputTensor(name="x", datatype="INT64", shape=shape, contents=contents)
    return pb.ModelInferRequest(inputs=[item])


def test_rows_of_a_message_are_counted_before_its_values_are_read():
    assert grpc_server.parse(asked([2], 1, 2), 10).inputs[0].values == [1, 2]
    with pytest.raises(TooLarge, match="11 rows came, at most 10"):
        grpc_server.parse(asked([11], 1), 10)
    with pytest.raises(BadRequest, match=r"3 values came, shape \[1\] holds 1"):
        grpc_server.parse(asked([1], 1, 2, 3), 10)


def test_a_body_counts_with_what_it_unpacks_to():
    """Of the largest bodies so many fit; one more is refused although it came small."""
    settings, log = from_environment({"COUNTERSIGN_MAX_BODY": "100000"}), Log("error")
    door, statuses, hold = Door(settings), asyncio.Queue(), asyncio.Event()

    class Transport:
        def is_closing(self):
            return False

        def write(self, data):
            statuses.put_nowait(bytes(data).partition(b"\r\n")[0])

        def writelines(self, parts):
            self.write(b"".join(parts))

        def close(self):
            pass

    async def wait(_):
        await hold.wait()
        return Response(200, [b"{}"])

    async def scenario():
        http = Http(wait, door, Access(Metrics(), log), settings)
        small = zlib.compress(bytes(100_000))
        head = b"POST / HTTP/1.1\r\ncontent-encoding: deflate\r\ncontent-length: %d\r\n\r\n" % len(small)
        for _ in range(BODIES + 1):
            connection = http.connect()
            connection.connection_made(Transport())
            connection.data_received(head + small)
        assert await statuses.get() == b"HTTP/1.1 429 Too Many Requests"
        hold.set()
        assert {await statuses.get() for _ in range(BODIES)} == {b"HTTP/1.1 200 OK"}
        assert await door.emptied(5)
        await http.close(0)

    asyncio.run(asyncio.wait_for(scenario(), 60))
