"""How a version stands, and what comes next, in one sentence each: for pages, the API and the command line."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from registry import clock
from registry.orm.approval import RequestState
from registry.orm.catalog import Stage
from registry.orm.job import JobState


class Staged(Protocol):
    """What is asked of a version: its row, or what was read of it."""

    @property
    def stage(self) -> Stage: ...
    @property
    def stage_since(self) -> datetime: ...
    @property
    def approved_until(self) -> datetime | None: ...


class Asked(Protocol):
    """What is asked of a request for release."""

    @property
    def state(self) -> RequestState: ...
    @property
    def closed_at(self) -> datetime | None: ...


class Tried(Protocol):
    """What is asked of a job."""

    @property
    def state(self) -> JobState: ...
    @property
    def error(self) -> Mapping[str, Any] | None: ...


def day(moment: datetime) -> str:
    """``21 November 2026`` (UTC)."""
    return f"{moment.day} {moment:%B %Y}"


def status_sentence(version: Staged, request: Asked | None, job: Tried | None) -> str:
    """How the version stands.

    :param request: its newest request, where the caller has it.
    :param job: its check, where the caller has it.
    """
    since = day(version.stage_since)
    match version.stage:
        case Stage.CHECKING:
            return _checking(job)
        case Stage.CHECK_FAILED:
            return f"Not checked: {_message(job)}." if _message(job) else "It did not pass its checks."
        case Stage.READY:
            return _ready(request)
        case Stage.IN_REVIEW:
            return f"In review since {since}."
        case Stage.APPROVED | Stage.APPROVED_WITH_CONDITIONS:
            return _approved(version)
        case Stage.REJECTED:
            return f"Rejected on {since}."
        case Stage.SUSPENDED:
            return f"Suspended since {since}: do not use it until that is lifted."
        case Stage.SUPERSEDED:
            return f"Superseded by a newer version on {since}."
        case Stage.EXPIRED:
            return f"Its approval ended on {since}."
        case Stage.REVOKED:
            return f"Its approval was revoked on {since}: stop using it."
        case Stage.RETIRED:
            return f"Retired on {since}."


def _checking(job: Tried | None) -> str:
    if job is not None and job.state is JobState.RUNNING:
        return "The checks are running."
    if _message(job):
        return f"The checks stopped and will be tried again: {_message(job)}."
    return "It waits for a worker to check it."


def _ready(request: Asked | None) -> str:
    if request is not None and request.closed_at is not None:
        if request.state is RequestState.CHANGES_REQUESTED:
            return f"Checked; the reviewers asked for changes on {day(request.closed_at)}."
        if request.state is RequestState.WITHDRAWN:
            return f"Checked; withdrawn from review on {day(request.closed_at)}."
    return "Checked, and not yet submitted for review."


def _approved(version: Staged) -> str:
    how = "Approved with conditions" if version.stage is Stage.APPROVED_WITH_CONDITIONS else "Approved"
    if version.approved_until is None:
        return f"{how}."
    if version.approved_until < clock.now():
        return f"{how}, but that ended on {day(version.approved_until)}."
    return f"{how} until {day(version.approved_until)}."


def _message(job: Tried | None) -> str:
    return str((job.error or {}).get("message", "")).rstrip(".") if job is not None else ""


def next_step(version: Staged, request: Asked | None, job: Tried | None) -> str:
    """What the version's owner does next, as an instruction."""
    match version.stage:
        case Stage.CHECKING:
            return "Nothing to do: the checks run by themselves."
        case Stage.CHECK_FAILED:
            if _message(job):
                return str((job.error or {}).get("hint") or "Retry the checks.") if job else ""
            return "Read what the checks found, mend it, and push again."
        case Stage.READY:
            if request is not None and request.state is RequestState.CHANGES_REQUESTED:
                return "Read what the reviewers asked for; then submit it again, or push a new version."
            return "Submit it for review."
        case Stage.IN_REVIEW:
            return "Nothing to do: it waits for its reviewers."
        case Stage.APPROVED | Stage.APPROVED_WITH_CONDITIONS:
            return "Use it as approved; its bundles are baked by themselves."
        case Stage.SUSPENDED:
            return "Set its share to zero, or roll back to an earlier image."
        case Stage.REVOKED:
            return "Roll back to an image without it."
        case Stage.REJECTED | Stage.SUPERSEDED | Stage.EXPIRED | Stage.RETIRED:
            return "Push a new version, or use an approved one."


def join(words: Sequence[str], *, word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; at least one is given."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {word} {words[-1]}"
