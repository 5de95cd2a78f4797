"""A version: where it is, what is next, who it waits for; and the acts of its team."""

from collections.abc import Sequence
from typing import Any

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters
from portal.catalog import bp, cards, files, history, own_code, parity, reading
from portal.catalog.forms import SubmitForm, WithdrawForm, lines
from registry import access as rules
from registry import (
    advisories,
    approvals,
    bundles,
    catalog,
    compare,
    jobs,
    judging,
    lineage,
    notices,
    paging,
    policies,
    references,
    rescans,
    revoking,
    versions,
    wording,
)
from registry.access import Permission
from registry.errors import WrongStage
from registry.orm.approval import ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.image import Image

Answer = str | tuple[str, int] | BaseResponse

STEPS = {
    "own-code": "Its own code can be reviewed",
    "scan": "Contents are safe to load",
    "lock": "Libraries are pinned",
    "introspect": "It opens in the sandbox",
    "predict": "It answers the sample rows",
    "compile": "It is compiled",
    "parity": "What runs is what was validated",
}


def load(team: str, name: str, ref: str | int) -> ModelVersion:
    """The version of an address."""
    return references.get_version(db.session(), f"{team}/{name}", ref, actor=g.actor)


def address(version: ModelVersion) -> dict[str, Any]:
    """Arguments of every address of a version."""
    team, _, name = version.model.full_name.partition("/")
    return {"team": team, "name": name, "ref": version.number}


@bp.get("/models/<team>/<name>/versions/<ref>")
def version(team: str, name: str, ref: str) -> Answer:
    """Everything about one version. Aliases and digests lead to the number's address."""
    found = load(team, name, ref)
    if ref != str(found.number):
        return redirect(url_for("catalog.version", **address(found)), 302)
    session, model = db.session(), found.model
    asked = approvals.open_request_of(session, found)
    job = jobs.of_subject(session, found.id)
    base = approvals.last_approved_before(session, found)
    log = reading.log_of_version(session, found)
    holders = bundles.holding(session, model)
    builds, served = reading.builds_of(session, found, holders), reading.serving(session, found, holders)
    graph = lineage.around(session, found, actor=g.actor)
    is_open = asked is not None and asked.state is RequestState.OPEN
    may_read = catalog.may_read_artifacts(session, model, actor=g.actor)
    filters.name_actors(_mentioned(found, asked))
    return render_template(
        "catalog/version.html",
        model=model,
        version=found,
        at=address(found),
        status_line=wording.status_sentence(found, asked, job),
        next_line=wording.next_step(found, asked, job),
        waits_for=_waits_for(asked) if is_open else [],
        road=reading.road(found, builds, served),
        asked=asked,
        job=job,
        job_log=jobs.read_log(session, job.id).decode(errors="replace") if job else "",
        parity=parity.told(found),
        checks=[(step, title, _report(found, step, may_read=may_read)) for step, title in STEPS.items()],
        standing=advisories.of_version(session, found),
        refused_since=rescans.refusal(session, found.id),
        notices=notices.of_reports(found.reports),
        own_code=own_code.told(found, base),
        base=base,
        metrics=metrics(compare.compare(session, base, found, actor=g.actor)),
        graph=graph,
        sources=reading.in_order(graph.sources),
        builds=builds,
        served=served,
        held=_held(found) if found.stage is Stage.REVOKED else [],
        card=cards.body(found),
        tensors=cards.tensors(found),
        events=history.tell(log, now=True),
        may_read=may_read,
        may_=_acts(found, is_open=is_open),
    )


def _held(found: ModelVersion) -> Sequence[Image]:
    """The newest images that hold a revoked version, whose owners have to act."""
    return revoking.images_of(db.session(), found, paging.Cursor(limit=25), actor=g.actor).items


def _mentioned(found: ModelVersion, asked: ReleaseRequest | None) -> set[str]:
    refs = {found.author, found.uploader} | {metric.declared_by for metric in found.metrics}
    return refs | {asked.requested_by} if asked else refs


def _waits_for(asked: ReleaseRequest | None) -> list[policies.Gate]:
    gates = judging.gates(db.session(), asked) if asked else []
    return [gate for gate in gates if gate.state != "ok"]


def _report(found: ModelVersion, step: str, *, may_read: bool) -> tuple[Any, str] | None:
    """The report of a step and its text; no text where that is not this person's to read."""
    report = next((report for report in found.reports if report.step == step), None)
    if report is None:
        return None
    return report, files.pretty(report.body) if may_read or step not in catalog.SAMPLE_STEPS else ""


def _acts(found: ModelVersion, *, is_open: bool) -> dict[str, bool]:
    """What this person may do now."""
    team_id = found.model.team_id
    submits, pushes = access.may(Permission.SUBMIT, team_id), access.may(Permission.PUSH, team_id)
    return {
        "submit": submits and found.stage is Stage.READY,
        "withdraw": submits and is_open,
        "revoke": access.may(Permission.REVOKE) and revoking.revocable(found),
        "retry": pushes and found.stage is Stage.CHECK_FAILED,
    }


def metrics(found: compare.Comparison) -> list[dict[str, Any]]:
    """Rows of the metrics table."""
    filters.name_actors({row.declared_by for row in found.metrics})
    return [
        {
            "name": f"{row.name}, {row.dataset}" if row.dataset else row.name,
            "base": row.before,
            "new": row.after,
            "delta": row.after - row.before if row.after is not None and row.before is not None else None,
            "better": row.better,
            "threshold": "",
            "source": "measured" if row.measured else f"declared by {filters.who(row.declared_by)}",
        }
        for row in found.metrics
    ]


@bp.route("/models/<team>/<name>/versions/<ref>/submit", methods=["GET", "POST"])
def submit(team: str, name: str, ref: str) -> Answer:
    """Ask for release; what the card says is filled in."""
    found = load(team, name, ref)
    rules.require(g.actor, Permission.SUBMIT, team_id=found.model.team_id)
    head = found.card_head
    form = SubmitForm(
        environments="production",
        **{field: "\n".join(cards.lines(head.get(field))) for field in ("uses", "prohibited_uses", "limits")},
    )
    if form.validate_on_submit() and form.attempt(_submit, found, form):
        flash("Submitted. The version is frozen until its reviewers decide.", "ok")
        return redirect(url_for("catalog.version", **address(found)), 303)
    if not form.is_submitted() and found.stage is not Stage.READY:
        raise WrongStage(
            f"version {found.number} is {found.stage.replace('_', ' ')}, only a checked one can be submitted",
            hint=wording.next_step(found, None, None),
        )
    return render_template(
        "catalog/submit.html", model=found.model, version=found, at=address(found), form=form
    ), form.status


def _submit(found: ModelVersion, form: SubmitForm) -> ReleaseRequest:
    terms = approvals.Terms(
        uses=lines(form.uses.data),
        environments=lines(form.environments.data),
        prohibited_uses=lines(form.prohibited_uses.data),
        limits=lines(form.limits.data),
    )
    return approvals.submit(db.session(), found, actor=g.actor, note=form.note.data or "", terms=terms)


@bp.route("/models/<team>/<name>/versions/<ref>/withdraw", methods=["GET", "POST"])
def withdraw(team: str, name: str, ref: str) -> Answer:
    """Take the request back."""
    found = load(team, name, ref)
    rules.require(g.actor, Permission.SUBMIT, team_id=found.model.team_id)
    asked = approvals.open_request_of(db.session(), found)
    if asked is None or asked.state is not RequestState.OPEN:
        raise WrongStage(f"version {found.number} is not in review", hint="Open its page to see where it is.")
    form = WithdrawForm()
    if form.validate_on_submit() and form.attempt(
        approvals.withdraw, db.session(), asked, actor=g.actor, reason=form.reason.data
    ):
        flash("Withdrawn. The version can be submitted again.", "ok")
        return redirect(url_for("catalog.version", **address(found)), 303)
    return render_template(
        "catalog/withdraw.html", model=found.model, version=found, at=address(found), form=form
    ), form.status


@bp.post("/models/<team>/<name>/versions/<ref>/retry")
def retry(team: str, name: str, ref: str) -> BaseResponse:
    """Run the failed checks again."""
    found = load(team, name, ref)
    versions.retry_checks(db.session(), found, actor=g.actor)
    flash("The checks run again.", "ok")
    return redirect(url_for("catalog.version", **address(found)), 303)


@bp.post("/models/<team>/<name>/versions/<ref>/tags")
def tag(team: str, name: str, ref: str) -> BaseResponse:
    """Set a tag; without a value it is removed."""
    found = load(team, name, ref)
    key, value = request.form.get("key", "").strip(), request.form.get("value", "").strip()
    versions.tag(db.session(), found, key, value or None, actor=g.actor)
    flash(f"The tag {key} is {'set' if value else 'gone'}.", "ok")
    return redirect(url_for("catalog.version", **address(found), _anchor="tags"), 303)
