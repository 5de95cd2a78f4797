"""The review queue and the decision page. Deciding re-authenticates the person in the same request."""

from typing import Any
from uuid import UUID, uuid4

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters
from portal.approvals import bp
from portal.approvals.forms import CommentForm, DecisionForm, WithdrawForm
from portal.installation import here
from registry import accounts, approvals, bundles, catalog, compare, paging, proofs, signing_in
from registry.errors import BadCredentials, CodeRefused, Invalid
from registry.orm.account import Person
from registry.orm.approval import Decision, Outcome, ReleaseRequest, RequestState
from registry.orm.image import Bundle

Answer = str | tuple[str, int] | BaseResponse
METHOD = "password+totp"
DONE = {
    Outcome.APPROVE: "You signed and approved.",
    Outcome.REQUEST_CHANGES: "You asked for changes; the version is open again.",
    Outcome.REJECT: "You rejected it. A new version can follow.",
}


@bp.get("")
def queue() -> str:
    """Open requests, oldest first; ended ones behind a tab."""
    done = request.args.get("state") == "done"
    cursor = paging.Cursor(limit=25, after=request.args.get("cursor"))
    page = approvals.queue(db.session(), cursor, actor=g.actor, done=done)
    filters.name_actors({item.requested_by for item in page.items})
    rows = [(item, None if done else approvals.why_not(db.session(), item, actor=g.actor)) for item in page.items]
    return render_template("approvals/queue.html", page=page, rows=rows, done=done)


@bp.route("/<uuid:request_id>", methods=["GET", "POST"])
def review(request_id: UUID) -> Answer:
    """Read it, and decide."""
    form = DecisionForm()
    outcome = _outcome()
    if form.validate_on_submit() and _reauthenticate(form) and form.attempt(_decide, request_id, form, outcome):
        flash(_said(form.result), "ok")
        return redirect(url_for("approvals.review", request_id=request_id), 303)
    if form.refusal is not None and isinstance(form.refusal, CodeRefused):
        _count_failure()
    asked = approvals.get_request(db.session(), request_id, actor=g.actor)
    if not form.is_submitted() or form.refusal is not None:
        # What is on the page now is what a new signature covers; the typed reason stays.
        form.decision_id.data = uuid4().hex
        form.seen_release.data, form.seen_dossier.data = asked.release_digest, asked.dossier_digest
    return _page(asked, form), form.status


def _outcome() -> Outcome:
    try:
        return Outcome(request.form.get("outcome", Outcome.APPROVE))
    except ValueError:
        raise Invalid("choose approve, request changes or reject", errors=[("/outcome", "unknown")]) from None


def _reauthenticate(form: DecisionForm) -> bool:
    """Check the password before the unit that writes is opened: hashing is too slow to hold the writer's lock."""
    try:
        with db.reading() as unit:
            signing_in.check_password(unit, g.actor.name, form.password.data or "")
    except BadCredentials:
        _count_failure()
        form.password.errors = ["That is not your password."]
        return False
    return True


def _count_failure() -> None:
    with db.separate() as unit:
        signing_in.note_failure(unit, g.actor.name)


def _decide(request_id: UUID, form: DecisionForm, outcome: Outcome) -> Decision:
    session = db.session()
    person = accounts.load_person(session, person_id=g.actor.person_id)
    signing_in.spend_code(session, person, form.code.data or "", purpose="decide", keys=here().vault)
    asked = approvals.get_request(session, request_id, actor=g.actor)
    return approvals.decide(
        session,
        asked,
        actor=g.actor,
        decision_id=_decision_id(form.decision_id.data),
        outcome=outcome,
        reason=form.reason.data or "",
        seen_release=form.seen_release.data or "",
        seen_dossier=form.seen_dossier.data or "",
        method=METHOD,
    )


def _decision_id(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:
        raise Invalid("this page is out of date", hint="Reload it, then decide again.") from None


def _said(decision: Decision) -> str:
    state = decision_state(decision)
    if decision.outcome is Outcome.APPROVE:
        last = "It was the last signature needed: the release is approved and its images are being built."
        return f"{DONE[Outcome.APPROVE]} {last if state is RequestState.APPROVED else 'Another person must sign too.'}"
    return DONE[decision.outcome]


def decision_state(decision: Decision) -> RequestState:
    """How the request stands after the decision."""
    return db.session().get_one(ReleaseRequest, decision.request_id).state


@bp.post("/<uuid:request_id>/comments")
def comment(request_id: UUID) -> Answer:
    """Say something beside the request."""
    form = CommentForm()
    asked = approvals.get_request(db.session(), request_id, actor=g.actor)
    if form.validate_on_submit():
        approvals.comment(db.session(), asked, actor=g.actor, text=form.text.data or "")
        flash("Your comment stands beside the request.", "ok")
    return redirect(url_for("approvals.review", request_id=request_id, _anchor="discussion"), 303)


@bp.post("/<uuid:request_id>/withdraw")
def withdraw(request_id: UUID) -> Answer:
    """The requester's side takes it back."""
    form = WithdrawForm()
    asked = approvals.get_request(db.session(), request_id, actor=g.actor)
    if form.validate_on_submit():
        approvals.withdraw(db.session(), asked, actor=g.actor, reason=form.reason.data or "")
        flash("The request is withdrawn; the version can be submitted again.", "ok")
    else:
        flash("Say why you withdraw it.", "stop")
    return redirect(url_for("approvals.review", request_id=request_id), 303)


def _page(asked: ReleaseRequest, form: DecisionForm) -> str:
    session = db.session()
    version = asked.version
    base = approvals.last_approved_before(session, version)
    gates = approvals.gates_of(session, asked)
    person = session.get_one(Person, g.actor.person_id) if g.actor.person_id else None
    log = proofs.timeline(session, [asked.audit_ref(), version.audit_ref()], most=12)
    refs = {asked.requested_by, version.author, version.uploader}
    refs |= {entry.author for entry in asked.dossier} | {metric.declared_by for metric in version.metrics}
    filters.name_actors(refs | {entry.actor for entry, _ in log})
    return render_template(
        "approvals/review.html",
        request_=asked,
        version=version,
        model=version.model,
        base=base,
        comparison=compare.compare(session, base, version),
        gates=gates,
        open_now=_open(gates, asked),
        why_not=approvals.why_not(session, asked, actor=g.actor),
        form=form,
        comment_form=CommentForm(formdata=None),
        withdraw_form=WithdrawForm(formdata=None),
        statements={outcome: approvals.statement(asked, person=person, outcome=outcome) for outcome in Outcome}
        if person
        else {},
        bundles=[_share(bundle, version.model_id) for bundle in bundles.holding(session, version.model)],
        uses=catalog.uses_of(session, version.model),
        log=log,
        may_withdraw=asked.state is RequestState.OPEN and access.may("submit", version.model.team_id),
        is_open=asked.state is RequestState.OPEN,
    )


def _open(gates: list[Any], asked: ReleaseRequest) -> str:
    """What is open, in one line."""
    if asked.state is not RequestState.OPEN:
        return f"nothing: the request is {asked.state.replace('_', ' ')}."
    stopped = [gate.title for gate in gates if gate.state == "stop"]
    if stopped:
        return f"blocked by: {'; '.join(stopped)}."
    waiting = [gate.title for gate in gates if gate.state == "wait"]
    return f"nothing blocks; signatures are owed: {'; '.join(waiting).lower()}." if waiting else "nothing."


def _share(bundle: Bundle, model_id: UUID) -> tuple[str, str]:
    """A bundle's name and how this model is split in it."""
    members = [member for member in bundle.members if member.model_id == model_id]
    shares = ", ".join(
        f"{f'version {member.version.number}' if member.version else member.follow}: {member.weight} %"
        for member in members
    )
    return bundle.full_name, shares
