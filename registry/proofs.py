"""Reading and proving the audit log: search, signed checkpoints, inclusion proofs, and a check of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from formats import canonical, keys, merkle, notes
from registry import access, clock, paging
from registry.access import Actor, Permission
from registry.audit import commitment
from registry.errors import NotFound, Unavailable
from registry.orm.audit import AuditCheckpoint, AuditEntry, AuditHead, AuditPayload

ORIGIN = "countersign/audit"


@dataclass(frozen=True)
class Filters:
    """What the log was asked for."""

    action: str = ""
    subject: str = ""
    actor: str = ""


def search(session: Session, filters: Filters, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[AuditEntry]:
    """Entries, newest first."""
    access.require(actor, Permission.READ_AUDIT)
    query = select(AuditEntry)
    if filters.action:
        query = query.where(AuditEntry.action == filters.action)
    if filters.subject:
        query = query.where(AuditEntry.subject == filters.subject)
    if filters.actor:
        query = query.where(AuditEntry.actor == filters.actor)
    return paging.fetch(session, query, (AuditEntry.seq,), cursor)


def timeline(
    session: Session, subjects: Sequence[str], *, most: int = 50
) -> list[tuple[AuditEntry, AuditPayload | None]]:
    """What happened to these subjects, newest first, with what was said; the caller may see the object."""
    query = select(AuditEntry).where(AuditEntry.subject.in_(subjects)).order_by(AuditEntry.seq.desc()).limit(most)
    entries = list(session.scalars(query))
    return [(entry, found) for entry, found in zip(entries, payloads(session, entries), strict=True)]


def payloads(session: Session, entries: Sequence[AuditEntry]) -> list[AuditPayload | None]:
    """The payload of each entry, in one query."""
    ids = [entry.event_id for entry in entries]
    found = {row.event_id: row for row in session.scalars(select(AuditPayload).where(AuditPayload.event_id.in_(ids)))}
    return [found.get(event_id) for event_id in ids]


def head(session: Session) -> tuple[int, bytes]:
    """Size and root of the log now."""
    row = session.get_one(AuditHead, 1)
    return row.size, merkle.Frontier.from_bytes(row.frontier).root()


def latest_checkpoint(session: Session) -> AuditCheckpoint | None:
    """The newest signed head."""
    return session.scalars(select(AuditCheckpoint).order_by(AuditCheckpoint.size.desc()).limit(1)).first()


def sign_checkpoint(session: Session, signer: keys.Signer) -> AuditCheckpoint | None:
    """Sign the head if it grew; ``None`` when nothing is new. First of all it must extend what was signed last.

    :raises Unavailable: the log does not extend the last checkpoint: it was cut or rewritten.
    """
    row = session.get_one(AuditHead, 1)
    frontier = merkle.Frontier.from_bytes(row.frontier)
    last = latest_checkpoint(session)
    if last is not None:
        _check_extends(session, last, frontier)
    if frontier.size == (last.size if last else 0):
        return None
    text = notes.sign_checkpoint(notes.Checkpoint(ORIGIN, frontier.size, frontier.root()), signer)
    checkpoint = AuditCheckpoint(size=frontier.size, frontier=row.frontier, note=text, signed_at=clock.now())
    try:
        with session.begin_nested():
            session.add(checkpoint)
    except IntegrityError:
        return None  # another worker has just signed this size
    return checkpoint


def _check_extends(session: Session, last: AuditCheckpoint, frontier: merkle.Frontier) -> None:
    grown = merkle.Frontier.from_bytes(last.frontier)
    newer = select(AuditEntry.leaf_hash).where(AuditEntry.seq >= last.size).order_by(AuditEntry.seq)
    with session.scalars(newer.execution_options(yield_per=1000)) as leaves:
        for leaf in leaves:
            grown = grown.append(leaf)
    if grown != frontier:
        raise Unavailable(
            f"the audit log of {frontier.size} entries does not extend the checkpoint at {last.size}",
            hint="Do not go on: entries were removed or rewritten. See docs/operations.md, 'A restored database'.",
        )


def _leaf_hashes(session: Session, size: int) -> list[bytes]:
    return list(session.scalars(select(AuditEntry.leaf_hash).where(AuditEntry.seq < size).order_by(AuditEntry.seq)))


def entry(session: Session, seq: int, *, actor: Actor) -> AuditEntry:
    """An entry by index.

    :raises NotFound: the log is shorter.
    """
    access.require(actor, Permission.READ_AUDIT)
    row = session.get(AuditEntry, seq) if seq < 2**63 else None
    if row is None:
        raise NotFound(f"the log has no entry {seq}")
    return row


def prove(session: Session, row: AuditEntry) -> str:
    """A C2SP tlog-proof that the entry is in the log the newest checkpoint signs.

    :raises Unavailable: no checkpoint covers the entry yet.
    """
    checkpoint = latest_checkpoint(session)
    if checkpoint is None or checkpoint.size <= row.seq:
        raise Unavailable(
            "the next checkpoint will cover this entry", hint="A worker signs one within a minute; try again."
        )
    path = merkle.inclusion_proof(_leaf_hashes(session, checkpoint.size), row.seq)
    return notes.Proof(row.seq, tuple(path), checkpoint.note).to_text()


def verify(session: Session) -> int:
    """Recompute every leaf and the root from what is stored; returns the number of entries.

    :raises Unavailable: naming the first entry that does not fit.
    """
    held = session.scalar(select(func.count(AuditEntry.seq))) or 0  # before the head: who appends meanwhile moves both
    size, root = head(session)
    hashes: list[bytes] = []
    rows = select(AuditEntry, AuditPayload).outerjoin(AuditPayload, AuditPayload.event_id == AuditEntry.event_id)
    rows = rows.order_by(AuditEntry.seq).limit(1000)
    while found := session.execute(rows.where(AuditEntry.seq >= len(hashes), AuditEntry.seq < size)).all():
        for seq, (row, payload) in enumerate(found, len(hashes)):
            intact = row.seq == seq and merkle.leaf_hash(row.envelope) == row.leaf_hash and payload is not None
            if intact and payload.erased_at is None:
                intact = canonical.loads(row.envelope)["commitment"] == commitment(payload.salt, payload.body)
            if not intact:
                raise Unavailable(
                    f"entry {seq} of the audit log is not what was written", hint="Compare with a backup."
                )
            hashes.append(row.leaf_hash)
    if len(hashes) != size or merkle.root(hashes) != root or held > size:
        raise Unavailable(f"the audit log holds {held} entries, its head says {size}", hint="Compare with a backup.")
    return size
