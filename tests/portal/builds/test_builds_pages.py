"""Builds: the list, one build in each of its states, and its log, live and raw."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import joinedload

from portal.builds import views
from registry import builds, bundles, jobs
from registry.orm.image import Build
from registry.orm.job import Job, JobKind
from tests import factories
from tests.factories import World
from tests.portal.approvals.conftest import EVIL, words

ERROR = {"code": "unavailable", "message": "The engine did not answer.", "hint": "Start it, then build again."}


@pytest.fixture
def queued(world: World) -> UUID:
    """A build of payments/desk that waits."""
    with world.write() as session:
        factories.approved_version(session, world)
        bundle = factories.bundle(session, world, factories.pinned(1))
        return bundles.bake(session, bundle, actor=world.ana).id


def start(world: World, build_id: UUID, *lines: str) -> None:
    """A worker takes it and logs these lines."""
    with world.write() as session:
        while True:
            job = jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=[JobKind.BAKE, JobKind.CHECK])
            assert job is not None
            if job.subject_id == build_id:
                break
        builds.start(session, build_id)
        for line in lines:
            jobs.log(session, job.id, job.fence, line)


def log(world: World, build_id: UUID, *lines: str) -> None:
    with world.write() as session:
        job = factories.job_of(session, build_id)
        for line in lines:
            jobs.log(session, job.id, job.fence, line)


def load(session, build_id: UUID) -> Build:
    build = session.get(Build, build_id, options=[joinedload(Build.bundle)])
    assert build is not None
    return build


def fail(world: World, build_id: UUID) -> None:
    with world.write() as session:
        job = factories.job_of(session, build_id)
        builds.fail(session, load(session, build_id), ERROR)
        jobs.fail(session, job.id, job.fence, error=ERROR, retry=False)


def test_a_build_that_waits_says_for_what(world, visit, queued) -> None:
    browser = visit("ana")
    said = words(browser.get(f"/builds/{queued}").text)
    assert "Build of desk Waiting" in said
    assert "No worker is up: it waits until an operator starts one." in said
    assert "feedback payments/voice:1 100 %" in said
    with world.write() as session:
        target = factories.lock_document()["target"]
        jobs.report_worker(session, name="w", isolation="process", note="no engine", target=target, base="host")
    assert "It waits for a worker." in words(browser.get(f"/builds/{queued}").text)
    said = words(browser.get("/builds").text)
    assert "1 worker is up: as local processes, weak isolation (no engine), Python 3.11 on linux x86_64." in said


def test_a_running_build_shows_its_log_line_by_line(world, visit, queued) -> None:
    start(world, queued, "plan", EVIL, "two\nlines")
    text = visit("kim").get(f"/builds/{queued}").text
    assert "Running" in words(text)
    assert 'id="L4"' in text
    assert 'id="L5"' not in text
    assert 'href="#L2"' in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "js/follow.js" in text


def test_the_log_can_be_followed_from_any_byte(world, visit, queued) -> None:
    start(world, queued, "first: é")
    browser = visit("ana")
    address = f"/builds/{queued}/log"
    answer = browser.get(f"{address}?from=0")
    assert (answer.status_code, answer.text) == (200, "first: é\n")
    assert answer.headers["X-Build-State"] == "running"
    size = len(answer.data)
    assert browser.get(f"{address}?from={size}").status_code == 204
    log(world, queued, "second")
    answer = browser.get(f"{address}?from={size}")
    assert (answer.status_code, answer.text) == (200, "second\n")
    assert browser.get(f"{address}?from=999999").status_code == 204
    assert browser.get(f"{address}?from=x").text == "first: é\nsecond\n"


def test_the_raw_log_is_whole_and_the_page_shows_its_end(world, visit, queued) -> None:
    start(world, queued, *(f"{number} {'x' * 150}" for number in range(1, 2501)))
    browser = visit("ana")
    raw = browser.get(f"/builds/{queued}/log")
    assert raw.headers["Content-Disposition"].startswith("attachment")
    assert raw.text.count("\n") == 2500
    assert len(raw.data) > views.LOG_PIECE
    text = browser.get(f"/builds/{queued}").text
    assert "Lines 1 to 500 are in the raw log." in words(text)
    assert 'id="L2500"' in text
    assert 'id="L500"' not in text
    assert f'data-size="{len(raw.data)}"' in text


def test_a_failed_build_says_what_to_do_and_is_built_again(world, visit, queued) -> None:
    start(world, queued, "engine?")
    fail(world, queued)
    browser = visit("ana")
    text = browser.get(f"/builds/{queued}").text
    said = words(text)
    assert "The engine did not answer. Start it, then build again. The bundle's last image stays current." in said
    assert "Build it again" in said
    assert "js/follow.js" not in text
    assert browser.get(f"/builds/{queued}/log?from=0").headers["X-Build-State"] == "failed"
    assert "The engine did not answer." in words(browser.get("/builds").text)
    outsider = visit("lea")
    assert "Build it again" not in outsider.get(f"/builds/{queued}").text
    assert outsider.act(f"/builds/{queued}/retry").status_code == 403
    answer = browser.act(f"/builds/{queued}/retry")
    assert answer.status_code == 303
    assert "The build is in the queue again." in words(browser.get(f"/builds/{queued}").text)
    assert browser.act(f"/builds/{queued}/retry").status_code == 409


def test_an_attempt_that_ended_early_is_told_while_it_waits(world, visit, queued) -> None:
    start(world, queued, "engine?")
    with world.write() as session:
        job = factories.job_of(session, queued)
        jobs.fail(session, job.id, job.fence, error=ERROR, retry=True)
    said = words(visit("ana").get(f"/builds/{queued}").text)
    assert "Attempt 1 ended early: The engine did not answer. It is tried again by itself." in said


def test_a_finished_build_leads_to_its_image(world, visit, queued) -> None:
    start(world, queued, "released")
    with world.write() as session:
        digest = builds.release(session, load(session, queued), factories.baked(load(session, queued))).digest
        job = factories.job_of(session, queued)
        jobs.finish(session, job.id, job.fence)
    text = visit("kim").get(f"/builds/{queued}").text
    assert f'href="/images/{digest}"' in text
    assert "a local process: weak isolation" in words(text)
    assert f'href="/images/{digest}"' in visit("ops").get("/builds").text


def test_empty_lists_and_pages(world, visit) -> None:
    browser = visit("ana")
    said = words(browser.get("/builds").text)
    assert "Nothing was built yet" in said
    assert "No worker is up" in said
    with world.write() as session:
        factories.approved_version(session, world)
        bundle = factories.bundle(session, world, factories.pinned(1))
        for _ in range(views.PAGE + 1):
            build = bundles.bake(session, bundle, actor=world.ana)
            builds.fail(session, build, ERROR)
            job = session.get(Job, build.job_id)
            assert job is not None
    assert 'rel="next"' in browser.get("/builds").text


def test_builds_of_private_models_are_for_their_team(world, visit) -> None:
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        version = factories.ready_version(session, world, model="payments/secret")
        factories.approve(session, world, version)
        build = bundles.bake(session, bundles.get(session, "payments/secret", actor=world.ana), actor=world.ana)
        build_id = build.id
    outsider = visit("lea")
    assert outsider.get(f"/builds/{build_id}").status_code == 404
    assert outsider.get(f"/builds/{build_id}/log").status_code == 404
    assert "payments/secret" not in outsider.get("/builds").text
    assert visit("ana").get(f"/builds/{build_id}").status_code == 200
