"""What the tests of the review pages share: an open request, and filling in its forms as a browser does."""

import html
import re
from collections.abc import Callable
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from registry import approvals
from registry.orm.approval import Decision, ReleaseRequest
from tests import factories
from tests.factories import World
from tests.portal.conftest import PASSWORD, Browser, code_for, hidden_fields

REASON = "The October evaluation holds; I read the card."
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture
def asked(world: World) -> UUID:
    """An open request of ana's for version 1 of payments/voice."""
    with world.write() as session:
        return factories.request_in_review(session, world).id


def path_of(request_id: UUID) -> str:
    return f"/reviews/{request_id}"


def filled(text: str, username: str, **overrides: str) -> dict[str, str]:
    """The decision form of a page, as this person fills it in."""
    typed = {"reason": REASON, "password": PASSWORD, "code": code_for(username), "outcome": "approve"}
    return {**hidden_fields(text), **typed, **overrides}


@pytest.fixture
def decide(visit: Callable[[str], Browser]) -> Callable[..., TestResponse]:
    """``decide("cora", request_id, outcome="reject")``: opens the page in a new browser, fills it in, presses."""

    def press(username: str, request_id: UUID, **overrides: str) -> TestResponse:
        browser = visit(username)
        return browser.post(
            path_of(request_id), data=filled(browser.get(path_of(request_id)).text, username, **overrides)
        )

    return press


def words(text: str) -> str:
    """What a reader sees of a page's main part, with single blanks."""
    body = text.partition("<main")[2].partition("<footer")[0]
    body = re.sub(r"<(svg|script|style)\b.*?</\1>", " ", body, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body))).strip()


def state(world: World, request_id: UUID) -> tuple[str, str, int]:
    """Of a request: its state, its version's stage, how many decisions stand."""
    with world.read() as session:
        request = approvals.get_request(session, request_id, actor=world.cora)
        standing = [decision for decision in request.decisions if decision.voided_at is None]
        return request.state.value, request.version.stage.value, len(standing)


def decisions(world: World, request_id: UUID) -> list[Decision]:
    with world.read() as session:
        return list(approvals.get_request(session, request_id, actor=world.cora).decisions)


def comment(world: World, request_id: UUID, text: str, by: str = "ana") -> None:
    """Somebody else says something beside the request."""
    actor = world.actors[by]
    with world.write() as session:
        request: ReleaseRequest = approvals.get_request(session, request_id, actor=actor)
        approvals.comment(session, request, actor=actor, text=text)
