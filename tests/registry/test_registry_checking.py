"""What checks leave behind: the release digest over everything that runs, and stages along their edges."""

import itertools
from datetime import timedelta

import pytest

from formats import canonical, release
from formats import digest as digests
from registry import checking, clock, jobs, versions
from registry.errors import Invalid, WrongStage
from registry.orm.catalog import CheckReport, ModelVersion, Stage
from registry.orm.job import JobKind, JobState
from tests import factories
from tests.support import at_once, refused

# --------------------------------------------------------------------------------------------------- checks


def test_checks_that_pass_make_it_ready_with_a_digest_over_everything(world):
    with world.write() as session:
        version = factories.ready_version(session, world)
    with world.read() as session:
        stored = world.version(session)
        assert stored.stage is Stage.READY
        assert stored.release_digest == version.release_digest == checking.recompute(session, stored)
        assert [report.step for report in stored.reports] == list(checking.STEPS)


def changed_card(session, version):
    version.card += "\nOne more word."


def changed_lock(session, version):
    version.lock = factories.lock_document(numpy="2.4.2")


def changed_signature(session, version):
    version.signature = factories.signature_document("amount")


def changed_report(session, version):
    report = session.get_one(CheckReport, (version.id, "predict"))
    report.body = factories.report("predict", rows=2)


def changed_artifact(session, version):
    version.artifact_digest = digests.of_bytes(b"other")


@pytest.mark.parametrize("change", [changed_card, changed_lock, changed_signature, changed_report, changed_artifact])
def test_the_release_digest_notices_every_change_of_what_would_run(world, change):
    with world.database.session(write=True) as session:
        version = factories.ready_version(session, world)
        assert checking.recompute(session, version) == version.release_digest
        change(session, version)
        assert checking.recompute(session, version) != version.release_digest
        session.rollback()


NUMBERS = [0.1, -0.0, 1e16, 1e22, 1e300, 5e-324, 2**53 - 1, 1.0, -1e-7, 123456789012345680.0]


def test_the_release_digest_survives_the_database(world):
    """Answers of a model are numbers of every size; what is read back must hash as what was written."""
    with world.write() as session:
        version = factories.checking_version(session, world)
        factories.check(session, version, answers={"predict": NUMBERS, "labels": ["ä", "\u2028", "", "a\\b", '"']})
    with world.read() as session:
        assert checking.recompute(session, world.version(session)) == world.version(session).release_digest


def test_checks_that_fail_keep_what_was_found(world):
    with world.write() as session:
        factories.failed_version(session, world)
    with world.read() as session:
        stored = world.version(session)
        assert (stored.stage, stored.release_digest) == (Stage.CHECK_FAILED, None)
        assert [(report.step, report.outcome) for report in stored.reports] == [("scan", "failed")]


def test_failed_checks_can_be_tried_again(world):
    with world.write() as session:
        version = factories.failed_version(session, world)
        job = factories.job_of(session, version.id)
        jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=[JobKind.CHECK])
        jobs.save_step(session, job.id, job.fence, "scan", input_digest="x", output="failed", started_at=clock.now())
        job.state = JobState.FAILED
    with world.write() as session:
        versions.retry_checks(session, world.version(session), actor=world.ana)
    with world.write() as session:
        version = world.version(session)
        assert version.stage is Stage.CHECKING
        job = factories.job_of(session, version.id)
        assert (job.state, jobs.steps_of(session, job.id)) == (JobState.QUEUED, [])
        factories.check(session, version)
    with world.read() as session:
        assert [report.outcome for report in world.version(session).reports] == ["passed"] * len(checking.STEPS)


def test_checks_are_not_retried_unless_they_failed(world):
    with world.write() as session:
        factories.ready_version(session, world)
    refused(
        world.database,
        WrongStage,
        lambda session: versions.retry_checks(session, world.version(session), actor=world.ana),
    )


def test_two_retries_at_once_queue_one_check(world):
    with world.write() as session:
        version = factories.failed_version(session, world)
        factories.job_of(session, version.id).state = JobState.FAILED

    def retry():
        with world.write() as session:
            versions.retry_checks(session, world.version(session), actor=world.ana)

    answers = at_once(retry, retry, retry)
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "WrongStage", "WrongStage"]


@pytest.mark.parametrize("make", [factories.ready_version, factories.request_in_review, factories.failed_version])
def test_a_result_that_comes_late_changes_nothing(world, make):
    """A worker that was overtaken must not thaw what is in review: that, too, is an edge to ready."""
    with world.write() as session:
        make(session, world)
    scan = factories.report("scan", outcome="failed")
    for act in (
        lambda session: factories.check(session, world.version(session)),
        lambda session: checking.fail_checks(session, world.version(session), [scan]),
    ):
        refused(world.database, WrongStage, act)


@pytest.mark.parametrize("broken", [{"outcome": "maybe"}, {"summary": ""}, {"at": "today"}, {"facts": None}])
def test_a_report_that_does_not_fit_its_schema_is_refused(world, broken):
    with world.write() as session:
        factories.checking_version(session, world)
    documents = [factories.report("scan") | broken, *factories.reports()[1:]]
    refused(
        world.database,
        Invalid,
        lambda session: checking.pass_checks(
            session, world.version(session), documents, lock=factories.lock_document(), signature={}
        ),
    )


# --------------------------------------------------------------------------------------------------- stages


def test_no_stage_is_reached_but_along_an_edge():
    for start, end in itertools.product(Stage, Stage):
        version = ModelVersion(number=1, stage=start)
        if end in versions.EDGES.get(start, ()):
            versions.move(version, end)
            assert version.stage is end
        else:
            with pytest.raises(WrongStage) as caught:
                versions.move(version, end)
            assert version.stage is start
            assert start in str(caught.value)
            assert caught.value.hint


def test_rejected_and_retired_are_final():
    assert {stage for stage in Stage if not versions.EDGES.get(stage)} == {Stage.REJECTED, Stage.RETIRED}


def test_every_stage_can_be_reached():
    reached = set().union(*versions.EDGES.values()) | {Stage.CHECKING}
    assert reached == set(Stage)


def test_a_job_that_is_not_there_is_none(world):
    with world.read() as session:
        assert jobs.get(session, world.ana.person_id) is None


def test_the_release_digest_binds_the_compiled_form(world):
    with world.write() as session:
        version = factories.checking_version(session, world)
        factories.check(session, version, parity=factories.parity_facts())
        version = factories.reload(session, version, actor=world.ana)
        document = release.build(
            artifacts=version.artifact_digest,
            lock=canonical.digest(version.lock),
            card=release.card_digest(version.card.encode()),
            signature=canonical.digest(version.signature),
            reports=[(report.step, report.digest) for report in version.reports],
            compiled=factories.parity_facts()["compiled"]["digest"],
        )
        assert version.release_digest == release.digest(document) == checking.recompute(session, version)
        assert version.release_digest != release.digest({**document, "compiled": None})


def test_a_version_checked_before_there_were_compiled_forms_keeps_its_digest(world):
    with world.write() as session:
        version = factories.checking_version(session, world)
        earlier = [report for report in factories.reports() if report["step"] not in ("compile", "parity")]
        checking.pass_checks(
            session, version, earlier, lock=factories.lock_document(), signature=factories.signature_document()
        )
    with world.read() as session:
        version = world.version(session)
        assert version.release_digest == checking.recompute(session, version)
        assert checking.compiled_form({report.step: report.body for report in version.reports}) is None
