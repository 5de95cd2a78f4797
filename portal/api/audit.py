"""The audit log: its entries, its signed head, and proof that an entry is in it."""

from flask import Response

from portal.api.answers import Answer
from portal.api.calls import Call
from portal.api.contract import Media, operation
from portal.api.documents.audit import AuditDocument, AuditPage, AuditQuery
from registry import accounts, proofs
from registry.access import Permission
from registry.errors import Unavailable

TEXT = "text/plain; charset=utf-8"


@operation("GET", "/audit", answers={200: AuditPage}, needs=Permission.READ_AUDIT)
def list_entries(call: Call, query: AuditQuery) -> Answer:
    """Search the audit log, newest first."""
    filters = proofs.Filters(action=query.action, subject=query.subject, actor=query.actor)
    found = proofs.search(call.session, filters, query.place(), actor=call.actor)
    names = accounts.display_names(call.session, {entry.actor for entry in found.items})
    said = proofs.payloads(call.session, found.items)
    items = [AuditDocument.of(entry, body, names) for entry, body in zip(found.items, said, strict=True)]
    return Answer(AuditPage(items=items, next=found.next))


@operation(
    "GET",
    "/audit/checkpoint",
    answers={200: Media("text/plain", "C2SP tlog-checkpoint.")},
    needs=Permission.READ_AUDIT,
    refuses=(Unavailable,),
)
def checkpoint(call: Call) -> Response:
    """The newest signed head of the log."""
    newest = proofs.latest_checkpoint(call.session)
    if newest is None:
        raise Unavailable("no checkpoint is signed yet", hint="A worker signs one within a minute; try again.")
    return Response(newest.note, content_type=TEXT)


@operation(
    "GET",
    "/audit/entries/<int:seq>/proof",
    answers={200: Media("text/plain", "C2SP tlog-proof.")},
    needs=Permission.READ_AUDIT,
    refuses=(Unavailable,),
)
def proof(call: Call, seq: int) -> Response:
    """Proof that an entry is in the log that the newest checkpoint signs."""
    entry = proofs.entry(call.session, seq, actor=call.actor)
    return Response(proofs.prove(call.session, entry), content_type=TEXT)
