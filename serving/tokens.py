"""Bearer tokens: who holds none of those whose hashes are mounted is answered 401. Health stays open, for probes.

    {"desk": "sha256:<of the token>", "batch-2026": "sha256:..."}

Tokens are random and long, so a plain hash keeps them; the names are for people.
"""

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import grpc

from formats import canonical
from formats.shapes import Node, ShapeError
from serving.access import Access
from serving.errors import Refusal, Unauthorized
from serving.logs import Log
from serving.mounted import MountedFile

OPEN = frozenset({b"/v2/health/live", b"/v2/health/ready", b"/ping", b"/health"})
OPEN_CALLS = frozenset(f"/inference.GRPCInferenceService/{name}" for name in ("ServerLive", "ServerReady"))


class Tokens:
    """The tokens that are taken now, from the file at ``path``.

    :raises Refusal: it cannot be read.
    """

    def __init__(self, path: Path, log: Log) -> None:
        self._file = MountedFile(path)
        self._log = log
        self._hashes: tuple[str, ...] = ()
        self._file.changed()
        try:
            self._take()
        except ShapeError as error:
            raise Refusal(f"{path}: {error}") from None

    def look(self) -> None:
        """Read the file if it is another one than last time. One that is refused leaves the tokens as they are."""
        if not self._file.changed():
            return
        try:
            self._take()
        except ShapeError as error:
            self._log.error("tokens refused", file=str(self._file.path), reason=str(error))

    def check(self, authorization: str) -> None:
        """:raises Unauthorized: ``authorization`` is not `Bearer`, a space, and one of the tokens."""
        kind, _, token = authorization.partition(" ")
        given = f"sha256:{sha256(token.strip().encode(errors='replace')).hexdigest()}"
        # Each is compared, in constant time: how long this takes says nothing of the tokens.
        matches = sum([hmac.compare_digest(given, known) for known in self._hashes])
        if kind.lower() != "bearer" or not matches:
            raise Unauthorized("no token that is taken here came; send Authorization: Bearer and one that is")

    def check_request(self, method: str, target: bytes, headers: dict[bytes, bytes]) -> None:
        """:raises Unauthorized: see `check`; to ask for health is for everybody."""
        if method not in ("GET", "HEAD") or target.partition(b"?")[0] not in OPEN:
            self.check(headers.get(b"authorization", b"").decode("latin-1"))

    def _take(self) -> None:
        """:raises ShapeError: not of the form above."""
        try:
            if self._file.text is None:
                raise ShapeError("", "it cannot be read; expected an object with the hash of each token")
            node = Node(canonical.loads(self._file.text))
        except canonical.CanonicalError as error:
            raise ShapeError("", str(error)) from None
        hashes = tuple(item.digest() for item in node.members(()).values())
        if not hashes:
            raise node.fail("no token; expected at least one")
        self._hashes = hashes
        self._log.info("tokens taken", names=sorted(node.value))


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """The same check before every gRPC call."""

    def __init__(self, tokens: Tokens, access: Access) -> None:
        self._tokens = tokens
        self._access = access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        if details.method not in OPEN_CALLS:
            try:
                self._tokens.check(text_metadata(details.invocation_metadata).get("authorization", ""))
            except Unauthorized as error:
                # As if a stream came, so that no message is read before it is refused; a client sees no difference.
                return grpc.stream_unary_rpc_method_handler(self._refuse(error))
        return await continuation(details)

    def _refuse(self, error: Unauthorized) -> Callable[[Any, Any], Awaitable[NoReturn]]:
        async def refuse(_: Any, context: Any) -> NoReturn:
            sent = text_metadata(context.invocation_metadata())
            call = self._access.begin("grpc", sent.get("x-request-id", ""), sent.get("traceparent"))
            self._access.answered(call, error.grpc_code)
            context.set_trailing_metadata(call.metadata)
            await context.abort(grpc.StatusCode[error.grpc_code], str(error))
            raise AssertionError("abort() always raises")

        return refuse


def text_metadata(given: Any) -> dict[str, str]:
    """The metadata of a call that is text; of a name that came twice, the last."""
    return {name: value for name, value in given or () if isinstance(value, str)}
