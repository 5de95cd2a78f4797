"""The limits of this machine and client: what HTTP and grpcio take when each message is only sent back.

    python echo_server.py REST-PORT GRPC-PORT

REST is uvloop and httptools, as little as a server can do; gRPC is grpcio's asyncio server, whose handler reads nothing.
"""

import asyncio
import sys
from typing import Any

import grpc
import httptools
import uvloop


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def echo(request: bytes, _context: Any) -> bytes:
    return request


async def main(port: int, grpc_port: int) -> None:
    other = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler(
        "inference.GRPCInferenceService", {"ModelInfer": grpc.unary_unary_rpc_method_handler(echo)}
    )
    other.add_generic_rpc_handlers((handler,))
    other.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await other.start()
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
