"""The audit log as JSON."""

from collections.abc import Mapping
from typing import Any

from portal.api.documents.base import Digest, Document, Listing, Moment, Page, name_of
from registry.orm.audit import AuditEntry, AuditPayload


class AuditDocument(Document):
    """One entry. The leaf of the Merkle log is `SHA-256(0x00 || envelope)`."""

    seq: int
    at: Moment
    actor: str
    name: str
    """Of the actor, as far as it is still known."""
    action: str
    subject: str
    digest: Digest | None
    """What the event is bound to."""
    envelope: str
    """The exact canonical JSON that was logged."""
    body: dict[str, Any] | None
    """What was said, kept beside the log; null once it is erased."""

    @classmethod
    def of(cls, row: AuditEntry, payload: AuditPayload | None, names: Mapping[str, str]) -> "AuditDocument":
        """From a row and what is kept beside it."""
        return cls(
            seq=row.seq,
            at=row.at,
            actor=row.actor,
            name=name_of(names, row.actor),
            action=row.action,
            subject=row.subject,
            digest=row.digest,
            envelope=row.envelope.decode(),
            body=payload.body if payload is not None and payload.erased_at is None else None,
        )


class AuditPage(Page[AuditDocument]):
    """Entries, newest first."""


class AuditQuery(Listing):
    """Which entries."""

    action: str = ""
    """For instance `version:approved`."""
    subject: str = ""
    """For instance `version:<id>`."""
    actor: str = ""
    """For instance `person:<id>`."""
