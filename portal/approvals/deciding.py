"""Signing a release request."""

from uuid import UUID

from flask import g

from portal import db, reauthentication
from portal.approvals.forms import DecisionForm
from registry import approvals, decisions
from registry.orm.approval import Decision, Outcome, ReleaseRequest, RequestState

DONE = {
    Outcome.REQUEST_CHANGES: "You asked for changes; the version is open again.",
    Outcome.REJECT: "You rejected it. A new version can follow.",
}


def sign(request_id: UUID, form: DecisionForm) -> bool:
    """Whether the decision stands; if not, ``form`` says why."""

    def decide(decision_id: UUID, outcome: Outcome) -> Decision:
        session = db.session()
        return decisions.decide(
            session,
            approvals.get_request(session, request_id, actor=g.actor),
            actor=g.actor,
            decision_id=decision_id,
            outcome=outcome,
            reason=form.reason.data or "",
            seen_release=form.seen_release.data or "",
            seen_dossier=form.seen_dossier.data or "",
            method=reauthentication.METHOD,
        )

    return reauthentication.sign(form, Decision, decide)


def said(decision: Decision) -> str:
    """What was achieved, as the next page says it."""
    if decision.outcome is not Outcome.APPROVE:
        return DONE[decision.outcome]
    if db.session().get_one(ReleaseRequest, decision.request_id).state is RequestState.APPROVED:
        return "Signed. Yours was the last signature needed: the version is released, and its images are being built."
    return "Signed. Another person must sign too before it is released."
