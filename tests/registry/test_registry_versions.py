"""Pushing: one immutable version per content, numbers without gaps, and nobody refers to bytes that are not theirs."""

import io
import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from formats import digest as digests
from registry import accounts, cards, catalog, checking, jobs, lineage, uploads, versions
from registry.errors import Forbidden, Invalid, MissingRole, NotFound, NotInTeam, WrongStage
from registry.orm.catalog import Blob, CheckReport, ModelVersion, Stage, Upload
from registry.orm.job import Job, JobKind, JobState
from tests import factories
from tests.factories import MODEL
from tests.support import at_once, refused

MODEL_BYTES, SAMPLE = b"the model", b'{"text": "my card is lost"}\n'


def prepare(world, *, actor=None, **fields):
    """A push whose bytes are stored already, as a client's are."""
    with world.write() as session:
        return factories.push(session, world, actor=actor, **{"content": MODEL_BYTES} | fields)


def register(world, push, *, actor=None, model=MODEL, create_model=True):
    with world.write() as session:
        return versions.register_version(
            session, actor=actor or world.ana, full_name=model, push=push, create_model=create_model
        )


# --------------------------------------------------------------------------------------------------- a new version


def test_a_push_becomes_version_one_and_its_check(world):
    version, new = register(world, prepare(world, label="1.4.0", tags={"run": "7"}, params={"alpha": 0.1}))
    assert new
    with world.read() as session:
        stored = world.version(session)
        assert stored.id == version.id
        assert (stored.number, stored.label, stored.stage) == (1, "1.4.0", Stage.CHECKING)
        assert (stored.author, stored.uploader) == (world.ana.ref, world.ana.ref)
        assert [(file.path, file.digest) for file in stored.files] == [
            ("model.joblib", digests.of_bytes(MODEL_BYTES)),
            ("sample.jsonl", digests.of_bytes(SAMPLE)),
        ]
        assert stored.size == len(MODEL_BYTES) + len(SAMPLE)
        assert {tag.key: tag.value for tag in stored.tags} == {"run": "7"}
        (metric,) = stored.metrics
        assert (metric.value, metric.declared_by, metric.measured) == (0.91, world.ana.ref, False)
        job = factories.job_of(session, stored.id)
        assert (job.kind, job.state) == (JobKind.CHECK, JobState.QUEUED)


def test_the_card_describes_a_model_that_says_nothing_of_itself(world):
    register(world, prepare(world, card=factories.card(purpose="Routes mail", contact="#mail")))
    register(world, prepare(world, card=factories.card(purpose="Other words")))
    with world.read() as session:
        model = catalog.get_model(session, MODEL, actor=world.kim)
        assert (model.purpose, model.contact, model.task) == ("Routes mail", "#mail", "text-classification")


def test_a_model_is_made_only_when_asked_for(world):
    push = prepare(world)
    error = refused(
        world.database,
        NotFound,
        lambda session: versions.register_version(session, actor=world.ana, full_name=MODEL, push=push),
    )
    assert "create_model" in error.hint


# --------------------------------------------------------------------------------------------------- the same again


def test_a_retry_returns_the_version_that_exists_and_changes_nothing(world):
    first, _ = register(world, prepare(world))
    with world.read() as session:
        revision = world.version(session).revision
    for actor in (world.ana, world.ben):
        again, new = register(world, prepare(world, actor=actor, label="other", tags={"a": "b"}), actor=actor)
        assert (again.id, new) == (first.id, False)
    with world.read() as session:
        stored = world.version(session)
        assert (stored.revision, stored.label, stored.tags) == (revision, "", [])
        assert len(session.scalars(select(Job)).all()) == 1


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"content": b"another model"}, id="model"),
        pytest.param({"card": factories.card(purpose="Another")}, id="card"),
    ],
)
def test_other_content_is_another_version(world, fields):
    register(world, prepare(world))
    version, new = register(world, prepare(world, **fields))
    assert (version.number, new) == (2, True)


def test_the_same_content_in_another_model_is_a_version_there(world):
    register(world, prepare(world))
    version, new = register(world, prepare(world), model="payments/other")
    assert (version.number, new) == (1, True)


@pytest.mark.parametrize("registered", [True, False], ids=["known-model", "new-model"])
def test_the_same_content_pushed_at_once_is_one_version(world, registered):
    if registered:
        with world.write() as session:
            catalog.register_model(session, actor=world.ana, full_name=MODEL)
    pushed = prepare(world)
    answers = at_once(*[lambda: register(world, pushed)] * 4)
    assert sorted(new for _, new in answers) == [False, False, False, True]
    assert len({version.id for version, _ in answers}) == 1
    with world.read() as session:
        assert len(session.scalars(select(ModelVersion)).all()) == len(session.scalars(select(Job)).all()) == 1


def test_other_content_pushed_at_once_gets_numbers_without_gaps(world):
    pushes = [prepare(world, content=f"model {number}".encode()) for number in range(6)]
    answers = at_once(*[lambda push=push: register(world, push) for push in pushes])
    assert sorted(version.number for version, _ in answers) == [1, 2, 3, 4, 5, 6]


def test_the_same_bytes_sent_at_once_are_noted_once(world):
    digest, size = world.store.put(io.BytesIO(b"shared"))

    def note(actor):
        with world.write() as session:
            return uploads.note(session, actor=actor, digest=digest, size=size)

    answers = at_once(*[lambda actor=actor: note(actor) for actor in (world.ana, world.ben, world.lea) * 2])
    assert sorted(answers) == [False] * 3 + [True] * 3
    with world.read() as session:
        assert len(session.scalars(select(Blob)).all()) == 1
        assert len(session.scalars(select(Upload)).all()) == 3


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        pytest.param({"format": "onnx"}, ["/format"], id="unknown-format"),
        pytest.param({"format": "pickle"}, ["/files"], id="mislabelled-format"),
        pytest.param({"card": "no head"}, ["/card"], id="card-without-head"),
        pytest.param({"card": "---\npurpose: x\n"}, ["/card"], id="card-without-end"),
        pytest.param({"card": "---\n: : :\n  - [\n---\n"}, ["/card"], id="card-not-yaml"),
        pytest.param({"card": "---\n- a\n---\n"}, ["/card"], id="card-not-a-mapping"),
        pytest.param({"card": factories.card(owner=None)}, ["/card"], id="card-without-owner"),
        pytest.param({"card": factories.card(sample_kind="made up")}, ["/card/sample_kind"], id="card-bad-field"),
        pytest.param({"card": factories.card() + "x" * 200_000}, ["/card"], id="card-too-long"),
        pytest.param({"card": factories.card() + "\x00"}, ["/card"], id="card-with-nul"),
        pytest.param({"card": factories.card() + "\ud800"}, ["/card"], id="card-with-broken-character"),
        pytest.param({"label": "x" * 64}, ["/label"], id="long-label"),
        pytest.param({"label": "1\x00"}, ["/label"], id="label-with-nul"),
        pytest.param({"metrics": [versions.MetricClaim("f1", math.nan)]}, ["/metrics/0"], id="nan"),
        pytest.param(
            {"metrics": [versions.MetricClaim("f1", 1), versions.MetricClaim("f1", math.inf)]}, ["/metrics/1"], id="inf"
        ),
        pytest.param({"metrics": [versions.MetricClaim("", 1)]}, ["/metrics/0"], id="metric-without-name"),
        pytest.param({"params": {"alpha": math.nan}}, ["/params"], id="nan-parameter"),
        pytest.param({"params": {"a": ["\udfff"]}}, ["/params"], id="parameter-broken-character"),
        pytest.param({"environment": {"python": math.inf}}, ["/environment"], id="inf-environment"),
        pytest.param({"tags": {"": "x"}}, ["/tags"], id="tag-without-name"),
        pytest.param({"tags": {"k" * 64: "x"}}, ["/tags"], id="long-tag"),
        pytest.param({"tags": {"k": "x" * 501}}, ["/tags"], id="long-tag-value"),
        pytest.param({"sources": [lineage.Source("made_of", "dataset", "x")]}, ["/lineage/0"], id="unknown-relation"),
        pytest.param({"sources": [lineage.Source("trained_on", "cat", "x")]}, ["/lineage/0"], id="unknown-kind"),
        pytest.param({"sources": [lineage.Source("trained_on", "dataset", "")]}, ["/lineage/0"], id="empty-source"),
        pytest.param(
            {"sources": [lineage.Source("trained_on", "dataset", "x", "md5:1")]}, ["/lineage/0"], id="bad-digest"
        ),
        pytest.param(
            {"sources": [lineage.Source("derived_from", "version", "voice")]}, ["/lineage/0"], id="parent-unnamed"
        ),
    ],
)
def test_a_push_that_does_not_fit_says_where_and_leaves_nothing(world, change, pointers):
    push = replace(prepare(world), **change)
    error = refused(
        world.database,
        Invalid,
        lambda session: versions.register_version(
            session, actor=world.ana, full_name=MODEL, push=push, create_model=True
        ),
    )
    assert sorted({at for at, _ in error.errors}) == pointers
    assert all(problem for _, problem in error.errors)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"sample.jsonl": SAMPLE}, id="no-model"),
        pytest.param({"model.joblib": MODEL_BYTES}, id="no-sample"),
        pytest.param({"model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE, "notes.txt": b"x"}, id="unknown-file"),
        pytest.param({"../model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE}, id="outside"),
        pytest.param({"/model.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE}, id="absolute"),
        pytest.param({"MODEL.joblib": MODEL_BYTES, "sample.jsonl": SAMPLE}, id="other-case"),
    ],
)
def test_a_push_holds_what_a_push_holds(world, files):
    with world.write() as session:
        stored = {path: factories.blob(session, world, data) for path, data in files.items()}
    push = replace(prepare(world), files=stored)
    error = refused(
        world.database,
        Invalid,
        lambda session: versions.register_version(
            session, actor=world.ana, full_name=MODEL, push=push, create_model=True
        ),
    )
    assert {at for at, _ in error.errors} == {"/files"}


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.text("\x00\ud800\r\n:-{}[]&*!|>'\"%@` \t", max_size=30))
def test_any_text_is_a_card_or_refused(text):
    for card in (text, f"---\n{text}\n---\n", f"---\npurpose: {text}\ntask: t\nowner: o\ncontact: c\n---\n{text}"):
        try:
            head = cards.parse(card).head
        except Invalid:
            continue
        assert set(head) >= {"purpose", "task", "owner", "contact"}


def test_a_card_says_dates_as_they_are_written():
    head = cards.parse(factories.card() + "").head
    assert head["purpose"] == "Routes feedback"
    dated = cards.parse("---\npurpose: x\ntask: t\nowner: o\ncontact: c\nlimits: 2026-10-31\n---\n").head
    assert dated["limits"] == "2026-10-31"


# --------------------------------------------------------------------------------------------------- whose bytes


def push_of(world, digest, actor):
    """A push by ``actor`` whose model file is said to be ``digest``."""
    push = prepare(world, actor=actor)
    return replace(push, files={**push.files, "model.joblib": digest})


def theirs(world, *, visibility="internal"):
    """Bytes of a version of team lending."""
    with world.write() as session:
        if visibility == "private":
            factories.private_model(session, world, "lending/churn", actor=world.lea)
        push = factories.push(session, world, actor=world.lea, content=b"the bytes of lending")
        versions.register_version(session, actor=world.lea, full_name="lending/churn", push=push, create_model=True)
    return digests.of_bytes(b"the bytes of lending")


@pytest.mark.parametrize("visibility", ["internal", "private"])
def test_nobody_refers_to_bytes_of_a_model_they_may_not_read(world, visibility):
    """Knowing a digest is not having the bytes: it would give them out through a version of one's own."""
    digest = theirs(world, visibility=visibility)
    push = push_of(world, digest, world.ana)
    known = refused(world.database, NotFound, lambda session: _push(session, world, push))
    missing = digests.of_bytes(b"nobody has these")
    unknown = refused(
        world.database, NotFound, lambda session: _push(session, world, push_of(world, missing, world.ana))
    )
    assert str(known).replace(digest, "") == str(unknown).replace(missing, ""), "the two cannot be told apart"
    assert "PUT" in known.hint
    with world.read() as session:
        assert uploads.may_refer(session, digest, actor=world.ana) is None


def _push(session, world, push):
    versions.register_version(session, actor=world.ana, full_name=MODEL, push=push, create_model=True)


def test_whoever_sent_bytes_may_refer_to_them(world):
    digest = theirs(world)
    with world.write() as session:
        assert uploads.note(session, actor=world.ana, digest=digest, size=20)
    version, _ = register(world, push_of(world, digest, world.ana))
    assert version.number == 1


def test_a_declared_user_may_refer_to_the_bytes(world):
    digest = theirs(world)
    with world.write() as session:
        model = catalog.get_model(session, "lending/churn", actor=world.ana)
        catalog.declare_use(
            session, model, accounts.get_team(session, "payments"), actor=world.ana, purpose="fine-tuning"
        )
    assert register(world, push_of(world, digest, world.ana))[1]


def test_a_consumer_sends_no_bytes(world):
    refused(
        world.database,
        MissingRole,
        lambda session: uploads.note(session, actor=world.kim, digest=digests.of_bytes(b"x"), size=1),
    )


def test_another_teams_model_takes_no_version_of_mine(world):
    theirs(world)
    push = prepare(world)
    refused(
        world.database,
        NotInTeam,
        lambda session: versions.register_version(session, actor=world.ana, full_name="lending/churn", push=push),
    )


# --------------------------------------------------------------------------------------------------- authors


def test_a_pipeline_names_the_author(world):
    with world.write() as session:
        by_pipeline = factories.token(session, world.ana, service=factories.service(session, world))
    version, _ = register(world, prepare(world, actor=by_pipeline, author="ben"), actor=by_pipeline)
    assert (version.author, version.uploader) == (world.ben.ref, by_pipeline.ref)


def test_a_person_names_nobody_else(world):
    push = prepare(world, author="ben")
    refused(world.database, Forbidden, lambda session: _push(session, world, push))
    assert register(world, replace(push, author="ana"))[0].author == world.ana.ref


def test_an_author_who_is_nobody_is_refused(world):
    with world.write() as session:
        by_pipeline = factories.token(session, world.ana, service=factories.service(session, world))
    push = prepare(world, actor=by_pipeline, author="nobody")
    refused(
        world.database,
        NotFound,
        lambda session: versions.register_version(
            session, actor=by_pipeline, full_name=MODEL, push=push, create_model=True
        ),
    )


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
        job.state = JobState.FAILED
    with world.write() as session:
        versions.retry_checks(session, world.version(session), actor=world.ana)
    with world.write() as session:
        version = world.version(session)
        assert version.stage is Stage.CHECKING
        assert factories.job_of(session, version.id).state is JobState.QUEUED
        factories.check(session, version)
    with world.read() as session:
        assert [report.outcome for report in world.version(session).reports] == ["passed"] * 4


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
