"""Every refusal the domain can give, as one tree.

::

    RegistryError
    |-- NotFound              nothing there, or you may not know that there is
    |-- Unauthenticated       who are you?
    |   |-- BadCredentials, SessionEnded, TokenRefused, CodeRefused
    |-- LockedOut             too many failed attempts
    |-- Forbidden             you may not do this
    |   |-- MissingRole, NotInTeam, MissingScope, InteractiveOnly, SecondFactorRequired, SelfApproval
    |-- Invalid               what you sent does not fit
    |   |-- DigestMismatch
    |-- TooLarge, StorageFull
    |-- Conflict              it clashes with what is there
    |   |-- AlreadyExists, WrongStage, Blocked, KeyReused, InFlight
    |-- Stale                 it changed since you looked
    |   |-- StaleReview
    |-- PreconditionMissing   a write without If-Match
    |-- Unavailable           something this needs does not answer now
    `-- UnauditedChange       a bug: a governed row changed without an audit event

``code`` is public and stable: API clients match on it and docs/errors.md explains each.
"""

from collections.abc import Sequence


class RegistryError(Exception):
    """A refusal in words: what happened (``str``), and what to do next (``hint``)."""

    code = "error"
    title = "Something went wrong"

    def __init__(self, message: str, *, hint: str = "", errors: Sequence[tuple[str, str]] = ()) -> None:
        """Say what happened.

        :param errors: (JSON pointer, problem) for each field at fault.
        """
        super().__init__(message)
        self.hint = hint
        self.errors = tuple(errors)


class NotFound(RegistryError):
    code = "not-found"
    title = "Not found"


class Unauthenticated(RegistryError):
    code = "not-signed-in"
    title = "Sign in first"


class BadCredentials(Unauthenticated):
    code = "bad-credentials"
    title = "Name or password is wrong"


class SessionEnded(Unauthenticated):
    code = "session-ended"
    title = "Your session has ended"


class TokenRefused(Unauthenticated):
    code = "token-refused"
    title = "The token was not accepted"


class CodeRefused(Unauthenticated):
    code = "code-refused"
    title = "The one-time code was not accepted"


class LockedOut(RegistryError):
    code = "locked-out"
    title = "Too many failed attempts"


class Forbidden(RegistryError):
    code = "forbidden"
    title = "You may not do this"


class MissingRole(Forbidden):
    code = "missing-role"


class NotInTeam(Forbidden):
    code = "not-in-team"


class MissingScope(Forbidden):
    code = "missing-scope"


class InteractiveOnly(Forbidden):
    code = "interactive-only"
    title = "A token cannot do this"


class SecondFactorRequired(Forbidden):
    code = "second-factor-required"
    title = "A second factor is required"


class SelfApproval(Forbidden):
    """Two people are needed, and this would be one person twice: their own work, or a second signature."""

    code = "self-approval"
    title = "Somebody else must do this"


class Invalid(RegistryError):
    code = "invalid"
    title = "That does not fit"


class DigestMismatch(Invalid):
    code = "digest-mismatch"
    title = "The bytes are not what they were said to be"


class TooLarge(RegistryError):
    code = "too-large"
    title = "Too large"


class StorageFull(RegistryError):
    code = "storage-full"
    title = "The store is full"


class Conflict(RegistryError):
    code = "conflict"
    title = "That clashes with what is there"


class AlreadyExists(Conflict):
    code = "already-exists"
    title = "That name is taken"


class WrongStage(Conflict):
    code = "wrong-stage"
    title = "Not possible at this stage"


class Blocked(Conflict):
    """A rule of the policy does not let this happen now; the message names the rule."""

    code = "blocked"
    title = "Blocked by policy"


class KeyReused(Conflict):
    code = "idempotency-key-reused"
    title = "This idempotency key belongs to another request"


class InFlight(Conflict):
    code = "in-flight"
    title = "The first request with this key is still running"


class Stale(RegistryError):
    code = "stale"
    title = "It changed since you looked"


class StaleReview(Stale):
    code = "stale-review"
    title = "The review changed since you opened it"


class PreconditionMissing(RegistryError):
    code = "precondition-missing"
    title = "Say which revision you are changing"


class Unavailable(RegistryError):
    code = "unavailable"
    title = "Not available right now"


class UnauditedChange(RegistryError):
    """A governed row was changed in a transaction that recorded no audit event for it. Always a bug."""

    code = "unaudited-change"
    title = "A change without a record was refused"
