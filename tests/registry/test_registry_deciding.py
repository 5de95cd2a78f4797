"""Decisions: who may sign what, once, and that a refusal changes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from formats import canonical
from registry import approvals, audit, catalog, checking, clock, decisions, judging, policies, proofs, references
from registry.errors import (
    Conflict,
    InteractiveOnly,
    Invalid,
    MissingRole,
    SecondFactorRequired,
    SelfApproval,
    StaleReview,
    WrongStage,
)
from registry.orm.account import Person, Role
from registry.orm.approval import Decision, Outcome, RequestState
from registry.orm.catalog import Stage
from tests import factories
from tests.factories import MODEL
from tests.registry.reviewing import decide, fits, review, revoke, state
from tests.support import nothing_changes, refused

# --------------------------------------------------------------------------------------------------- deciding


def test_two_different_people_one_of_them_from_compliance(world):
    request = review(world)
    decide(world, "vic")
    assert state(world) == (RequestState.OPEN, Stage.IN_REVIEW)
    decide(world, "val")
    assert state(world) == (RequestState.OPEN, Stage.IN_REVIEW), "two validators are not enough"
    decide(world, "cora")
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)
    with world.read() as session:
        version = world.version(session, "approved")
        assert version.release_digest == request.release_digest == checking.recompute(session, version)
        assert version.approved_until - clock.now() > timedelta(days=364)
        assert catalog.get_model(session, MODEL, actor=world.kim).latest_approved == 1
        assert proofs.verify(session)


def test_one_person_of_both_roles_is_still_one_person(world):
    review(world)
    decide(world, "max")
    assert state(world) == (RequestState.OPEN, Stage.IN_REVIEW)
    decide(world, "vic")
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)


def test_a_decision_keeps_the_statement_exactly_as_it_was_shown(world):
    request = review(world)
    with world.write() as session:
        person = session.get_one(Person, world.vic.person_id)
        shown = decisions.statement(world.request(session), person=person, outcome=Outcome.APPROVE)
        decision = factories.decide(session, request, world.vic)
    with world.read() as session:
        stored = session.get_one(Decision, decision.id)
        assert stored.statement["statement"] == shown
        assert stored.statement_digest == canonical.digest(stored.statement)
        assert request.release_digest in shown
        assert "routing customer feedback" in shown
        assert "Vic (vic)" in shown
        assert stored.statement["method"] == "password+totp"
        assert stored.roles == ["validator"]
        assert fits("decision", stored.statement)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_a_statement_that_fits_its_schema(world, outcome):
    review(world)
    assert fits("decision", decide(world, "cora", outcome).statement)


def test_the_standard_policy_fits_its_schema():
    assert fits("policy", policies.STANDARD)


# --------------------------------------------------------------------------------------------------- refusals


def _all_by_max(world):
    with world.write() as session:
        factories.request_in_review(session, world, actor=world.max)


def _submitted_by_max(world):
    with world.write() as session:
        factories.submit(session, world, factories.ready_version(session, world), actor=world.max)


def _submitted_by_max_and_then_by_ana(world):
    _submitted_by_max(world)
    with world.write() as session:
        approvals.withdraw(session, world.request(session), actor=world.max, reason="ana asks instead")
        factories.submit(session, world, references.get_version(session, factories.MODEL, 1, actor=world.ana))


def _uploaded_by_max(world):
    """As if max had sent the bytes of ana's work."""
    with world.write() as session:
        version = factories.ready_version(session, world)
        version.uploader = world.max.ref
        audit.record(session, audit.Action.VERSION_TAGGED, actor=world.ana, subject=version)
    with world.write() as session:
        factories.submit(session, world, world.version(session))


def _pipeline_of_max(world):
    with world.write() as session:
        service = factories.service(session, world, actor=world.max)
        by_pipeline = factories.token(session, world.ana, service=service)
        factories.submit(session, world, factories.ready_version(session, world, actor=by_pipeline))


def _pipeline_that_max_holds_a_token_of(world):
    """Whoever holds a pipeline's token can push as the pipeline."""
    with world.write() as session:
        service = factories.service(session, world, actor=world.ana)
        by_pipeline = factories.token(session, world.max, service=service)
        factories.submit(session, world, factories.ready_version(session, world, actor=by_pipeline))


def _pipeline_that_names_max(world):
    with world.write() as session:
        service = factories.service(session, world, actor=world.ana)
        by_pipeline = factories.token(session, world.ana, service=service)
        factories.submit(session, world, factories.ready_version(session, world, actor=by_pipeline, author="max"))


@pytest.mark.parametrize(
    ("prepare", "word"),
    [
        pytest.param(_all_by_max, "made", id="own-version"),
        pytest.param(_submitted_by_max, "submitted", id="submitter"),
        pytest.param(_submitted_by_max_and_then_by_ana, "submitted", id="earlier-submitter"),
        pytest.param(_uploaded_by_max, "uploaded", id="uploader"),
        pytest.param(_pipeline_of_max, "pipeline", id="pipeline-owner"),
        pytest.param(_pipeline_that_max_holds_a_token_of, "pipeline", id="pipeline-token"),
        pytest.param(_pipeline_that_names_max, "made", id="named-author"),
    ],
)
def test_nobody_decides_on_their_own_work(world, prepare, word):
    prepare(world)
    with world.read() as session:
        why = judging.why_not(session, world.request(session), actor=world.max)
        assert word in why
    for outcome in Outcome:
        error = refused(
            world.database,
            SelfApproval,
            lambda session, outcome=outcome: factories.decide(session, world.request(session), world.max, outcome),
        )
        assert why in str(error)
        assert error.hint


@pytest.mark.parametrize(
    ("name", "change", "overrides", "error"),
    [
        pytest.param("vic", {}, {"seen_release": "sha256:" + "0" * 64}, StaleReview, id="stale-release"),
        pytest.param("vic", {}, {"seen_dossier": "sha256:" + "0" * 64}, StaleReview, id="stale-dossier"),
        pytest.param("vic", {}, {"seen_release": ""}, StaleReview, id="nothing-seen"),
        pytest.param("vic", {"second_factor": False}, {}, SecondFactorRequired, id="no-second-factor"),
        pytest.param("vic", {"scopes": frozenset({"read", "push", "submit"})}, {}, InteractiveOnly, id="token"),
        pytest.param("vic", {"roles": frozenset()}, {}, MissingRole, id="no-role"),
        pytest.param("ben", {}, {}, MissingRole, id="scientist"),
        pytest.param("root", {}, {}, MissingRole, id="administrator"),
        pytest.param("vic", {}, {"reason": "  "}, Invalid, id="no-reason"),
        pytest.param("vic", {}, {"reason": "x" * 4001}, Invalid, id="long-reason"),
    ],
)
def test_a_refused_decision_changes_nothing(world, name, change, overrides, error):
    review(world)
    actor = replace(world.actors[name], **change)
    caught = refused(
        world.database,
        error,
        lambda session: factories.decide(session, world.request(session), actor, **overrides),
    )
    assert caught.hint
    with nothing_changes(world.database), world.write() as session, pytest.raises(error):
        # Nor does it when the caller goes on and commits what was done before the refusal.
        factories.decide(session, world.request(session), actor, **overrides)


def test_nobody_signs_twice(world):
    review(world)
    decide(world, "cora")
    for outcome in Outcome:
        error = refused(
            world.database,
            SelfApproval,
            lambda session, outcome=outcome: factories.decide(session, world.request(session), world.cora, outcome),
        )
        assert "signed already" in str(error)


def test_a_decisions_id_works_once(world):
    review(world)
    used = decide(world, "vic").id
    refused(
        world.database,
        Conflict,
        lambda session: factories.decide(session, world.request(session), world.cora, decision_id=used),
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_a_closed_request_takes_no_more_decisions(world, outcome):
    review(world)
    decide(world, "cora", Outcome.REJECT)
    error = refused(
        world.database,
        WrongStage,
        lambda session: factories.decide(session, world.request(session), world.vic, outcome),
    )
    assert error.hint


def test_new_words_in_the_dossier_make_an_open_page_stale(world):
    """The decision names the dossier; who has not read its last entry has not read it."""
    seen = review(world).dossier_digest
    with world.write() as session:
        approvals.comment(session, world.request(session), actor=world.val, text="Look at row 7.")
    refused(
        world.database,
        StaleReview,
        lambda session: factories.decide(session, world.request(session), world.vic, seen_dossier=seen),
    )


def test_whoever_lost_the_role_since_the_page_was_opened_cannot_sign(world):
    review(world)
    revoke(world, "vic", Role.VALIDATOR)
    refused(world.database, MissingRole, lambda session: factories.decide(session, world.request(session), world.vic))
