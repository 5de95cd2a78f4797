"""Requests for release: reading them and saying something. Deciding is for signed-in people, in the portal."""

from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import operation
from portal.api.documents.reviews import (
    EntryDocument,
    NewAnswer,
    NewComment,
    ReviewDocument,
    ReviewPage,
    ReviewQuery,
    review_document,
    review_page,
)
from registry import accounts, approvals
from registry.access import Permission
from registry.errors import Forbidden, Invalid, WrongStage


@operation("GET", "/reviews", answers={200: ReviewPage})
def list_reviews(call: Call, query: ReviewQuery) -> Answer:
    """List requests for release."""
    found = approvals.queue(call.session, query.place(), actor=call.actor, done=query.state == "done")
    return Answer(review_page(call.session, found.items, found.next))


@operation("GET", "/reviews/<review_id>", answers={200: ReviewDocument})
def show_review(call: Call, review_id: str) -> Answer:
    """Show a request for release: its gates, its dossier, who decided what."""
    request = approvals.get_request(call.session, ident(review_id, "review"), actor=call.actor)
    return Answer(review_document(call.session, request))


@operation(
    "POST",
    "/reviews/<review_id>/answers",
    answers={201: EntryDocument},
    needs=Permission.SUBMIT,
    refuses=(Forbidden, Invalid, WrongStage),
)
def answer(call: Call, review_id: str, body: NewAnswer) -> Answer:
    """Answer what the checks noticed; the requester's side does."""
    request = approvals.get_request(call.session, ident(review_id, "review"), actor=call.actor)
    entry = approvals.answer(call.session, request, actor=call.actor, about=body.about, text=body.text)
    names = accounts.display_names(call.session, {entry.author})
    return Answer(EntryDocument.of(entry, names), 201, tagged=False)


@operation(
    "POST",
    "/reviews/<review_id>/comments",
    answers={201: EntryDocument},
    needs=Permission.COMMENT,
    refuses=(Forbidden, WrongStage),
)
def comment(call: Call, review_id: str, body: NewComment) -> Answer:
    """Say something beside a request."""
    request = approvals.get_request(call.session, ident(review_id, "review"), actor=call.actor)
    entry = approvals.comment(call.session, request, actor=call.actor, text=body.text)
    call.session.flush()
    names = accounts.display_names(call.session, {entry.author})
    return Answer(EntryDocument.of(entry, names), 201, tagged=False)
