"""Two people at once, and a process that ends in the middle: all of an approval is stored, or nothing."""

import pytest
from sqlalchemy import select

from registry import approvals, audit, bundles, catalog, faults, jobs, proofs, versions
from registry.orm.approval import Outcome, RequestState
from registry.orm.catalog import Stage
from registry.orm.image import Build, BuildState
from registry.orm.job import Job, JobKind
from registry.paging import Cursor
from tests import factories
from tests.factories import MODEL
from tests.registry.reviewing import decide, review, state
from tests.support import at_once, kinds, refused

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
    "close": (approvals, "close"),
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
