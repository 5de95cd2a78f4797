"""Search the log, read an entry, download its proof and the newest checkpoint."""

import json
from typing import Any

from flask import Response, g, render_template, request, url_for

from portal import access, db, filters
from portal.audit import bp
from registry import paging, proofs, subjects
from registry.access import Permission
from registry.audit import Action
from registry.errors import NotFound
from registry.subjects import Subject

PAGE = 50
FIELDS = ("action", "actor", "subject")


@bp.get("")
@access.needs(Permission.READ_AUDIT)
def index() -> str:
    """Entries, newest first, with what signs them."""
    session = db.session()
    typed = {name: request.args.get(name, "").strip() for name in FIELDS}
    wanted = proofs.Filters(
        action=typed["action"],
        actor=subjects.ref_of(session, typed["actor"]) if typed["actor"] else "",
        subject=subjects.ref_of(session, typed["subject"]) if typed["subject"] else "",
    )
    page = proofs.search(session, wanted, paging.Cursor(limit=PAGE, after=request.args.get("cursor")), actor=g.actor)
    filters.name_actors({entry.actor for entry in page.items})
    size, _ = proofs.head(session)
    return render_template(
        "audit/index.html",
        page=page,
        about=subjects.describe(session, {entry.subject for entry in page.items} | {wanted.subject}),
        typed=typed,
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
    payload = proofs.payloads(session, [found])[0]
    about = subjects.describe(session, {found.subject}).get(found.subject)
    size, _ = proofs.head(session)
    return render_template(
        "audit/entry.html",
        entry=found,
        about=about,
        address=_address(about) if about else None,
        erased=payload is None or payload.erased_at is not None,
        said=_told(payload.body) if payload is not None and payload.body else [],
        envelope=found.envelope.decode(),
        is_newest=found.seq + 1 == size,
        covered=checkpoint is not None and checkpoint.size > found.seq,
    )


def _address(about: Subject) -> str | None:
    """The page of what an entry is about, where there is one that everybody may open."""
    team, _, name = about.label.partition("/")
    match about.kind:
        case "version":
            name, _, number = name.partition(":")
            return url_for("catalog.version", team=team, name=name, ref=number)
        case "model":
            return url_for("catalog.model", team=team, name=name)
        case "bundle":
            return url_for("bundles.bundle", team=team, name=name)
        case "request":
            return url_for("approvals.review", request_id=about.id)
        case "build":
            return url_for("builds.build", build_id=about.id)
        case "image":
            return url_for("images.image", digest=about.label)
        case "platform_change":
            return url_for("platform.change", change_id=about.id)
    return None


def _told(body: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """What was said as (name, text, whether it is a document to be read as one)."""
    told = []
    for name, value in body.items():
        plain = value is None or isinstance(value, str | int | float)
        listed = isinstance(value, list) and all(isinstance(item, str) for item in value)
        text = "; ".join(value) if listed else str(value) if plain else json.dumps(value, indent=2, ensure_ascii=False)
        told.append((name.replace("_", " "), text if text and value is not None else "none", not (plain or listed)))
    return told


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
