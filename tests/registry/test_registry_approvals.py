"""Release requests and decisions: who may sign what, once, and that all of an approval is stored or nothing."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from sqlalchemy import select

from formats import canonical
from registry import (
    accounts,
    approvals,
    audit,
    bundles,
    catalog,
    checking,
    clock,
    faults,
    jobs,
    policies,
    proofs,
    versions,
)
from registry.errors import (
    Blocked,
    Conflict,
    Forbidden,
    InteractiveOnly,
    Invalid,
    MissingRole,
    NotFound,
    SecondFactorRequired,
    SelfApproval,
    StaleReview,
    WrongStage,
)
from registry.orm.account import Person, Role, RoleGrant
from registry.orm.approval import Decision, DossierEntry, Outcome, PolicyRevision, ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, RegisteredModel, Stage
from registry.orm.image import Build, BuildState
from registry.orm.job import Job, JobKind
from registry.paging import Cursor
from tests import factories
from tests.factories import MODEL, TERMS
from tests.support import at_once, kinds, nothing_changes, refused

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def fits(schema, document):
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.v1.json").read_text())).validate(document)
    return True


def review(world, **fields):
    """A version of ana's with an open request, as number 1."""
    with world.write() as session:
        return factories.request_in_review(session, world, **fields)


def decide(world, name, outcome=Outcome.APPROVE, number=1, **overrides):
    with world.write() as session:
        actor = world.actors[name] if isinstance(name, str) else name
        return factories.decide(session, world.request(session, number), actor, outcome, **overrides)


def state(world, number=1):
    with world.read() as session:
        return world.request(session, number).state, world.version(session, number).stage


def revoke(world, name, role):
    with world.write() as session:
        query = select(RoleGrant).join(Person, Person.id == RoleGrant.person_id)
        grant = session.scalars(query.where(Person.username == name, RoleGrant.role == role)).one()
        accounts.revoke_role(session, grant, actor=world.root)


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
    assert stage in str(error)
    assert error.hint


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
        gates = {gate.code: gate for gate in approvals.gates_of(session, world.request(session))}
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
        shown = approvals.statement(world.request(session), person=person, outcome=Outcome.APPROVE)
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
        pytest.param(_uploaded_by_max, "uploaded", id="uploader"),
        pytest.param(_pipeline_of_max, "pipeline", id="pipeline-owner"),
        pytest.param(_pipeline_that_max_holds_a_token_of, "pipeline", id="pipeline-token"),
        pytest.param(_pipeline_that_names_max, "made", id="named-author"),
    ],
)
def test_nobody_decides_on_their_own_work(world, prepare, word):
    prepare(world)
    with world.read() as session:
        why = approvals.why_not(session, world.request(session), actor=world.max)
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


# --------------------------------------------------------------------------------------------------- at once


def test_two_people_deciding_at_once_approve_once(world):
    with world.write() as session:
        factories.ready_version(session, world)
        factories.bundle(session, world)
        factories.submit(session, world, world.version(session))
    decide(world, "vic")
    answers = at_once(lambda: decide(world, "cora"), lambda: decide(world, "carl"))
    assert kinds(answers) == ["Decision", "WrongStage"]
    assert_released_once(world)


def assert_released_once(world):
    """One approval, and one build and one job for each of the two bundles that follow the model."""
    assert state(world) == (RequestState.APPROVED, Stage.APPROVED)
    with world.read() as session:
        builds = session.scalars(select(Build)).all()
        assert len(builds) == len({build.bundle_id for build in builds}) == 2
        assert {build.state for build in builds} == {BuildState.QUEUED}
        bakes = session.scalars(select(Job).where(Job.kind == JobKind.BAKE)).all()
        assert {job.subject_id for job in bakes} == {build.id for build in builds}
        entries = proofs.search(session, proofs.Filters(action="version:approved"), Cursor(), actor=world.aud).items
        assert len(entries) == 1
        assert proofs.verify(session)


def test_the_two_needed_people_deciding_at_once_approve(world):
    with world.write() as session:
        factories.ready_version(session, world)
        factories.bundle(session, world)
        factories.submit(session, world, world.version(session))
    answers = at_once(lambda: decide(world, "vic"), lambda: decide(world, "cora"))
    assert kinds(answers) == ["Decision", "Decision"]
    assert_released_once(world)


def test_approving_and_rejecting_at_once_does_one_of_them(world):
    review(world)
    decide(world, "vic")
    answers = at_once(lambda: decide(world, "cora"), lambda: decide(world, "carl", Outcome.REJECT))
    assert kinds(answers) == ["Decision", "WrongStage"]
    assert state(world) in [(RequestState.APPROVED, Stage.APPROVED), (RequestState.REJECTED, Stage.REJECTED)]


def test_withdrawing_while_somebody_decides_does_one_of_them(world):
    review(world)
    decide(world, "vic")

    def withdraw():
        with world.write() as session:
            approvals.withdraw(session, world.request(session), actor=world.ana, reason="wait")

    answers = at_once(lambda: decide(world, "cora"), withdraw)
    assert [name for name in kinds(answers) if name == "WrongStage"] == ["WrongStage"]
    assert state(world) in [(RequestState.APPROVED, Stage.APPROVED), (RequestState.WITHDRAWN, Stage.READY)]


def test_two_versions_of_a_model_approved_at_once_are_both_approved(world):
    for _ in range(2):
        with world.write() as session:
            factories.request_in_review(session, world)
    for number in (1, 2):
        decide(world, "vic", number=number)
    answers = at_once(lambda: decide(world, "cora", number=1), lambda: decide(world, "carl", number=2))
    assert kinds(answers) == ["Decision", "Decision"]
    with world.read() as session:
        assert catalog.get_model(session, MODEL, actor=world.kim).latest_approved == 2
        assert world.version(session, "approved").number == 2
        assert world.version(session, 1).stage is Stage.APPROVED


# --------------------------------------------------------------------------------------------------- all or nothing


class Killed(Exception):
    """Stands for the process ending here."""


STEPS = {
    "close": (approvals, "_close"),
    "stage": (versions, "move"),
    "audit": (audit, "record"),
    "bundles": (bundles, "after_approval"),
    "build": (bundles, "_request"),
    "job": (jobs, "enqueue"),
    "leaf": (audit.merkle, "leaf_hash"),
    "commit": (faults, "reach"),
}
"""Everything the last approval does, in order."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", STEPS)
def test_the_last_approval_is_stored_whole_or_not_at_all(world, monkeypatch, point, when):
    """Stage, pointers, audit entries, builds and jobs: cut off at each step, none of them is there."""
    with world.write() as session:
        factories.ready_version(session, world)
        factories.bundle(session, world)
        factories.submit(session, world, world.version(session))
    decide(world, "vic")
    module, name = STEPS[point]
    real = getattr(module, name)

    def killed(*arguments, **keywords):
        if point == "commit" and arguments != ("before-commit",):
            return
        if when == "after":
            real(*arguments, **keywords)
        raise Killed

    monkeypatch.setattr(module, name, killed)
    refused(world.database, Killed, lambda session: factories.decide(session, world.request(session), world.cora))
    monkeypatch.undo()
    decide(world, "cora")
    assert_released_once(world)


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
            who: approvals.why_not(session, request, actor=actor)
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
