"""The review queue and the decision page. Every form comes back with its text when it is refused."""

from typing import Any
from uuid import UUID, uuid4

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import db, filters, nav
from portal.approvals import bp, deciding, reading
from portal.approvals.forms import AnswerForm, CommentForm, DecisionForm, WithdrawForm
from portal.forms import Form
from registry import access as rules
from registry import approvals, judging, paging
from registry.access import Permission
from registry.errors import Stale
from registry.orm.approval import ReleaseRequest

Answer = str | tuple[str, int] | BaseResponse
PAGE = 25


@bp.get("")
def queue() -> str:
    """Requests: those one can still sign, all open ones oldest first, or ended ones newest first."""
    decides = bool(g.actor.roles & rules.ROLES[Permission.DECIDE])
    state = request.args.get("state", "")
    if state not in ("mine", "open", "done"):
        state = "mine" if decides else "open"
    cursor = paging.Cursor(limit=PAGE, after=request.args.get("cursor"))
    session = db.session()
    page = approvals.queue(session, cursor, actor=g.actor, done=state == "done", mine=state == "mine")
    filters.name_actors({item.requested_by for item in page.items})
    return render_template(
        "approvals/queue.html",
        page=page,
        rows=list(zip(page.items, judging.why_not_each(session, page.items, actor=g.actor), strict=True)),
        state=state,
        decides=decides,
        waiting=nav.waiting() if decides else 0,
    )


@bp.route("/<uuid:request_id>", methods=["GET", "POST"])
def review(request_id: UUID) -> Answer:
    """Read it, and decide."""
    form = DecisionForm()
    if form.validate_on_submit() and deciding.sign(request_id, form):
        flash(deciding.said(form.result), "ok")
        return redirect(url_for("approvals.review", request_id=request_id), 303)
    return _page(_load(request_id), form, decision=form)


@bp.route("/<uuid:request_id>/comments", methods=["GET", "POST"])
def comment(request_id: UUID) -> Answer:
    """Say something beside the request."""
    form = CommentForm()
    if form.validate_on_submit() and form.attempt(_comment, request_id, form):
        flash("Your comment stands beside the request.", "ok")
        return _back(request_id, "discussion")
    if request.method == "GET":
        return _back(request_id, "discussion")
    return _page(_load(request_id), form, comment=form)


def _comment(request_id: UUID, form: CommentForm) -> None:
    approvals.comment(db.session(), _load(request_id), actor=g.actor, text=form.text.data or "")


@bp.route("/<uuid:request_id>/answers", methods=["GET", "POST"])
def answer(request_id: UUID) -> Answer:
    """The requester's side answers what the checks noticed."""
    form = AnswerForm()
    if form.validate_on_submit() and form.attempt(_answer, request_id, form):
        flash("Your answer is part of the dossier.", "ok")
        return _back(request_id, "noticed")
    if request.method == "GET":
        return _back(request_id, "noticed")
    return _page(_load(request_id), form, answer=form)


def _answer(request_id: UUID, form: AnswerForm) -> None:
    about, text = form.about.data or "", form.text.data or ""
    approvals.answer(db.session(), _load(request_id), actor=g.actor, about=about, text=text)


@bp.route("/<uuid:request_id>/withdraw", methods=["GET", "POST"])
def withdraw(request_id: UUID) -> Answer:
    """The requester's side takes it back."""
    form = WithdrawForm()
    if form.validate_on_submit() and form.attempt(_withdraw, request_id, form):
        flash("The request is withdrawn; the version can be submitted again.", "ok")
        return _back(request_id)
    if request.method == "GET":
        return _back(request_id, "withdraw")
    return _page(_load(request_id), form, withdraw=form)


def _withdraw(request_id: UUID, form: WithdrawForm) -> None:
    approvals.withdraw(db.session(), _load(request_id), actor=g.actor, reason=form.reason.data or "")


def _load(request_id: UUID) -> ReleaseRequest:
    return approvals.get_request(db.session(), request_id, actor=g.actor)


def _back(request_id: UUID, anchor: str | None = None) -> BaseResponse:
    return redirect(url_for("approvals.review", request_id=request_id, _anchor=anchor), 303)


def _page(asked: ReleaseRequest, form: Form, **forms: Any) -> tuple[str, int]:
    """The page with one form as it came back and the others empty."""
    decision: DecisionForm = forms.get("decision") or DecisionForm(formdata=None)
    seen = decision.seen_release.data or asked.release_digest, decision.seen_dossier.data or asked.dossier_digest
    # What is on the page now is what a new signature covers.
    decision.decision_id.data = uuid4().hex
    decision.seen_release.data, decision.seen_dossier.data = asked.release_digest, asked.dossier_digest
    decision.code.data = ""
    said_since = reading.since(asked, *seen)
    return render_template(
        "approvals/review.html",
        **reading.page(db.session(), asked),
        form=decision,
        comment_form=forms.get("comment") or CommentForm(formdata=None),
        answer_form=forms.get("answer") or AnswerForm(formdata=None),
        withdraw_form=forms.get("withdraw") or WithdrawForm(formdata=None),
        said_since=said_since,
        is_stale=isinstance(form.refusal, Stale) or said_since != [],
    ), form.status
