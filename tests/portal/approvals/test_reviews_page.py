"""The decision page: the plain lines first, why one may not decide, and everything that was said, as text."""

import re

import pytest
from sqlalchemy import select

from registry import approvals, audit, bundles, decisions
from registry.access import Actor
from registry.orm.account import Role, RoleGrant
from registry.orm.approval import Outcome
from registry.orm.catalog import CheckReport
from registry.routes import RouteSpec
from tests import factories
from tests.factories import World
from tests.portal.approvals.conftest import EVIL, comment, path_of, words


def in_order(said: str, wanted: list[str]) -> None:
    place = 0
    for part in wanted:
        found = said.find(part, place)
        assert found >= 0, f"{part!r} is missing after {said[max(0, place - 200) : place]!r} in {said}"
        place = found + len(part)


def test_the_plain_lines_come_first_then_metrics_gates_and_the_signature(world, visit) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
    with world.write() as session:
        version = factories.ready_version(
            session,
            world,
            card=factories.card(purpose="Names the team that reads a message"),
            metrics=[factories.versions.MetricClaim("accuracy", 0.88, "october", higher_is_better=True)],
            params={"C": 2},
        )
        asked = factories.submit(session, world, version)
    in_order(
        words(visit("cora").get(path_of(asked.id)).text),
        [
            "Release version 2 of voice?",
            "Needs your signature",
            "In short",
            "Decides Names the team that reads a message",
            "Asked by ana, Payments,",
            "“please”",
            "Approved uses Routing customer feedback, in production. Not for scoring people. Limits: German.",
            "Changed parameters, the card and files, since version 1, the last approved.",
            "Open nothing blocks; 2 signatures are still needed: from compliance, and from compliance or validator.",
            "What changed since version 1?",
            "Accuracy, october 0.91 0.88 ▼ 0.03 worse declared by ana",
            "Line by line",
            "See the full comparison",
            "Gates of policy “Standard”, revision 1",
            "Contents are safe to load, and the model answers",
            "All 6 checks passed.",
            "Two different people 0 of 2",
            "Your decision",
            "I, Cora (cora), have reviewed version 2 of payments/voice and approve it",
            "for routing customer feedback in production for 365 days.",
            "Why?",
            "Your password",
            "One-time code",
            "Sign and approve",
            "Request changes",
            "Reject",
            "Technical proof",
            "Signatures 1 You still needed 2 Somebody from compliance or validator still needed",
            "After the last signature",
            "History Waiting for 2 signatures",
        ],
    )


def test_the_last_signer_is_told_what_it_starts(world, visit, asked) -> None:
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic)
    said = words(visit("cora").get(path_of(asked)).text)
    assert "vic approved as validator" in said
    assert "You the last one needed; it starts the build" in said
    assert "nothing blocks; 1 signature is still needed: from compliance." in said


def test_the_statement_on_the_page_is_the_one_that_is_signed(world, visit, asked) -> None:
    text = visit("cora").get(path_of(asked)).text
    statement = re.search(r'<p class="statement">(.*?)</p>', text, re.DOTALL)
    assert statement
    whole = re.sub(r'<span class="digest" title="([^"]+)">[^<]*</span>', r"\1", statement[1])
    with world.read() as session:
        request = world.request(session)
        person = factories.accounts.load_person(session, username="cora")
        assert whole == decisions.statement(request, person=person, outcome=Outcome.APPROVE)


# --------------------------------------------------------------------------------------------- why one may not


def grant(world: World, username: str, *roles: Role) -> None:
    with world.write() as session:
        person = factories.accounts.load_person(session, username=username)
        for role in roles:
            session.add(
                RoleGrant(person_id=person.id, role=role, proposed_by="system:test", confirmed_by="system:test")
            )
        acting = Actor(ref="system:test", name="test")
        factories.audit.record(session, factories.audit.Action.ROLE_GRANTED, actor=acting, subject=person)


def cannot(text: str) -> str:
    """The sentence that says why not; none of the buttons may be there."""
    assert 'name="outcome"' not in text
    assert 'name="password"' not in text
    found = re.search(r"You cannot decide: [^<]*", text)
    assert found, words(text)
    return found[0]


def test_the_author_may_not(world, visit, asked) -> None:
    grant(world, "ana", Role.COMPLIANCE)
    said = cannot(visit("ana").get(path_of(asked)).text)
    assert said == "You cannot decide: you made it, and nobody decides on their own work."


def test_the_submitter_may_not(world, visit) -> None:
    with world.write() as session:
        version = factories.ready_version(session, world, actor=world.ben)
        asked = factories.submit(session, world, version, actor=world.max)
    said = cannot(visit("max").get(path_of(asked.id)).text)
    assert said == "You cannot decide: you submitted it, and nobody decides on their own work."


def test_who_made_the_pipeline_that_uploaded_may_not(world, visit) -> None:
    with world.write() as session:
        service = factories.service(session, world, actor=world.max)
        acting = Actor(
            ref=service.audit_ref(),
            name="pipeline",
            roles=frozenset({Role.SCIENTIST}),
            teams=world.max.teams,
            scopes=frozenset({"read", "push", "submit"}),
        )
        version = factories.ready_version(session, world, actor=acting)
        asked = factories.submit(session, world, version, actor=world.ben)
    said = cannot(visit("max").get(path_of(asked.id)).text)
    assert said.startswith("You cannot decide: you own the pipeline that ")
    assert said.endswith("and nobody decides on their own work.")


@pytest.mark.parametrize("username", ["ana", "ben", "kim", "aud", "ops", "root"])
def test_other_roles_are_told_which_is_needed(visit, asked, username) -> None:
    said = cannot(visit(username).get(path_of(asked)).text)
    needs = "that needs the role compliance or validator."
    own = "you made it, and nobody decides on their own work."
    assert said == f"You cannot decide: {own if username == 'ana' else needs}"


def test_who_has_signed_may_not_sign_again(world, visit, asked) -> None:
    with world.write() as session:
        factories.decide(session, world.request(session), world.cora)
    said = cannot(visit("cora").get(path_of(asked)).text)
    assert said == "You cannot decide: you have signed already; another person must be the next."


def test_the_gates_of_what_was_approved_are_told_as_they_were(world, visit, asked) -> None:
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic)
        factories.decide(session, world.request(session), world.cora)
    with world.write() as session:  # what a check says later on
        session.scalars(select(CheckReport).where(CheckReport.step == "scan")).one().outcome = "failed"
        audit.record(session, audit.Action.VERSION_RETRIED, actor=world.ana, subject=world.version(session))
    said = words(visit("vic").get(path_of(asked)).text)
    assert "Open when it was approved." in said
    assert "Not reached before the request ended." not in said


@pytest.mark.parametrize(("outcome", "heading", "stage"), [
    (Outcome.REJECT, "Version 1 of voice: rejected", "Rejected"),
    (Outcome.REQUEST_CHANGES, "Version 1 of voice: changes requested", "Ready to submit"),
])  # fmt: skip
def test_an_ended_request_is_a_record(world, visit, asked, outcome, heading, stage) -> None:
    with world.write() as session:
        factories.decide(session, world.request(session), world.cora, outcome, reason="Recall fell.")
    text = visit("vic").get(path_of(asked)).text
    said = words(text)
    in_order(said, [heading, stage, "Open nothing: this request is", "What was said", "cora", "Recall fell."])
    assert "Not reached before the request ended." in said
    assert 'name="outcome"' not in text
    assert "Withdraw the request" not in text
    assert 'name="text"' not in text


# ------------------------------------------------------------------------------------------------ hostile text


def test_hostile_text_stays_text(world, visit) -> None:
    with world.write() as session:
        version = factories.ready_version(session, world, card=factories.card(purpose=EVIL), label="1.0")
        terms = approvals.Terms([EVIL], [EVIL], [EVIL], [EVIL])
        asked = approvals.submit(session, version, actor=world.ana, note=EVIL, terms=terms).id
    comment(world, asked, EVIL)
    with world.write() as session:
        factories.decide(session, world.request(session), world.vic, reason=EVIL)
    for username in ("cora", "ana"):
        text = visit(username).get(path_of(asked)).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert text.count("&lt;script&gt;alert(1)") >= 8


def test_there_is_no_such_review(visit) -> None:
    answer = visit("cora").get("/reviews/01a20650-0000-7000-8000-000000000000")
    assert answer.status_code == 404
    assert "there is no such review" in answer.text.lower()


def test_only_bundles_that_the_approval_bakes_are_named(world, visit, asked) -> None:
    with world.write() as session:
        factories.approved_version(session, world)  # version 2
        routes = [RouteSpec("feedback", [factories.pinned(2)])]
        bundles.create(session, actor=world.ana, full_name="payments/pinned", routes=routes)
    said = words(visit("cora").get(path_of(asked)).text)
    assert "Builds payments/voice what is approved: 100 % Used by" in said
