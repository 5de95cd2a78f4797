"""The whole life of versions, by whatever people try in whatever order; what must hold holds after every step."""

import os
from contextlib import contextmanager
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from formats import canonical
from registry import approvals, bundles, checking, jobs, proofs, references, versions
from registry import builds as baking
from registry.errors import RegistryError
from registry.orm.account import Role
from registry.orm.approval import Decision, Outcome, ReleaseRequest, RequestState
from registry.orm.audit import AuditEntry
from registry.orm.catalog import RELEASED, ModelVersion, RegisteredModel, Stage
from registry.orm.image import Build, BuildState, Bundle, Rebuild
from registry.orm.job import Job, JobKind, JobState
from registry.routes import RouteSpec
from registry.store import LocalStore
from tests import factories
from tests.factories import MODEL

MOVES = {
    "version:registered": Stage.CHECKING,
    "version:checked": Stage.READY,
    "version:check_failed": Stage.CHECK_FAILED,
    "version:retried": Stage.CHECKING,
    "version:submitted": Stage.IN_REVIEW,
    "version:withdrawn": Stage.READY,
    "request:changes_requested": Stage.READY,
    "version:approved": Stage.APPROVED,
    "version:rejected": Stage.REJECTED,
}
"""The stage each entry of the log says a version came to."""

# What is tried most is what has a chance: else most lives would end where they began.
NUMBERS = st.sampled_from([1, 1, 1, 2, 2, 3])
OWNERS = st.sampled_from(["ana", "ana", "ana", "max", "lea"])
ANYBODY = st.sampled_from(["vic", "cora", "val", "carl", "max", "ana", "root"])
OUTCOMES = st.sampled_from([Outcome.APPROVE] * 6 + [Outcome.REQUEST_CHANGES] * 2 + [Outcome.REJECT])


class Life(RuleBasedStateMachine):
    """Up to three versions of one model. Every act is tried whether or not it is allowed: refusals are part of life."""

    def __init__(self, places, folder):
        super().__init__()
        places.give_back()
        self.world = factories.World.load(places.take("world"), LocalStore(folder / "store"))
        self.pushed = 0

    @contextmanager
    def attempt(self):
        """A unit of work that the domain may refuse."""
        try:
            with self.world.write() as session:
                yield session
        except RegistryError:
            return

    def version(self, session, number):
        return references.get_version(session, MODEL, number, actor=self.world.ana)

    def request(self, session, number):
        return self.world.request(session, number)

    @initialize()
    def begin(self):
        with self.world.write() as session:
            factories.ready_version(session, self.world, content=b"first")
            factories.bundle(session, self.world, rebuild=Rebuild.PROPOSE)

    @rule(who=OWNERS, same=st.sampled_from([False, False, True]))
    def push(self, who, same):
        if self.pushed < 2:
            with self.attempt() as session:
                actor = self.world.actors[who]
                content = b"first" if same else f"another {self.pushed}".encode()
                pushed = factories.push(session, self.world, actor=actor, content=content)
                _, new = versions.register_version(session, actor=actor, full_name=MODEL, push=pushed)
                self.pushed += new

    @rule(number=NUMBERS, passed=st.sampled_from([True, True, False]))
    def check(self, number, passed):
        """As a worker does: only a version that is being checked has a job to do."""
        with self.attempt() as session:
            version = self.version(session, number)
            if passed:
                factories.check(session, version, rows=number)
            else:
                checking.fail_checks(session, version, [factories.report("scan", outcome="failed")])

    @rule(number=NUMBERS, who=OWNERS)
    def retry(self, number, who):
        with self.attempt() as session:
            versions.retry_checks(session, self.version(session, number), actor=self.world.actors[who])

    @rule(number=NUMBERS, who=OWNERS)
    def submit(self, number, who):
        with self.attempt() as session:
            version = self.version(session, number)
            approvals.submit(session, version, actor=self.world.actors[who], note="", terms=factories.TERMS)

    @rule(number=NUMBERS, who=OWNERS)
    def withdraw(self, number, who):
        with self.attempt() as session:
            if request := approvals.open_request_of(session, self.version(session, number)):
                approvals.withdraw(session, request, actor=self.world.actors[who], reason="wait")

    @rule(number=NUMBERS, who=ANYBODY, outcome=OUTCOMES, fresh=st.sampled_from([True, True, True, False]))
    def decide(self, number, who, outcome, fresh):
        with self.attempt() as session:
            if request := approvals.open_request_of(session, self.version(session, number)):
                stale = {} if fresh else {"seen_release": "sha256:" + "0" * 64}
                factories.decide(session, request, self.world.actors[who], outcome, **stale)

    @rule(number=NUMBERS, people=st.permutations(["vic", "cora", "max"]))
    def release(self, number, people):
        """The short way to an approval, so that they are not rare."""
        self.submit(number, "ana")
        for who in people[:2]:
            self.decide(number, who, Outcome.APPROVE, fresh=True)

    @rule(number=NUMBERS, who=ANYBODY)
    def comment(self, number, who):
        with self.attempt() as session:
            if request := approvals.open_request_of(session, self.version(session, number)):
                approvals.comment(session, request, actor=self.world.actors[who], text="Hm.")

    @rule(number=NUMBERS, weight=st.integers(0, 100), rebuild=st.sampled_from(list(Rebuild)))
    def share(self, number, weight, rebuild):
        with self.attempt() as session:
            bundle = bundles.get(session, "payments/desk", actor=self.world.ana)
            routes = [
                RouteSpec("feedback", [factories.pinned(number, weight), factories.following("approved", 100 - weight)])
            ]
            bundles.change(
                session, bundle, actor=self.world.ana, routes=routes, rebuild=rebuild, expected=bundle.revision
            )

    @rule(accept=st.booleans())
    def bake(self, accept):
        with self.attempt() as session:
            if not accept:
                bundles.bake(session, bundles.get(session, "payments/desk", actor=self.world.ops), actor=self.world.ops)
            for build in session.scalars(
                select(Build).where(Build.state == BuildState.PROPOSED).options(joinedload(Build.bundle))
            ):
                bundles.accept(session, build, actor=self.world.ana)

    @rule(good=st.sampled_from([True, True, False]))
    def work(self, good):
        """A worker takes the next build and ends it."""
        with self.attempt() as session:
            job = jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[JobKind.BAKE])
            if job is not None:
                build = baking.start(session, job.subject_id)
                if good:
                    baking.release(session, build, factories.baked(build))
                    jobs.finish(session, job.id, job.fence)
                else:
                    baking.fail(session, build, {"code": "test", "message": "no", "hint": ""})
                    jobs.fail(
                        session, job.id, job.fence, error={"code": "test", "message": "no", "hint": ""}, retry=False
                    )

    # ---------------------------------------------------------------------------------------------- what must hold

    @invariant()
    def nothing_is_approved_without_two_eligible_people(self):
        with self.world.read() as session:
            for version in session.scalars(select(ModelVersion).where(ModelVersion.stage.in_(RELEASED))):
                (request,) = session.scalars(
                    select(ReleaseRequest).where(
                        ReleaseRequest.version_id == version.id, ReleaseRequest.state == RequestState.APPROVED
                    )
                )
                signed = session.scalars(
                    select(Decision).where(Decision.request_id == request.id, Decision.voided_at.is_(None))
                ).all()
                people = {f"person:{decision.person_id.hex}" for decision in signed}
                assert len(people) == len(signed) >= 2
                assert not people & {version.author, version.uploader, request.requested_by}
                assert any(Role.COMPLIANCE in decision.roles for decision in signed)
                assert {decision.outcome for decision in signed} == {Outcome.APPROVE}
                assert {decision.release_digest for decision in signed} == {version.release_digest}

    @invariant()
    def what_is_approved_is_what_would_run(self):
        with self.world.read() as session:
            frozen = (*RELEASED, Stage.IN_REVIEW, Stage.REJECTED)
            for version in session.scalars(select(ModelVersion).where(ModelVersion.stage.in_(frozen))):
                assert version.release_digest == checking.recompute(session, version)

    @invariant()
    def the_log_is_whole_and_tells_every_move(self):
        with self.world.read() as session:
            assert proofs.verify(session) > 0
            told = {}
            for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.seq)):
                if entry.action in MOVES:
                    about = [entry.subject, *canonical.loads(entry.envelope)["also"]]
                    told |= {ref: MOVES[entry.action] for ref in about if ref.startswith("version:")}
            stored = {version.audit_ref(): version.stage for version in session.scalars(select(ModelVersion))}
            assert told == stored

    @invariant()
    def a_version_in_review_has_one_open_request_and_no_other_has(self):
        with self.world.read() as session:
            reviewed = session.scalars(select(ModelVersion.id).where(ModelVersion.stage == Stage.IN_REVIEW)).all()
            asked = session.scalars(
                select(ReleaseRequest.version_id).where(ReleaseRequest.state == RequestState.OPEN)
            ).all()
            assert sorted(reviewed) == sorted(asked)
            for decision in session.scalars(select(Decision).where(Decision.voided_at.is_(None))):
                request = session.get_one(ReleaseRequest, decision.request_id)
                assert request.state not in (RequestState.WITHDRAWN, RequestState.CHANGES_REQUESTED)

    @invariant()
    def numbers_have_no_gaps(self):
        with self.world.read() as session:
            model = session.scalars(select(RegisteredModel)).one_or_none()
            if model is not None:
                numbers = session.scalars(select(ModelVersion.number).order_by(ModelVersion.number)).all()
                assert numbers == list(range(1, model.versions_made + 1))

    @invariant()
    def only_approved_versions_are_baked_and_every_queued_build_has_its_job(self):
        with self.world.read() as session:
            released = {
                version.id.hex: version.release_digest
                for version in session.scalars(select(ModelVersion).where(ModelVersion.stage.in_(RELEASED)))
            }
            for build in session.scalars(select(Build)):
                for route in build.recipe["routes"]:
                    for member in route["members"]:
                        assert released[member["version"]] == member["release_digest"]
                waiting = build.state is BuildState.QUEUED
                job = session.get(Job, build.job_id) if build.job_id else None
                assert waiting is (job is not None and job.state is JobState.QUEUED)

    @invariant()
    def a_bundles_image_is_of_its_newest_finished_build(self):
        with self.world.read() as session:
            for bundle in session.scalars(select(Bundle)):
                done = select(Build.image_id).where(Build.bundle_id == bundle.id, Build.state == BuildState.DONE)
                newest = session.scalars(done.order_by(Build.id.desc()).limit(1)).first()
                assert bundle.current_image_id == newest


@pytest.mark.slow
def test_what_must_hold_holds_whatever_people_do(databases_of_a_kind, tmp_path):
    run_state_machine_as_test(
        lambda: Life(databases_of_a_kind, tmp_path),
        settings=settings(max_examples=200 if os.environ.get("COUNTERSIGN_SOAK") else 10, stateful_step_count=25),
    )
