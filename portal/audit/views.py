"""Search the log, read an entry, download its proof and the newest checkpoint."""

from flask import Response, g, render_template, request

from portal import access, db, filters
from portal.audit import bp
from registry import paging, proofs
from registry.access import Permission
from registry.audit import Action
from registry.errors import NotFound


@bp.get("")
@access.needs(Permission.READ_AUDIT)
def index() -> str:
    """Entries, newest first, with what signs them."""
    session = db.session()
    wanted = proofs.Filters(
        action=request.args.get("action", ""),
        subject=request.args.get("subject", ""),
        actor=request.args.get("actor", ""),
    )
    page = proofs.search(session, wanted, paging.Cursor(limit=50, after=request.args.get("cursor")), actor=g.actor)
    filters.name_actors({entry.actor for entry in page.items})
    size, _ = proofs.head(session)
    return render_template(
        "audit/index.html",
        page=page,
        payloads=proofs.payloads(session, page.items),
        wanted=wanted,
        actions=list(Action),
        size=size,
        checkpoint=proofs.latest_checkpoint(session),
    )


@bp.get("/entries/<int:seq>")
@access.needs(Permission.READ_AUDIT)
def entry(seq: int) -> str:
    """One entry, whole."""
    session = db.session()
    found = proofs.entry(session, seq, actor=g.actor)
    filters.name_actors({found.actor})
    checkpoint = proofs.latest_checkpoint(session)
    return render_template(
        "audit/entry.html",
        entry=found,
        payload=proofs.payloads(session, [found])[0],
        envelope=found.envelope.decode(),
        covered=checkpoint is not None and checkpoint.size > found.seq,
    )


@bp.get("/entries/<int:seq>/proof")
@access.needs(Permission.READ_AUDIT)
def proof(seq: int) -> Response:
    """A C2SP tlog-proof that the entry is in the log."""
    session = db.session()
    return _text(proofs.prove(session, proofs.entry(session, seq, actor=g.actor)), f"countersign-{seq}.tlog-proof")


@bp.get("/checkpoint")
@access.needs(Permission.READ_AUDIT)
def checkpoint() -> Response:
    """The newest signed head."""
    found = proofs.latest_checkpoint(db.session())
    if found is None:
        raise NotFound("nothing is signed yet", hint="A worker signs the log within a minute of a change.")
    return _text(found.note, f"countersign-{found.size}.checkpoint")


def _text(body: str, name: str) -> Response:
    response = Response(body, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
