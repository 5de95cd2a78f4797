"""Own code on the pages: a version's wheels, and their difference to what was approved before, as much as a page can hold."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Response, current_app, g, request

from portal import db
from portal.catalog import bp
from portal.installation import here
from registry import approvals, catalog, own_code, references
from registry.orm.catalog import ModelVersion
from registry.store import LocalStore

SHOWN = 1_500
"""Most lines of the difference on a page; the rest is one click away."""


@dataclass(frozen=True)
class Told:
    """What a page says of a version's own code.

    ``changed`` are all files that differ from ``base``; ``shown`` are the differences of the first of them, and
    ``added`` and ``removed`` count their lines. ``rest`` counts files whose difference is not on the page, whole or in part.
    """

    wheels: list[own_code.OwnWheel]
    base: ModelVersion | None
    changed: list[own_code.Changed]
    shown: list[own_code.FileDiff]
    added: int
    removed: int
    rest: int


def told(version: ModelVersion, base: ModelVersion | None) -> Told | None:
    """None of a version that brings no code, and whose base brought none; ``shown`` only to those who may read files."""
    wheels, changed = own_code.wheels_of(version), own_code.changes(base, version)
    if not wheels and not changed:
        return None
    shown: list[own_code.FileDiff] = []
    room = SHOWN
    if catalog.may_read_artifacts(db.session(), version.model, actor=g.actor):
        for diff in own_code.diffs(here().store, changed):
            shown.append(diff)
            room -= len(diff.lines)
            if room <= 0:
                shown[-1] = own_code.FileDiff(
                    diff.changed, diff.lines[: room + len(diff.lines)], diff.added, diff.removed
                )
                break
    whole = len(shown) - (room < 0)
    return Told(
        wheels=wheels,
        base=base,
        changed=changed,
        shown=shown,
        added=sum(diff.added for diff in shown),
        removed=sum(diff.removed for diff in shown),
        rest=len(changed) - whole,
    )


@bp.get("/models/<team>/<name>/versions/<ref>/own-code.diff")
def own_code_diff(team: str, name: str, ref: str) -> Response:
    """The whole difference to the version ``base``, by default the last approved before it, as text."""
    found = references.get_version(db.session(), f"{team}/{name}", ref, actor=g.actor)
    catalog.require_artifacts(db.session(), found.model, actor=g.actor)
    base = approvals.last_approved_before(db.session(), found)
    if wanted := request.args.get("base"):
        base = references.get_version(db.session(), f"{team}/{name}", wanted, actor=g.actor)
    response = current_app.response_class(_text(here().store, own_code.changes(base, found)), mimetype="text/plain")
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}-{found.number}-own-code.diff")
    return response


def _text(store: LocalStore, changed: list[own_code.Changed]) -> Iterator[str]:
    for diff in own_code.diffs(store, changed):
        yield "".join(f"{line}\n" for line in diff.lines)
