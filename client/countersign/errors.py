"""What can go wrong: one exception per thing a caller can act on, each with its exit code.

::

    CountersignError               1   anything else the server or this client refuses
    |-- Unusable                   2   a setting, file or argument cannot be used as it is
    |-- NotFound                   3
    |-- NotSignedIn                4
    |-- Forbidden                  5
    |   `-- NotApproved            5   a pull of a version nobody approved
    |-- Conflict                   6
    |   `-- Stale                  6   it changed since you looked
    |-- Trouble                    7   network or server; trying again may help
    |-- StillPending               8   --wait ended first
    |-- Rejected                   9   the checks, the review or the build said no
    |-- VerificationError         10   bytes are not what their digest says
    |-- Invalid                    1   the server does not accept the content; ``errors`` names the fields
    |   `-- TooLarge               1
    |-- CheckFailed                1   refused here, before the first byte was sent; ``findings`` says why
    `-- UnexpectedAnswer           1   the server speaks another dialect than this client
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countersign.checks import Finding


class CountersignError(Exception):
    """A refusal in words. ``code`` is stable and the same as in the portal; ``request_id`` finds it in the server's log."""

    exit_code = 1
    default_code = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        request_id: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Say what happened.

        :param hint: what to do next, one sentence.
        :param status: HTTP status, when a server answered.
        :param retry_after: seconds the server asked to wait.
        :param errors: ``{"pointer", "detail"}`` for each field at fault.
        """
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code
        self.request_id = request_id
        self.status = status
        self.retry_after = retry_after
        self.errors = tuple(errors)


class Unusable(CountersignError):
    exit_code = 2
    default_code = "unusable"


class NotFound(CountersignError):
    exit_code = 3
    default_code = "not-found"


class NotSignedIn(CountersignError):
    exit_code = 4
    default_code = "not-signed-in"


class Forbidden(CountersignError):
    exit_code = 5
    default_code = "forbidden"


class NotApproved(Forbidden):
    default_code = "not-approved"


class Conflict(CountersignError):
    exit_code = 6
    default_code = "conflict"


class Stale(Conflict):
    default_code = "stale"


class Trouble(CountersignError):
    """The network or the server failed. ``temporary`` is false when trying again cannot help (a full store)."""

    exit_code = 7
    default_code = "trouble"
    temporary = True


class StorageFull(Trouble):
    default_code = "storage-full"
    temporary = False


class StillPending(CountersignError):
    exit_code = 8
    default_code = "still-pending"


class Rejected(CountersignError):
    exit_code = 9
    default_code = "rejected"


class VerificationError(CountersignError):
    exit_code = 10
    default_code = "verification-failed"


class Invalid(CountersignError):
    default_code = "invalid"


class TooLarge(Invalid):
    default_code = "too-large"


class CheckFailed(CountersignError):
    default_code = "check-failed"

    def __init__(self, message: str, *, findings: Sequence["Finding"], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class UnexpectedAnswer(CountersignError):
    default_code = "unexpected-answer"


# A code says more than its status; where it is unknown (a newer server, a proxy) the status decides.
_BY_CODE: dict[str, type[CountersignError]] = {
    "digest-mismatch": VerificationError,
    "storage-full": StorageFull,
    "stale": Stale,
    "stale-review": Stale,
    "precondition-missing": Stale,
    "too-large": TooLarge,
    "not-found": NotFound,
}
_BY_STATUS: dict[int, type[CountersignError]] = {
    400: Invalid,
    401: NotSignedIn,
    403: Forbidden,
    404: NotFound,
    408: Trouble,
    409: Conflict,
    410: NotFound,
    412: Stale,
    413: TooLarge,
    415: Invalid,
    422: Invalid,
    428: Stale,
    429: Trouble,
    507: StorageFull,
}
# For answers without words of their own: to HEAD, or from a proxy in between.
_WORDS: dict[type[CountersignError], str] = {
    NotSignedIn: "the token was not accepted",
    Forbidden: "you may not do this",
    NotFound: "there is no such thing",
}
_HINTS: dict[type[CountersignError], str] = {
    NotSignedIn: "Run `countersign login`, or set COUNTERSIGN_TOKEN or COUNTERSIGN_TOKEN_FILE.",
    Forbidden: "`countersign whoami` shows teams, roles and scopes of your token.",
}


def from_problem(
    status: int, problem: Mapping[str, Any], *, request_id: str = "", retry_after: float | None = None
) -> CountersignError:
    """The exception for an answer of ``status`` with the RFC 9457 body ``problem`` (may be empty)."""
    code = str(problem.get("code") or "")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (Trouble if status >= 500 else CountersignError)
    usual = _WORDS.get(kind, f"the server answered with status {status}")
    message = str(problem.get("detail") or problem.get("title") or usual)
    hint = str(problem.get("hint") or "")
    if not hint:
        hint = _HINTS.get(kind, "")
    return kind(
        message,
        hint=hint,
        code=code,
        request_id=str(problem.get("request_id") or request_id),
        status=status,
        retry_after=retry_after,
        errors=[error for error in problem.get("errors") or () if isinstance(error, Mapping)],
    )
