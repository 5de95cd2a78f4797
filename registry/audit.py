"""The audit log: events collected during a unit of work become leaves of a Merkle tree in the same transaction.

``record()`` only collects. Index and leaf are assigned in ``before_commit``, last, under the lock of the head row:
no gaps, no deadlock, and nothing but the commit after it. A governed row that changed without an event that names it
refuses the whole transaction. Names and free text never enter a leaf: it holds an HMAC of the body under a random
salt, and both can be erased without breaking a proof.
"""

import enum
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, UOWTransaction

from formats import canonical, merkle
from registry import clock
from registry.errors import UnauditedChange
from registry.orm.audit import AuditEntry, AuditHead, AuditPayload
from registry.orm.base import Base, Governed

SCHEMA = "countersign.audit/1"
_NOTES = "audit_notes"


class Action(enum.StrEnum):
    """Everything that can happen, as ``thing:happened``. Public and stable."""

    INSTALLATION_STARTED = "installation:started"
    BOOTSTRAP_ENDED = "installation:bootstrap_ended"
    PERSON_ADDED = "person:added"
    PERSON_CHANGED = "person:changed"
    PASSWORD_LINK_MADE = "person:password_link_made"  # noqa: S105
    PERSON_DISABLED = "person:disabled"
    PASSWORD_SET = "person:password_set"  # noqa: S105 - the name of an event
    SECOND_FACTOR_SET = "person:second_factor_set"
    SECOND_FACTOR_RESET = "person:second_factor_reset"
    SIGNED_IN = "person:signed_in"
    SIGN_IN_FAILED = "person:sign_in_failed"
    ROLE_PROPOSED = "role:proposed"
    ROLE_GRANTED = "role:granted"
    ROLE_REVOKED = "role:revoked"
    TEAM_ADDED = "team:added"
    MEMBER_ADDED = "team:member_added"
    MEMBER_REMOVED = "team:member_removed"
    SERVICE_ADDED = "service:added"
    TOKEN_CREATED = "token:created"  # noqa: S105
    TOKEN_REVOKED = "token:revoked"  # noqa: S105
    MODEL_REGISTERED = "model:registered"
    MODEL_CHANGED = "model:changed"
    USE_DECLARED = "model:use_declared"
    ALIAS_MOVED = "alias:moved"
    ALIAS_REMOVED = "alias:removed"
    VERSION_REGISTERED = "version:registered"
    VERSION_TAGGED = "version:tagged"
    VERSION_CHECKED = "version:checked"
    VERSION_CHECK_FAILED = "version:check_failed"
    VERSION_RETRIED = "version:retried"
    ALLOW_LIST_CHANGED = "allow_list:changed"
    RESCAN_REQUESTED = "version:rescan_requested"
    RESCANNED = "version:rescanned"
    VERSION_SUBMITTED = "version:submitted"
    VERSION_WITHDRAWN = "version:withdrawn"
    VERSION_APPROVED = "version:approved"
    VERSION_REJECTED = "version:rejected"
    VERSION_REVOKED = "version:revoked"
    CHANGES_REQUESTED = "request:changes_requested"
    COMMENTED = "request:commented"
    NOTICE_ANSWERED = "request:notice_answered"
    DECIDED = "request:decided"
    DECISIONS_VOIDED = "request:decisions_voided"
    POLICY_REVISED = "policy:revised"
    BUNDLE_CREATED = "bundle:created"
    BUNDLE_CHANGED = "bundle:changed"
    EXPERIMENT_STARTED = "experiment:started"
    EXPERIMENT_ENDED = "experiment:ended"
    EXPERIMENT_CONCLUDED = "experiment:concluded"
    BUILD_REQUESTED = "build:requested"
    BUILD_RETRIED = "build:retried"
    BUILD_FAILED = "build:failed"
    IMAGE_RELEASED = "image:released"
    IMAGE_ROLLED_BACK = "image:rolled_back"
    IMAGE_REBUILD_REQUESTED = "image:rebuild_requested"
    IMAGE_REBUILT = "image:rebuilt"
    IMAGE_FREED = "image:freed"
    PLATFORM_OFFERED = "platform:offered"
    PLATFORM_LAID = "platform:laid"
    PLATFORM_CHANGE_PROPOSED = "platform_change:proposed"
    PLATFORM_CHANGE_WITHDRAWN = "platform_change:withdrawn"
    PLATFORM_CHANGE_DECIDED = "platform_change:decided"
    PLATFORM_CHANGE_APPROVED = "platform_change:approved"
    PLATFORM_CHANGE_REFUSED = "platform_change:refused"
    WAVE_PAUSED = "wave:paused"
    WAVE_RESUMED = "wave:resumed"
    WAVE_IMAGE_ENDED = "wave:image_ended"
    WAVE_IMAGE_RETRIED = "wave:image_retried"
    WAVE_ENDED = "wave:ended"
    ADVISORIES_SENT = "advisories:sent"
    ADVISORIES_IMPORTED = "advisories:imported"
    ADVISORIES_REFUSED = "advisories:refused"
    ADVISORY_WAIVED = "advisory:waived"
    WAIVER_ENDED = "advisory:waiver_ended"


class Acting(Protocol):
    """Whoever acts: all the log needs of them."""

    @property
    def ref(self) -> str: ...


@dataclass(frozen=True)
class Event:
    """One thing that happened, before it has an index."""

    action: Action
    actor: str
    subject: str
    also: tuple[str, ...]
    digest: str | None
    body: dict[str, Any]
    at: datetime = field(default_factory=clock.now)
    event_id: UUID = field(default_factory=clock.new_id)


def record(
    session: Session,
    action: Action,
    *,
    actor: Acting,
    subject: Governed,
    also: Iterable[Governed] = (),
    digest: str | None = None,
    **body: Any,
) -> None:
    """Note that ``action`` happens to ``subject``, to be stored with the change it describes.

    :param also: other rows this event covers.
    :param digest: what the event is bound to, e.g. a release digest; stands in the leaf itself.
    :param body: JSON-safe details, kept beside the log and erasable: names, reasons, before and after.
    """
    others = tuple(dict.fromkeys(row.audit_ref() for row in also))
    _notes(session).events.append(Event(action, actor.ref, subject.audit_ref(), others, digest, body))


@dataclass
class _Notes:
    """What a unit of work did so far."""

    events: list[Event] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    marks: dict[SessionTransaction, tuple[int, frozenset[str]]] = field(default_factory=dict)
    """How far events and changes had come when each savepoint was set."""


def _notes(session: Session) -> _Notes:
    notes: _Notes = session.info.setdefault(_NOTES, _Notes())
    return notes


def guard(session: Session | type[Session]) -> None:
    """Make ``session`` (or all of a class) refuse unaudited changes and append their events at commit."""
    event.listen(session, "before_flush", _note_changes)
    event.listen(session, "before_commit", _append)
    event.listen(session, "after_transaction_create", _mark)
    event.listen(session, "after_soft_rollback", _forget)
    event.listen(session, "do_orm_execute", _refuse_bulk)


def _mark(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        notes = _notes(session)
        notes.marks[transaction] = len(notes.events), frozenset(notes.changed)


def _forget(session: Session, ended: SessionTransaction) -> None:
    """Undo the notes with the changes: those since the savepoint, or all. What came before a savepoint still stands."""
    if ended.nested:
        notes = _notes(session)
        events, changed = notes.marks.pop(ended)
        notes.events, notes.changed = notes.events[:events], set(changed)
    elif ended.parent is None:
        session.info.pop(_NOTES, None)


def _note_changes(session: Session, _context: UOWTransaction, _instances: Any) -> None:
    changed = _notes(session).changed
    for row in (*session.new, *session.deleted):
        if isinstance(row, Governed):
            changed.add(row.audit_ref())
    for row in session.dirty:
        if isinstance(row, Governed) and any(
            attribute.history.has_changes()
            for attribute in sa.inspect(row).attrs
            if attribute.key not in row.ungoverned
        ):
            changed.add(row.audit_ref())


def _refuse_bulk(state: ORMExecuteState) -> None:
    if not isinstance(state.statement, sa.UpdateBase):
        return
    table = getattr(state.statement.table, "name", None)
    for mapper in Base.registry.mappers:
        if mapper.class_.__tablename__ == table and issubclass(mapper.class_, Governed):
            raise UnauditedChange(
                f"bulk change of {mapper.class_.__name__}",
                hint="Load the rows and change them one by one, with an event.",
            )


# Made once: every write pays for them.
_HEAD = sa.select(AuditHead.frontier).where(AuditHead.id == 1).with_for_update()
_ADD_ENTRIES = sa.insert(AuditEntry)
_ADD_PAYLOADS = sa.insert(AuditPayload)
_MOVE_HEAD = (
    sa.update(AuditHead)
    .where(AuditHead.id == 1)
    .values(size=sa.bindparam("new_size"), frontier=sa.bindparam("new_frontier"))
)


def _append(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a savepoint; the outermost commit appends
    session.flush()
    notes: _Notes = session.info.pop(_NOTES, _Notes())
    events = notes.events
    covered = {ref for item in events for ref in (item.subject, *item.also)}
    if missing := notes.changed - covered:
        raise UnauditedChange(
            f"changed without an audit event: {', '.join(sorted(missing))}",
            hint="Call audit.record() in the function that makes the change.",
        )
    if not events:
        return
    # The last lock taken and nothing but the commit after it, so writers can queue here but never deadlock.
    frontier = merkle.Frontier.from_bytes(session.connection().execute(_HEAD).scalar_one())
    entries: list[dict[str, Any]] = []
    payloads: list[dict[str, Any]] = []
    for item in events:
        salt = os.urandom(32)
        envelope = _envelope(item, salt)
        leaf = merkle.leaf_hash(envelope)
        entries.append(
            {
                "seq": frontier.size,
                "event_id": item.event_id,
                "envelope": envelope,
                "leaf_hash": leaf,
                "at": item.at,
                "actor": item.actor,
                "action": item.action.value,
                "subject": item.subject,
                "digest": item.digest,
            }
        )
        payloads.append({"event_id": item.event_id, "salt": salt, "body": item.body})
        frontier = frontier.append(leaf)
    connection = session.connection()  # plain rows: the session need not know them
    connection.execute(_ADD_ENTRIES, entries)
    connection.execute(_ADD_PAYLOADS, payloads)
    connection.execute(_MOVE_HEAD, {"new_size": frontier.size, "new_frontier": frontier.to_bytes()})


def commitment(salt: bytes, body: Any) -> str:
    """What a leaf holds of an event's body: hex HMAC-SHA256 of its canonical JSON under the salt."""
    return hmac.new(salt, canonical.dumps(body), hashlib.sha256).hexdigest()


def _envelope(item: Event, salt: bytes) -> bytes:
    return canonical.dumps(
        {
            "schema": SCHEMA,
            "event": str(item.event_id),
            "at": clock.rfc3339(item.at),
            "actor": item.actor,
            "action": item.action.value,
            "subject": item.subject,
            "also": list(item.also),
            "digest": item.digest,
            "commitment": commitment(salt, item.body),
        }
    )


def start(session: Session) -> None:
    """Lay the head of an empty log; called by the migration that makes the tables."""
    session.add(AuditHead(id=1, size=0, frontier=merkle.Frontier().to_bytes()))
