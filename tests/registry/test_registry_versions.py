"""Pushing: one immutable version per content, and numbers without gaps."""

import io
from dataclasses import replace

import pytest
from sqlalchemy import select

from formats import digest as digests
from registry import catalog, uploads, versions
from registry.errors import Forbidden, NotFound
from registry.orm.catalog import Blob, ModelVersion, Stage, Upload
from registry.orm.job import Job, JobKind, JobState
from tests import factories
from tests.factories import MODEL
from tests.registry.pushing import MODEL_BYTES, SAMPLE, prepare, register
from tests.support import at_once, refused

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
    assert "let the push do it" in error.hint


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


# --------------------------------------------------------------------------------------------------- authors


def test_a_pipeline_names_the_author(world):
    with world.write() as session:
        by_pipeline = factories.token(session, world.ana, service=factories.service(session, world))
    version, _ = register(world, prepare(world, actor=by_pipeline, author="ben"), actor=by_pipeline)
    assert (version.author, version.uploader) == (world.ben.ref, by_pipeline.ref)


def test_a_person_names_nobody_else(world):
    push = prepare(world, author="ben")
    refused(
        world.database,
        Forbidden,
        lambda session: versions.register_version(
            session, actor=world.ana, full_name=MODEL, push=push, create_model=True
        ),
    )
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
