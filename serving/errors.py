"""Everything a request can fail with, and how each transport says so.

    ServingError
    ├── BadRequest     400 INVALID_ARGUMENT     the request does not fit the protocol or the model's signature
    │   └── RowsRefused                         the model itself refused the values
    ├── Unauthorized   401 UNAUTHENTICATED      no token that is taken here
    ├── NotFound       404 NOT_FOUND            no such route or version
    ├── Forbidden      403 PERMISSION_DENIED    loading and unloading: approval is not bypassed at run time
    ├── WrongMethod    405 UNIMPLEMENTED
    ├── TooSlow        408 DEADLINE_EXCEEDED    the client did not send its request in time
    ├── Revoked        410 FAILED_PRECONDITION  the version was approved, and is not any more
    ├── TooLarge       413 RESOURCE_EXHAUSTED
    ├── BadEncoding    415 INVALID_ARGUMENT     a Content-Encoding that is not known
    ├── BadExpectation 417 INVALID_ARGUMENT
    ├── Busy           429 RESOURCE_EXHAUSTED   as many requests as this server takes at once are under way
    ├── HeadTooLarge   431 RESOURCE_EXHAUSTED
    ├── ModelFailed    500 INTERNAL             a fault of the model, not of the values
    ├── Unavailable    503 UNAVAILABLE          starting, draining, or the model's process ended
    └── ModelTooSlow   504 DEADLINE_EXCEEDED

`Refusal` is not of this tree: it ends the program before it serves.
"""

LONGEST_MESSAGE = 2000


class Refusal(Exception):
    """The server must not run. The message is the one line the operator reads; ``exit_code`` is the program's."""

    exit_code = 1


class AnswersDiffer(Refusal):
    """A model does not answer its sealed rows as they were approved."""

    exit_code = 4


class ServingError(Exception):
    """One request fails. The message goes to the client: what came, what is expected, never a stack."""

    status = 500
    grpc_code = "INTERNAL"
    retry_after: int | None = None  # seconds

    def __init__(self, message: str) -> None:
        # It may quote a name of megabytes, and gRPC's has to fit into a header of 8 KB.
        super().__init__(message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}...")


class BadRequest(ServingError):
    status = 400
    grpc_code = "INVALID_ARGUMENT"


class RowsRefused(BadRequest):
    """The model raised ValueError or TypeError on these rows."""


class Unauthorized(ServingError):
    status = 401
    grpc_code = "UNAUTHENTICATED"


class NotFound(ServingError):
    status = 404
    grpc_code = "NOT_FOUND"


class Forbidden(ServingError):
    status = 403
    grpc_code = "PERMISSION_DENIED"


class WrongMethod(ServingError):
    status = 405
    grpc_code = "UNIMPLEMENTED"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not for this path, {allowed} is")
        self.allowed = allowed


class TooSlow(ServingError):
    status = 408
    grpc_code = "DEADLINE_EXCEEDED"


class Revoked(ServingError):
    status = 410
    grpc_code = "FAILED_PRECONDITION"


class TooLarge(ServingError):
    status = 413
    grpc_code = "RESOURCE_EXHAUSTED"


class BadEncoding(ServingError):
    status = 415
    grpc_code = "INVALID_ARGUMENT"


class BadExpectation(ServingError):
    status = 417
    grpc_code = "INVALID_ARGUMENT"


class Busy(ServingError):
    status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    retry_after = 1


class HeadTooLarge(ServingError):
    status = 431
    grpc_code = "RESOURCE_EXHAUSTED"


class ModelFailed(ServingError):
    """predict raised something that is not about its values."""


class Unavailable(ServingError):
    status = 503
    grpc_code = "UNAVAILABLE"
    retry_after = 1


class ModelTooSlow(ServingError):
    status = 504
    grpc_code = "DEADLINE_EXCEEDED"
