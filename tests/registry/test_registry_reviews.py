"""Other endings of a review, its dossier, and the queue."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from formats import canonical
from registry import approvals, audit, judging, proofs
from registry.errors import (
    Forbidden,
    Invalid,
    MissingRole,
    NotFound,
    WrongStage,
)
from registry.orm.approval import Decision, DossierEntry, Outcome, ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, RegisteredModel, Stage
from registry.orm.image import Build
from registry.paging import Cursor
from tests import factories
from tests.factories import TERMS
from tests.registry.reviewing import decide, fits, review, state
from tests.support import at_once, refused

# --------------------------------------------------------------------------------------------------- other endings


def test_requested_changes_thaw_the_version_and_void_what_was_signed(world):
    review(world)
    decide(world, "vic")
    decide(world, "cora", Outcome.REQUEST_CHANGES)
    assert state(world) == (RequestState.CHANGES_REQUESTED, Stage.READY)
    with world.read() as session:
        decisions = session.scalars(select(Decision)).all()
        assert [bool(decision.voided_at) for decision in decisions] == [True, True]
        assert {decision.void_reason for decision in decisions} == {"changes were requested"}


def test_after_changes_it_can_be_submitted_again_and_old_signatures_do_not_count(world):
    first = review(world)
    decide(world, "vic")
    decide(world, "cora", Outcome.REQUEST_CHANGES)
    with world.write() as session:
        factories.submit(session, world, world.version(session))
    decide(world, "cora")
    assert state(world) == (RequestState.OPEN, Stage.IN_REVIEW)
    decide(world, "vic")
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)
    with world.read() as session:
        assert world.request(session).id != first.id
        assert session.get_one(ReleaseRequest, first.id).state is RequestState.CHANGES_REQUESTED


def test_a_rejection_is_final(world):
    review(world)
    decide(world, "vic")
    decide(world, "cora", Outcome.REJECT)
    assert state(world) == (RequestState.REJECTED, Stage.REJECTED)
    refused(
        world.database,
        WrongStage,
        lambda session: approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS),
    )
    with world.read() as session:
        assert session.scalars(select(Build)).all() == []


def test_withdrawing_thaws_voids_and_keeps_the_history(world):
    request = review(world)
    decide(world, "vic")
    with world.write() as session:
        approvals.withdraw(session, world.request(session), actor=world.ben, reason="wrong file")
    assert state(world) == (RequestState.WITHDRAWN, Stage.READY)
    with world.read() as session:
        (decision,) = session.scalars(select(Decision)).all()
        assert decision.voided_at is not None
        assert decision.void_reason == "the request was withdrawn"
        assert session.get_one(ReleaseRequest, request.id).closed_at is not None
    refused(
        world.database,
        WrongStage,
        lambda session: approvals.withdraw(session, world.request(session), actor=world.ana, reason="again"),
    )


@pytest.mark.parametrize("reason", ["x" * 4001, "\x00", "\ud800"])
def test_a_reason_that_does_not_fit_is_refused(world, reason):
    review(world)
    refused(
        world.database,
        Invalid,
        lambda session: approvals.withdraw(session, world.request(session), actor=world.ana, reason=reason),
    )


def test_new_evidence_voids_what_was_signed_without_it(world):
    review(world)
    decide(world, "vic")
    with world.write() as session:
        request = world.request(session)
        approvals._append(session, request, actor=world.ana, kind="evidence", text="a new validation report")
        audit.record(session, audit.Action.COMMENTED, actor=world.ana, subject=request)
    decide(world, "cora")
    assert state(world) == (RequestState.OPEN, Stage.IN_REVIEW)
    decide(world, "vic")
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)


# --------------------------------------------------------------------------------------------------- dossier


def test_the_dossier_is_a_chain_of_what_people_said(world):
    review(world)
    for name, text in (("ana", "Trained on October."), ("vic", "Which rows?"), ("ana", "All of them: ä, 🙂.")):
        with world.write() as session:
            approvals.comment(session, world.request(session), actor=world.actors[name], text=text)
    with world.read() as session:
        request = world.request(session)
        assert [entry.position for entry in request.dossier] == [0, 1, 2, 3]
        previous = None
        for entry in request.dossier:
            document = {
                "schema": "countersign.dossier-entry/1",
                "kind": entry.kind,
                "author": entry.author,
                "text": entry.text,
                "previous": previous,
            }
            assert fits("dossier-entry", document)
            previous = canonical.digest(document)
            assert entry.digest == previous
        assert request.dossier_digest == previous


def test_comments_at_once_all_find_their_place(world):
    review(world)

    def comment(number):
        with world.write() as session:
            approvals.comment(session, world.request(session), actor=world.ana, text=f"number {number}")

    assert at_once(*[lambda number=number: comment(number) for number in range(5)]) == [None] * 5
    with world.read() as session:
        assert [entry.position for entry in world.request(session).dossier] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("text", ["", "   ", "x" * 8001, "\x00"])
def test_a_comment_that_does_not_fit_is_refused(world, text):
    review(world)
    refused(
        world.database,
        Invalid,
        lambda session: approvals.comment(session, world.request(session), actor=world.ana, text=text),
    )


def test_strangers_do_not_comment(world):
    review(world)
    refused(
        world.database,
        Forbidden,
        lambda session: approvals.comment(session, world.request(session), actor=world.lea, text="Hello?"),
    )


# --------------------------------------------------------------------------------------------------- queue


def test_the_queue_shows_open_requests_oldest_first_and_done_ones_newest_first(world):
    for _ in range(4):
        with world.write() as session:
            factories.request_in_review(session, world)
    for number in (1, 3):
        decide(world, "cora", Outcome.REJECT, number=number)
    with world.read() as session:
        listed = [
            [
                request.version.number
                for request in approvals.queue(session, Cursor(), actor=world.cora, done=done).items
            ]
            for done in (False, True)
        ]
    assert listed == [[2, 4], [3, 1]]


def test_what_waits_is_what_this_person_could_sign(world):
    review(world)
    with world.write() as session:
        factories.request_in_review(session, world, actor=world.max)
    decide(world, "cora")
    with world.read() as session:
        counts = {name: approvals.count_waiting(session, actor=actor) for name, actor in world.actors.items()}
    assert {name: count for name, count in counts.items() if count} == {
        "vic": 2,
        "val": 2,
        "carl": 2,
        "cora": 1,
        "max": 1,
    }


def test_a_private_models_request_is_for_its_team_and_reviewers(world):
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        request = factories.request_in_review(session, world, model="payments/secret")
    with world.read() as session:
        seen = set()
        for name, actor in world.actors.items():
            try:
                approvals.get_request(session, request.id, actor=actor)
                seen.add(name)
            except (NotFound, MissingRole):
                assert approvals_in_queue(session, actor) == []
    assert seen == {"ana", "ben", "max", "vic", "val", "cora", "carl"}


def approvals_in_queue(session, actor):
    if not actor.roles:
        return []
    return [request.id for request in approvals.queue(session, Cursor(), actor=actor).items]


def test_why_not_tells_everybody_their_reason(world):
    review(world)
    decide(world, "cora")
    with world.read() as session:
        request = world.request(session)
        by_token = replace(world.vic, scopes=frozenset({"read"}))
        bare = replace(world.vic, second_factor=False)
        told = {
            who: judging.why_not(session, request, actor=actor)
            for who, actor in (world.actors | {"token": by_token, "bare": bare}).items()
        }
    assert {who for who, why in told.items() if why is None} == {"vic", "val", "carl", "max"}
    assert told["ana"] == "you made it, and nobody decides on their own work."
    assert "signed already" in told["cora"]
    assert "token" in told["token"]
    assert "second factor" in told["bare"]
    assert "validator" in told["root"]


def test_the_one_before_is_the_newest_approved_with_a_lower_number(world):
    with world.write() as session:
        factories.approved_version(session, world)
        factories.ready_version(session, world)
        factories.approved_version(session, world)
        fourth = factories.ready_version(session, world)
        assert approvals.last_approved_before(session, fourth).number == 3
        assert approvals.last_approved_before(session, world.version(session, 3)).number == 1
        assert approvals.last_approved_before(session, world.version(session, 1)) is None


def test_everything_of_a_release_is_in_the_log(world):
    with world.write() as session:
        factories.approved_version(session, world)
    with world.read() as session:
        entries = proofs.search(session, proofs.Filters(), Cursor(limit=30), actor=world.aud).items
        actions = [entry.action for entry in reversed(entries)]
    assert actions[-8:] == [
        "model:registered",
        "version:registered",
        "version:checked",
        "version:submitted",
        "request:decided",
        "request:decided",
        "version:approved",
        "build:requested",
    ]
    with world.read() as session:
        assert session.scalars(select(DossierEntry)).one().author == world.ana.ref
        assert session.scalars(select(ModelVersion.stage)).one() is Stage.APPROVED
        assert session.scalars(select(RegisteredModel.latest_approved)).one() == 1
