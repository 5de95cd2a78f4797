"""The queue: one worker per job, a lease that can be lost, and nothing written under a stale fence."""

from datetime import timedelta

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from registry import clock, jobs, waiting
from registry.jobs import BACKOFF_SECONDS, MAX_ATTEMPTS, MAX_LOG, StaleFence
from registry.orm.job import Job, JobKind, JobLog, JobState, JobStep, Worker
from tests.support import at_once

LEASE = timedelta(seconds=60)
NOW = clock.now()
ERROR = {"code": "test", "message": "It broke.", "hint": ""}


def enqueue(database, key="a", kind=JobKind.CHECK):
    with database.write() as session:
        return jobs.enqueue(session, kind, key=key, subject_id=clock.new_id()).id


def claim(database, worker="w1", kinds=tuple(JobKind)):
    with database.write() as session:
        return jobs.claim(session, worker=worker, lease=LEASE, kinds=kinds)


def read(database, job_id):
    with database.read() as session:
        return session.get_one(Job, job_id)


def unit(database, act, *arguments, **keywords):
    with database.write() as session:
        return act(session, *arguments, **keywords)


# --------------------------------------------------------------------------------------------------- claiming


def test_the_oldest_job_of_the_kinds_asked_for_comes_first(database):
    first, bake, third = enqueue(database, "a"), enqueue(database, "b", JobKind.BAKE), enqueue(database, "c")
    assert claim(database, kinds=[JobKind.CHECK]).id == first
    assert claim(database, kinds=[JobKind.CHECK]).id == third
    assert claim(database, kinds=[JobKind.CHECK]) is None
    job = claim(database)
    assert (job.id, job.state, job.fence, job.attempts, job.worker) == (bake, JobState.RUNNING, 1, 1, "w1")


def test_eight_workers_never_share_a_job(database):
    """Forty jobs, each claimed once, whichever worker comes."""
    wanted = {enqueue(database, str(number)) for number in range(40)}

    def work(worker):
        claimed = []
        while job := claim(database, f"w{worker}"):
            claimed.append(job.id)
        return claimed

    answers = at_once(*[lambda worker=worker: work(worker) for worker in range(8)])
    taken = [job_id for claimed in answers for job_id in claimed]
    assert sorted(taken) == sorted(wanted)


def test_a_claimed_job_that_is_not_committed_is_free_again(database):
    job_id = enqueue(database)
    with database.session(write=True) as session:
        assert jobs.claim(session, worker="w1", lease=LEASE, kinds=list(JobKind)).id == job_id
        session.rollback()
    assert claim(database, "w2").id == job_id


def test_the_same_key_is_the_same_job(database):
    assert enqueue(database, "a") == enqueue(database, "a")
    assert enqueue(database, "a") != enqueue(database, "a", JobKind.BAKE)
    job = claim(database)
    assert enqueue(database, "a") == job.id
    assert read(database, job.id).state is JobState.RUNNING, "asking again does not restart it"


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_finished_job_asked_for_again_starts_afresh(database, end):
    enqueue(database)
    job = claim(database)
    if end == "done":
        unit(database, jobs.finish, job.id, 1)
    else:
        unit(database, jobs.fail, job.id, 1, error=ERROR, retry=False)
    assert enqueue(database) == job.id
    again = read(database, job.id)
    assert (again.state, again.attempts, again.error, again.finished_at) == (JobState.QUEUED, 0, None, None)
    assert claim(database).fence == 2


# --------------------------------------------------------------------------------------------------- leases


def test_a_silent_worker_loses_its_job(database):
    with time_machine.travel(NOW, tick=False):
        job_id = enqueue(database)
        claim(database, "w1")
    with time_machine.travel(NOW + LEASE - timedelta(seconds=1), tick=False):
        assert claim(database, "w2") is None
    with time_machine.travel(NOW + LEASE + timedelta(seconds=1), tick=False):
        job = claim(database, "w2")
        assert (job.id, job.fence, job.attempts, job.worker) == (job_id, 2, 2, "w2")
        assert claim(database, "w3") is None


def test_a_heartbeat_keeps_the_lease(database):
    with time_machine.travel(NOW, tick=False):
        enqueue(database)
        job = claim(database, "w1")
    with time_machine.travel(NOW + timedelta(seconds=50), tick=False):
        unit(database, jobs.heartbeat, job.id, job.fence, lease=LEASE)
    with time_machine.travel(NOW + timedelta(seconds=100), tick=False):
        assert claim(database, "w2") is None
        with database.read() as session:
            assert [running.id for running in jobs.running(session)] == [job.id]


WRITES = {
    "heartbeat": lambda session, job_id, fence: jobs.heartbeat(session, job_id, fence, lease=LEASE),
    "finish": jobs.finish,
    "fail": lambda session, job_id, fence: jobs.fail(session, job_id, fence, error=ERROR, retry=True),
    "release": jobs.release,
    "log": lambda session, job_id, fence: jobs.log(session, job_id, fence, "late"),
    "save_step": lambda session, job_id, fence: jobs.save_step(
        session, job_id, fence, "scan", input_digest="x", output={}, started_at=NOW
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_worker_that_was_overtaken_writes_nothing(database, write):
    with time_machine.travel(NOW, tick=False):
        enqueue(database)
        job = claim(database, "w1")
    with time_machine.travel(NOW + LEASE * 2, tick=False):
        assert claim(database, "w2").fence == 2
        with database.write() as session, pytest.raises(StaleFence, match="fence 1"):
            WRITES[write](session, job.id, job.fence)
        now = read(database, job.id)
    assert (now.worker, now.fence, now.state, now.error, now.log_size) == ("w2", 2, JobState.RUNNING, None, 0)
    with database.read() as session:
        assert session.scalars(select(JobLog)).all() == session.scalars(select(JobStep)).all() == []


@pytest.mark.parametrize("write", WRITES)
def test_nothing_is_written_to_a_job_that_is_done(database, write):
    enqueue(database)
    job = claim(database)
    unit(database, jobs.finish, job.id, job.fence)
    with database.write() as session, pytest.raises(StaleFence):
        WRITES[write](session, job.id, job.fence)


def test_an_overtaken_worker_and_its_successor_finishing_at_once_finish_once(database):
    with time_machine.travel(NOW - LEASE * 2, tick=False):
        enqueue(database)
        old = claim(database, "w1")
    new = claim(database, "w2")
    answers = at_once(*[lambda job=job: unit(database, jobs.finish, job.id, job.fence) for job in (old, new)])
    assert [type(answer).__name__ for answer in answers] == ["StaleFence", "NoneType"]


# --------------------------------------------------------------------------------------------------- failing


def test_a_failed_attempt_waits_longer_each_time_and_then_is_given_up(database):
    now = NOW
    with time_machine.travel(now, tick=False):
        job_id = enqueue(database)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with time_machine.travel(now, tick=False):
            job = claim(database)
            assert (job.id, job.attempts) == (job_id, attempt)
            given_up = unit(database, jobs.fail, job.id, job.fence, error=ERROR, retry=True)
            assert given_up is (attempt == MAX_ATTEMPTS)
            assert claim(database) is None
        if not given_up:
            delay = timedelta(seconds=BACKOFF_SECONDS[attempt - 1])
            with time_machine.travel(now + delay - timedelta(milliseconds=1), tick=False):
                assert claim(database) is None
            now += delay
    ended = read(database, job_id)
    assert (ended.state, ended.error) == (JobState.FAILED, ERROR)
    assert ended.finished_at is not None


def test_a_hopeless_failure_is_not_tried_again(database):
    job_id = enqueue(database)
    assert unit(database, jobs.fail, claim(database).id, 1, error=ERROR, retry=False)
    assert read(database, job_id).state is JobState.FAILED


def test_a_job_given_back_costs_no_attempt(database):
    enqueue(database)
    job = claim(database)
    unit(database, jobs.release, job.id, job.fence)
    again = claim(database, "w2")
    assert (again.id, again.attempts, again.fence) == (job.id, 1, 2)


# --------------------------------------------------------------------------------------------------- steps, logs


def test_a_finished_step_is_not_done_again_for_the_same_input(database):
    enqueue(database)
    job = claim(database)
    for output in ({"n": 1}, {"n": 2}):
        unit(database, jobs.save_step, job.id, 1, "scan", input_digest="x", output=output, started_at=clock.now())
    with database.read() as session:
        assert jobs.step_output(session, job.id, "scan", "x") == {"n": 2}
        assert jobs.step_output(session, job.id, "scan", "y") is None
        assert jobs.step_output(session, job.id, "lock", "x") is None
        assert [step.name for step in jobs.steps_of(session, job.id)] == ["scan"]


def test_the_log_is_read_from_any_byte(database):
    enqueue(database)
    job = claim(database)
    lines = ["first", "zweite Zeile: ä 🙂", "third\n", ""]
    for line in lines:
        unit(database, jobs.log, job.id, 1, line)
    whole = "first\nzweite Zeile: ä 🙂\nthird\n\n".encode()
    assert read(database, job.id).log_size == len(whole)
    with database.read() as session:
        for start in range(len(whole) + 2):
            assert jobs.read_log(session, job.id, start=start) == whole[start:]


def test_a_retry_goes_on_writing_the_same_log(database):
    enqueue(database)
    job = claim(database)
    unit(database, jobs.log, job.id, 1, "one")
    unit(database, jobs.release, job.id, 1)
    unit(database, jobs.log, claim(database).id, 2, "two")
    with database.read() as session:
        assert jobs.read_log(session, job.id) == b"one\ntwo\n"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=50), max_size=8
    ),
    most=st.integers(1, 40),
)
def test_a_log_read_piece_by_piece_is_the_log(database, lines, most):
    with database.session(write=True) as session:
        job = jobs.enqueue(session, JobKind.CHECK, key="log", subject_id=clock.new_id())
        jobs.claim(session, worker="w", lease=LEASE, kinds=list(JobKind))
        for line in lines:
            jobs.log(session, job.id, 1, line)
        session.flush()
        pieces, start = [], 0
        while piece := jobs.read_log(session, job.id, start=start, most=most):
            pieces.append(piece)
            start += len(piece)
        expected = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
        assert b"".join(pieces).decode() == expected
        session.rollback()


def test_an_endless_log_is_cut_and_says_so(database):
    enqueue(database)
    job = claim(database)
    chunk = "x" * (1 << 20)
    for _ in range(6):
        unit(database, jobs.log, job.id, 1, chunk)
    with database.read() as session:
        log = jobs.read_log(session, job.id, most=MAX_LOG * 2)
    assert log.endswith(b"(the log is cut here)\n")
    assert len(log) < MAX_LOG + len(chunk)
    assert read(database, job.id).log_size == len(log)


# --------------------------------------------------------------------------------------------------- workers


def report(database, name, isolation="container"):
    unit(
        database,
        jobs.report_worker,
        name=name,
        isolation=isolation,
        note="",
        target={"os": "linux"},
        base="host",
    )


def test_a_worker_that_went_quiet_is_not_alive(database):
    with time_machine.travel(NOW - timedelta(minutes=3), tick=False):
        report(database, "old")
        report(database, "back")
    report(database, "back")
    report(database, "new")
    with database.read() as session:
        assert [worker.name for worker in jobs.alive_workers(session)] == ["back", "new"]
        assert len(session.scalars(select(Worker)).all()) == 3


@pytest.mark.parametrize(
    ("kinds", "weakest"), [([], None), (["container"], "container"), (["container", "process"], "process")]
)
def test_the_weakest_isolation_is_what_is_told(database, kinds, weakest):
    for number, kind in enumerate(kinds):
        report(database, f"w{number}", kind)
    with database.read() as session:
        assert waiting.isolation(session) == weakest
