"""Asking for release: what freezes, what must be said, and when nobody could ever decide."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from formats.card import NOT_STATED
from registry import accounts, approvals, audit, judging, policies
from registry.errors import (
    Blocked,
    Invalid,
    WrongStage,
)
from registry.orm.approval import PolicyRevision, ReleaseRequest, RequestState
from registry.orm.catalog import Stage
from tests import factories
from tests.factories import TERMS
from tests.registry.reviewing import decide, review, state
from tests.support import at_once, kinds, refused

# --------------------------------------------------------------------------------------------------- submitting


def test_submitting_freezes_the_version_and_opens_a_dossier(world):
    request = review(world)
    with world.read() as session:
        stored = world.request(session)
        assert (stored.id, stored.state) == (request.id, RequestState.OPEN)
        assert world.version(session).stage is Stage.IN_REVIEW
        assert stored.release_digest == world.version(session).release_digest
        (entry,) = stored.dossier
        assert (entry.kind, entry.text, entry.digest) == ("request", "please", stored.dossier_digest)
        assert stored.policy.name == "standard"
        assert (stored.uses, stored.environments) == (TERMS.uses, TERMS.environments)


@pytest.mark.parametrize(
    ("make", "stage"),
    [
        (factories.checking_version, Stage.CHECKING),
        (factories.failed_version, Stage.CHECK_FAILED),
        (factories.request_in_review, Stage.IN_REVIEW),
        (factories.approved_version, Stage.APPROVED),
    ],
)
def test_only_a_ready_version_is_submitted(world, make, stage):
    with world.write() as session:
        make(session, world)
    error = refused(
        world.database,
        WrongStage,
        lambda session: approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS),
    )
    assert f"in the stage {stage.replace('_', ' ')}," in str(error)
    assert error.hint


def test_a_card_that_says_not_what_the_model_is_for_is_not_submitted(world):
    with world.write() as session:
        version = factories.ready_version(session, world)
        version.card_head = version.card_head | {"purpose": NOT_STATED}
        audit.record(session, audit.Action.VERSION_REGISTERED, actor=world.ana, subject=version)
    error = refused(
        world.database,
        Invalid,
        lambda session: approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS),
    )
    assert "does not say what payments/voice is for" in str(error)


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"uses": []}, "/uses"),
        ({"uses": ["  "]}, "/uses"),
        ({"uses": ["x" * 301]}, "/uses"),
        ({"uses": ["x"] * 21}, "/uses"),
        ({"uses": ["\x00"]}, "/uses"),
        ({"environments": []}, "/environments"),
        ({"limits": ["x"] * 21}, "/limits"),
        ({"prohibited_uses": ["x" * 301]}, "/prohibited_uses"),
    ],
)
def test_terms_that_do_not_fit_are_refused(world, terms, pointer):
    with world.write() as session:
        factories.ready_version(session, world)
    error = refused(
        world.database,
        Invalid,
        lambda session: approvals.submit(
            session, world.version(session), actor=world.ana, note="", terms=replace(TERMS, **terms)
        ),
    )
    assert [at for at, _ in error.errors] == [pointer]


def test_submitting_twice_at_once_opens_one_request(world):
    with world.write() as session:
        factories.ready_version(session, world)

    def submit():
        with world.write() as session:
            approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS)

    assert kinds(at_once(submit, submit, submit)) == ["NoneType", "WrongStage", "WrongStage"]
    with world.read() as session:
        assert len(session.scalars(select(ReleaseRequest)).all()) == 1


# --------------------------------------------------------------------------------------------------- fail closed


def test_without_a_policy_nothing_is_submitted(world):
    with world.write() as session:
        factories.ready_version(session, world)
        policy = session.scalars(select(PolicyRevision)).one()
        session.delete(policy)
        audit.record(session, audit.Action.POLICY_REVISED, actor=world.root, subject=policy)
    error = refused(
        world.database,
        Blocked,
        lambda session: approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS),
    )
    assert error.hint


@pytest.mark.parametrize(
    "gates",
    [
        pytest.param([], id="empty"),
        pytest.param([{"code": "x", "kind": "magic", "title": "Magic"}], id="unknown-kind"),
        pytest.param(
            [{"code": "x", "kind": "people", "title": "P", "count": 0, "roles": ["validator"]}], id="zero-people"
        ),
        pytest.param([{"code": "x", "kind": "people", "title": "P", "count": 1, "roles": []}], id="no-roles"),
        pytest.param([{"code": "x", "kind": "people", "title": "P", "count": 1, "roles": ["boss"]}], id="unknown-role"),
    ],
)
def test_a_policy_that_asks_for_nothing_approves_nothing(world, gates):
    with world.write() as session:
        factories.ready_version(session, world)
        body = policies.STANDARD | {"revision": 2, "gates": gates}
        policy = PolicyRevision(
            name="standard", revision=2, body=body, digest=policies.digest(body), created_by=world.root.ref
        )
        session.add(policy)
        audit.record(session, audit.Action.POLICY_REVISED, actor=world.root, subject=policy)
    error = refused(
        world.database,
        Blocked,
        lambda session: approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS),
    )
    assert error.hint


@pytest.mark.parametrize(
    "gone", [["carl", "cora", "max"], ["vic", "val", "max", "cora"]], ids=["no-compliance", "one-left"]
)
def test_submitting_says_at_once_that_nobody_could_decide(world, gone):
    with world.write() as session:
        factories.ready_version(session, world)
        for name in gone:
            accounts.disable_person(session, accounts.load_person(session, username=name), actor=world.root)
    error = refused(
        world.database,
        Blocked,
        lambda session: approvals.submit(session, world.version(session), actor=world.ana, note="", terms=TERMS),
    )
    assert "compliance" in str(error)


def test_a_request_whose_last_reviewer_leaves_stands_still_and_says_so(world):
    review(world)
    decide(world, "vic")
    with world.write() as session:
        for name in ("carl", "cora", "max"):
            accounts.disable_person(session, accounts.load_person(session, username=name), actor=world.root)
    decide(world, "val")
    assert state(world) == (RequestState.OPEN, Stage.IN_REVIEW)
    with world.read() as session:
        gates = {gate.code: gate for gate in judging.gates(session, world.request(session))}
    assert gates["two-people"].state == "ok"
    assert gates["compliance"].state == "stop"
    assert "nobody could" in gates["compliance"].why


def test_a_standing_request_keeps_the_policy_it_was_submitted_under(world):
    review(world)
    with world.write() as session:
        body = policies.STANDARD | {"revision": 2, "gates": []}
        policy = PolicyRevision(
            name="standard", revision=2, body=body, digest=policies.digest(body), created_by=world.root.ref
        )
        session.add(policy)
        audit.record(session, audit.Action.POLICY_REVISED, actor=world.root, subject=policy)
    decide(world, "vic")
    decide(world, "cora")
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)
