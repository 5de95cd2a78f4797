"""Signing: re-authenticate the person, then decide, in one request. Refusals come back in the form, text kept."""

from uuid import UUID

from flask import g

from portal import confirming, db
from portal.approvals.forms import DecisionForm
from portal.installation import here
from registry import accounts, approvals, signing_in
from registry.errors import CodeRefused, StaleReview
from registry.orm.approval import Decision, Outcome, ReleaseRequest, RequestState

DONE = {
    Outcome.REQUEST_CHANGES: "You asked for changes; the version is open again.",
    Outcome.REJECT: "You rejected it. A new version can follow.",
}


def sign(request_id: UUID, form: DecisionForm) -> bool:
    """Whether the decision stands; if not, ``form`` says why."""
    if form.wanted is None:
        form.outcome.errors = ["Press one of the three buttons."]
        return False
    if not confirming.is_their_password(form):
        return False
    if form.attempt(_decide, request_id, form, form.wanted):
        return True
    if (stands := _recorded(form)) is not None:
        # The button was pressed twice: the first press signed, and the second is answered like it.
        form.result = stands
        return True
    if isinstance(form.refusal, CodeRefused):
        confirming.count_failure()
    return False


def said(decision: Decision) -> str:
    """What was achieved, as the next page says it."""
    if decision.outcome is not Outcome.APPROVE:
        return DONE[decision.outcome]
    if db.session().get_one(ReleaseRequest, decision.request_id).state is RequestState.APPROVED:
        return "Signed. Yours was the last signature needed: the version is released, and its images are being built."
    return "Signed. Another person must sign too before it is released."


def _decide(request_id: UUID, form: DecisionForm, outcome: Outcome) -> Decision:
    session = db.session()
    asked = approvals.get_request(session, request_id, actor=g.actor)
    if (decision_id := _decision_id(form)) is None:
        raise StaleReview("this page does not say which decision it is", hint="It is read anew below; decide again.")
    person = accounts.load_person(session, person_id=g.actor.person_id)
    signing_in.spend_code(session, person, form.code.data or "", purpose="decide", keys=here().vault)
    return approvals.decide(
        session,
        asked,
        actor=g.actor,
        decision_id=decision_id,
        outcome=outcome,
        reason=form.reason.data or "",
        seen_release=form.seen_release.data or "",
        seen_dossier=form.seen_dossier.data or "",
        method=confirming.METHOD,
    )


def _decision_id(form: DecisionForm) -> UUID | None:
    try:
        return UUID(form.decision_id.data or "")
    except ValueError:
        return None


def _recorded(form: DecisionForm) -> Decision | None:
    """Return this very decision by this person, if an earlier press stored it."""
    if (decision_id := _decision_id(form)) is None:
        return None
    with db.reading() as unit:
        found = unit.get(Decision, decision_id)
        return found if found is not None and found.person_id == g.actor.person_id else None
