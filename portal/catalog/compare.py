"""Two versions side by side: only what differs."""

from dataclasses import dataclass
from typing import Any

from flask import g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import db
from portal.catalog import bp, model
from portal.catalog.version import metrics
from registry import approvals, compare, references, wording
from registry.orm.catalog import ModelVersion

SHOWN = 500
"""Most characters of one value."""


@dataclass(frozen=True)
class Part:
    """One section of the comparison."""

    anchor: str
    title: str
    changes: list[tuple[str, str | None, str | None]]


@bp.get("/models/<team>/<name>/compare")
def choose(team: str, name: str) -> BaseResponse:
    """From the two fields of the form to the address of the comparison; by default the newest against the approved."""
    found = model.load(team, name)
    b = request.args.get("version", found.versions_made, type=int)
    a = request.args.get("base", found.latest_approved or b - 1, type=int)
    if found.versions_made < 2:
        return redirect(url_for("catalog.versions", team=team, name=name), 302)
    return redirect(url_for("catalog.compare", team=team, name=name, a=a, b=b), 302)


@bp.get("/models/<team>/<name>/compare/<int:b>")
def compare_latest(team: str, name: str, b: int) -> BaseResponse:
    """Against the last approved version before it."""
    version = references.get_version(db.session(), f"{team}/{name}", b, actor=g.actor)
    base = approvals.last_approved_before(db.session(), version)
    if base is None:
        return redirect(url_for("catalog.version", team=team, name=name, ref=b), 302)
    return redirect(url_for("catalog.compare", team=team, name=name, a=base.number, b=b), 302)


@bp.get("/models/<team>/<name>/compare/<int:a>...<int:b>", endpoint="compare")
def two(team: str, name: str, a: int, b: int) -> str:
    """Version ``b`` as seen from ``a``."""
    base, version = (references.get_version(db.session(), f"{team}/{name}", ref, actor=g.actor) for ref in (a, b))
    found = compare.compare(db.session(), base, version, actor=g.actor)
    default = approvals.last_approved_before(db.session(), version)
    return render_template(
        "catalog/compare.html",
        **model.frame(version.model, "catalog.versions"),
        base=base,
        version=version,
        is_default=default is not None and default.number == a,
        verdict=_verdict(found, base),
        compatibility=found.compatibility,
        metrics=metrics(found),
        parts_=_parts(found),
        card=found.card,
    )


def _verdict(found: compare.Comparison, base: ModelVersion) -> str:
    """One line: what changed, and how the metrics moved."""
    parts = found.parts()
    changed = (
        f"{wording.join(parts).capitalize()} differ."
        if parts
        else f"Nothing differs from version {base.number} but the number."
    )
    better = sum(row.better is True for row in found.metrics)
    worse = sum(row.better is False for row in found.metrics)
    moved = [f"{count} {word}" for count, word in ((better, "better"), (worse, "worse")) if count]
    count = better + worse
    return f"{changed} {'Metric' if count == 1 else 'Metrics'}: {', '.join(moved)}." if moved else changed


def _parts(found: compare.Comparison) -> list[Part]:
    sections = (
        ("sources", "Training data and origin", found.sources),
        ("params", "Parameters", found.params),
        ("libraries", "Libraries", found.libraries),
        ("own-code", "Own code", found.own_code),
        ("inputs", "Inputs", found.inputs),
        ("outputs", "Outputs", found.outputs),
        ("files", "Files", found.files),
    )
    return [
        Part(anchor, title, [(change.name, _shown(change.before), _shown(change.after)) for change in changes])
        for anchor, title, changes in sections
        if changes
    ]


def _shown(value: Any) -> str | None:
    """A value in the table; ``None`` where that side has nothing."""
    if value is None:
        return None
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
