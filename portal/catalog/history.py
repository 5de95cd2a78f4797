"""What happened, in words: audit entries of a model and its versions as a reader understands them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portal import filters
from registry.orm.audit import AuditEntry, AuditPayload

Body = Mapping[str, Any]
STOPS = frozenset({"version:check_failed", "version:rejected", "version:revoked", "build:failed"})
MEANINGS = {"approve": "approved it", "request_changes": "asked for changes", "reject": "rejected it"}


@dataclass(frozen=True)
class Event:
    """One line of a timeline."""

    text: str
    when: datetime
    stop: bool
    now: bool = False


def _quoted(text: Any) -> str:
    words = " ".join(str(text or "").split())
    return f": “{words if len(words) <= 140 else words[:139] + '…'}”" if words else ""


def _about(text: Any) -> str:
    return f": {text}" if text else ""


WORDS: Mapping[str, Callable[[str, Body], str]] = {
    "model:registered": lambda who, _: f"Registered by {who}",
    "model:changed": lambda who, _: f"Description changed by {who}",
    "model:use_declared": lambda who, b: (
        f"{who} declared the use of team {b.get('team', '?')}{_quoted(b.get('purpose'))}"
    ),
    "alias:moved": lambda who, b: f"{who} pointed {b.get('alias', 'an alias')} at version {b.get('number', '?')}",
    "alias:removed": lambda who, b: f"{who} removed the alias {b.get('alias', '')}",
    "version:registered": lambda who, _: f"Uploaded by {who}",
    "version:tagged": lambda who, b: f"{who} set the tag {b.get('key', '')}",
    "version:checked": lambda _who, _: "Checks passed",
    "version:check_failed": lambda _who, b: f"Checks failed{_about(b.get('step'))}",
    "version:retried": lambda who, _: f"{who} ran the checks again",
    "version:rescan_requested": lambda _who, _: "The list of allowed names shrank; scanned again",
    "version:rescanned": lambda _who, b: (
        "Still accepted by the list of allowed names"
        if b.get("outcome") == "passed"
        else "No longer accepted by the list of allowed names"
    ),
    "version:submitted": lambda who, b: f"Submitted for review by {who}{_quoted(b.get('note'))}",
    "version:withdrawn": lambda who, b: f"Withdrawn from review by {who}{_quoted(b.get('reason'))}",
    "version:approved": lambda _who, _: "Approved: the last needed signature was there",
    "version:rejected": lambda _who, _: "Rejected",
    "version:revoked": lambda who, b: f"Revoked by {who}{_quoted(b.get('reason'))}",
    "request:changes_requested": lambda _who, _: "Changes requested; open again",
    "request:commented": lambda who, b: f"{who} wrote{_quoted(b.get('text'))}",
    "request:notice_answered": lambda who, b: (
        f"{who} answered about {b.get('about', 'a notice')}{_quoted(b.get('text'))}"
    ),
    "request:decided": lambda who, b: (
        f"{who} {MEANINGS.get(str(b.get('outcome')), 'signed')}{_quoted(b.get('reason'))}"
    ),
    "request:decisions_voided": lambda _who, b: f"Signatures voided{_about(b.get('reason'))}",
}


def tell(
    log: Sequence[tuple[AuditEntry, AuditPayload | None]], labels: Mapping[str, str] | None = None, *, now: bool = False
) -> list[Event]:
    """Lines of a timeline, newest first.

    :param labels: subject to the words that begin its lines, e.g. ``Version 3``.
    :param now: mark the newest line as where things stand.
    """
    filters.name_actors({entry.actor for entry, _ in log})
    events = []
    for place, (entry, payload) in enumerate(log):
        # What was said can have been erased; that something happened stays.
        body = payload.body if payload is not None and payload.erased_at is None else {}
        words = WORDS.get(entry.action, _plainly(entry.action))(filters.who(entry.actor), body or {})
        label = (labels or {}).get(entry.subject)
        text = f"{label}: {words[0].lower() + words[1:] if words[:1].isupper() else words}" if label else words
        events.append(Event(text, entry.at, entry.action in STOPS, now and place == 0))
    return events


def _plainly(action: str) -> Callable[[str, Body], str]:
    thing, _, happened = action.partition(":")
    return lambda who, _: f"{thing} {happened.replace('_', ' ')} by {who}".capitalize()
