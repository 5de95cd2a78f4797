"""The queue: what waits for whom, in a number of statements that does not grow with it."""

import re
from collections.abc import Callable

import pytest

from portal.approvals import views
from registry.orm.approval import Outcome
from tests import databases, factories
from tests.portal.approvals.conftest import EVIL, words
from tests.portal.conftest import Browser


def test_thirty_requests_cost_as_many_statements_as_one(world, visit) -> None:
    with world.write() as session:
        factories.request_in_review(session, world)
    browser = visit("cora")
    browser.get("/reviews?state=open")
    with databases.statements(world.database) as one:
        browser.get("/reviews?state=open")
    with world.write() as session:
        service = factories.service(session, world)
        factories.token(session, world.ana)
        for _ in range(views.PAGE + 4):
            factories.request_in_review(session, world)
        assert service.id
    with databases.statements(world.database) as many:
        browser.get("/reviews?state=open")
    assert len(many) == len(one), "\n".join(many)


def test_each_role_reads_what_it_means_for_them(world, visit, asked) -> None:
    address = f"/reviews/{asked}"
    for username in ("cora", "vic"):
        text = visit(username).get("/reviews").text
        assert address in text
        assert "Needs your signature" in words(text)
    text = visit("ana").get("/reviews").text
    assert address in text
    assert "waits for its reviewers" in words(text)
    assert "For you" not in words(text)


def test_what_one_made_or_signed_is_not_for_one_any_more(world, visit) -> None:
    with world.write() as session:
        own = factories.request_in_review(session, world, actor=world.max)
        signed = factories.request_in_review(session, world)
        factories.decide(session, signed, world.max)
    browser = visit("max")
    said = words(browser.get("/reviews").text)
    assert "Nothing waits for you" in said
    said = words(browser.get("/reviews?state=open").text)
    assert "You cannot decide: you made it, and nobody decides on their own work." in said
    assert "You cannot decide: you have signed already; another person must be the next." in said
    assert own.id != signed.id


def test_ended_requests_keep_their_outcome(world, visit, asked) -> None:
    with world.write() as session:
        request = world.request(session)
        factories.decide(session, request, world.cora, Outcome.REJECT)
    browser = visit("cora")
    assert f"/reviews/{asked}" not in browser.get("/reviews?state=open").text
    said = words(browser.get("/reviews?state=done").text)
    assert "payments/voice , version 1" in said
    assert "Rejected" in said


def test_a_long_queue_goes_on_behind_a_link(world, visit) -> None:
    with world.write() as session:
        for _ in range(views.PAGE + 2):
            factories.request_in_review(session, world)
    browser = visit("cora")
    first = browser.get("/reviews").text
    address = re.search(r'href="([^"]*cursor=[^"]*)" rel="next"', first)
    assert address
    second = browser.get(address[1].replace("&amp;", "&")).text
    found = [set(re.findall(r"/reviews/([0-9a-f-]{36})", text)) for text in (first, second)]
    assert [len(ids) for ids in found] == [views.PAGE, 2]
    assert not found[0] & found[1]
    assert "Back to the first page" in second


@pytest.mark.parametrize(("username", "address", "wanted"), [
    ("cora", "/reviews", "Nothing waits for you"),
    ("ana", "/reviews", "Nothing waits for a decision"),
    ("cora", "/reviews?state=done", "No review has ended yet"),
])  # fmt: skip
def test_an_empty_list_says_the_next_act(visit: Callable[[str], Browser], username, address, wanted) -> None:
    assert wanted in words(visit(username).get(address).text)


def test_private_models_are_for_their_team_and_reviewers(world, visit) -> None:
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        version = factories.ready_version(session, world, model="payments/secret")
        request = factories.submit(session, world, version)
    for username, sees in (("ana", True), ("cora", True), ("lea", False), ("kim", False)):
        browser = visit(username)
        assert ("payments/secret" in browser.get("/reviews?state=open").text) is sees, username
        assert (browser.get(f"/reviews/{request.id}").status_code == 200) is sees, username


def test_hostile_names_stay_text(world, visit) -> None:
    with world.write() as session:
        factories.request_in_review(session, world, card=factories.card(purpose=EVIL))
    text = visit("cora").get("/reviews").text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "alert(1)" in text
