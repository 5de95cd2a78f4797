"""How a version stands, and what comes next, in the words that pages, the API and the command line share."""

import re
from datetime import timedelta

import pytest

from registry import clock, jobs, reading, wording
from registry.orm.approval import Outcome, ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.job import Job, JobState
from tests import factories
from tests.portal.api.api_support import FIRST

NOW = clock.now()
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)


def version(stage, **fields):
    return ModelVersion(stage=stage, stage_since=NOW, **fields)


def test_every_stage_has_a_sentence_and_a_next_step():
    for stage in Stage:
        for job in (None, Job(state=JobState.QUEUED), Job(state=JobState.RUNNING)):
            assert SENTENCE.fullmatch(wording.status_sentence(version(stage), None, job)), stage
            assert SENTENCE.fullmatch(wording.next_step(version(stage), None, job)), stage


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (None, "It waits for a worker to check it."),
        (Job(state=JobState.QUEUED), "It waits for a worker to check it."),
        (Job(state=JobState.RUNNING), "The checks are running."),
        (
            Job(state=JobState.QUEUED, error={"message": "The index did not answer."}),
            "The checks stopped and will be tried again: The index did not answer.",
        ),
    ],
)
def test_while_it_is_checked(job, sentence):
    assert wording.status_sentence(version(Stage.CHECKING), None, job) == sentence


def test_checks_that_could_not_be_run_differ_from_checks_that_failed():
    broken = Job(state=JobState.FAILED, error={"message": "no engine", "hint": "Start the engine, then retry."})
    failed = Job(state=JobState.DONE)
    assert wording.status_sentence(version(Stage.CHECK_FAILED), None, broken) == "Not checked: no engine."
    assert wording.next_step(version(Stage.CHECK_FAILED), None, broken) == "Start the engine, then retry."
    assert wording.status_sentence(version(Stage.CHECK_FAILED), None, failed) == "It did not pass its checks."
    assert "push again" in wording.next_step(version(Stage.CHECK_FAILED), None, failed)


@pytest.mark.parametrize(
    ("state", "part"),
    [(RequestState.CHANGES_REQUESTED, "asked for changes"), (RequestState.WITHDRAWN, "withdrawn from review")],
)
def test_ready_again(state, part):
    request = ReleaseRequest(state=state, closed_at=NOW)
    assert part in wording.status_sentence(version(Stage.READY), request, None)


@pytest.mark.parametrize(
    ("stage", "days", "beginning"),
    [
        (Stage.APPROVED, 1, "Approved until "),
        (Stage.APPROVED, -1, "Approved, but that ended on "),
        (Stage.APPROVED_WITH_CONDITIONS, 1, "Approved with conditions until "),
    ],
)
def test_approvals_end(stage, days, beginning):
    approved = version(stage, approved_until=NOW + timedelta(days=days))
    assert wording.status_sentence(approved, None, None).startswith(beginning)


def test_the_road_of_a_version_in_sentences(world, ana, monkeypatch):
    def status():
        return ana.get(FIRST).get_json()["status"]

    with world.write() as session:
        factories.checking_version(session, world)
    assert status() == "It waits for a worker to check it."
    with world.write() as session:
        jobs.claim(session, worker="w", lease=timedelta(minutes=1), kinds=["check"])
    assert status() == "The checks are running."
    with world.write() as session:
        factories.check(session, world.version(session))
        request = factories.submit(session, world, world.version(session))
    assert status().startswith("In review since ")
    with world.write() as session:
        factories.decide(session, request, world.cora, Outcome.REQUEST_CHANGES)
    assert "asked for changes" in status()


def test_what_is_told_of_a_new_version_is_what_is_read_of_it(world):
    """The answer to a push is made from memory; it must not differ from what the next reader is told."""
    with world.write() as session:
        pushed = factories.push(session, world, tags={"b": "2", "a": "1"}, params={"C": 1.0})
        made, _ = factories.versions.register_version(
            session, actor=world.ana, full_name=factories.MODEL, push=pushed, create_model=True
        )
        told = reading.told_of(session, made, actor=world.ana)
    with world.read() as session:
        read = reading.read_version(session, factories.MODEL, 1, actor=world.ana)
    for part in ("files", "metrics", "tags", "aliases", "checks"):
        assert getattr(told, part) == getattr(read, part), part
    assert told.names.items() <= read.names.items()
    assert (told.job.id, told.job.state) == (read.job.id, read.job.state)
    assert told.version.id == read.version.id
