"""In a real browser: the log follows and can be left alone, Enter signs nothing, deciding needs no script."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from registry import builds, bundles, jobs
from registry.orm.job import JobKind
from tests import factories, windows
from tests.factories import World
from tests.portal.approvals.conftest import REASON, state
from tests.portal.conftest import PASSWORD, code_for

pytestmark = pytest.mark.browser


@pytest.fixture
def open_as(address: str, chromium: Browser, visit: Callable[..., object]) -> Iterator[Callable[..., Page]]:
    """``open_as("cora", "/reviews")``: a page somebody is signed in at, with or without scripts."""
    with windows.watched(chromium, expected=("responded with a status of 4",)) as opened:

        def enter(username: str, path: str, *, scripts: bool = True) -> Page:
            cookie = visit(username).get_cookie("countersign")  # type: ignore[attr-defined]
            page = opened(scripts=scripts, base_url=address)
            page.context.add_cookies([{"name": "countersign", "value": cookie.value, "url": address}])
            page.goto(path)
            return page

        yield enter


def test_the_log_follows_pauses_and_ends(world: World, open_as) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
        build_id = bundles.bake(session, factories.bundle(session, world, factories.pinned(1)), actor=world.ana).id
    with world.write() as session:
        while (job := jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=list(JobKind))) is not None:
            if job.subject_id == build_id:
                job_id, fence = job.id, job.fence
                break
        builds.start(session, build_id)
        for number in range(1, 101):
            jobs.log(session, job_id, fence, f"line {number}")

    def log(text: str) -> None:
        with world.write() as session:
            jobs.log(session, job_id, fence, text)

    page = open_as("ana", f"/builds/{build_id}")
    top = "document.querySelector('.log').scrollTop"
    expect(page.locator("#L100")).to_be_in_viewport()
    log("<b>fresh</b>")
    expect(page.locator("#L101")).to_contain_text("<b>fresh</b>")
    expect(page.locator("#L101")).to_be_in_viewport()
    page.evaluate("document.querySelector('.log').scrollTop = 0")
    expect(page.get_by_role("button", name="Follow again")).to_be_visible()
    log("while reading above")
    expect(page.locator("#L102")).to_be_attached()
    assert page.evaluate(top) == 0
    with world.write() as session:
        builds.fail(
            session,
            builds.get_build(session, build_id, actor=world.ana),
            {"code": "x", "message": "No.", "hint": "Again."},
        )
        jobs.fail(session, job_id, fence, error={"code": "x", "message": "No.", "hint": "Again."}, retry=False)
    expect(page.get_by_text("The build is failed.").first).to_be_attached()
    assert page.evaluate(top) == 0, "the page of somebody who reads is not taken away"
    page.get_by_role("link", name="Show how it ended").click()
    expect(page.get_by_role("button", name="Build it again")).to_be_visible()


def test_enter_signs_nothing_and_the_keyboard_reaches_every_button(world: World, open_as) -> None:
    with world.write() as session:
        asked = factories.request_in_review(session, world).id
    page = open_as("cora", f"/reviews/{asked}")
    page.get_by_label("Why?").fill(REASON)
    page.get_by_label("Your password").fill(PASSWORD)
    code = code_for("cora")
    page.get_by_label("One-time code").fill(code)
    page.get_by_label("One-time code").press("Enter")
    page.wait_for_timeout(300)
    assert state(world, asked) == ("open", "in_review", 0)
    expect(page.get_by_label("One-time code")).to_have_value(code)
    for name in ("Sign and approve", "Request changes", "Reject"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You rejected it. A new version can follow.")).to_be_visible()
    assert state(world, asked) == ("rejected", "rejected", 1)


def test_deciding_needs_no_script(world: World, open_as) -> None:
    with world.write() as session:
        asked = factories.request_in_review(session, world).id
    page = open_as("cora", "/reviews", scripts=False)
    page.get_by_role("link", name="payments/voice, version 1").click()
    page.get_by_label("Why?").fill(REASON)
    page.get_by_label("Your password").fill("not it at all")
    page.get_by_label("One-time code").fill(code_for("cora"))
    page.get_by_role("button", name="Sign and approve").click()
    expect(page.get_by_role("alert")).to_contain_text("That is not your password.")
    expect(page.get_by_label("Why?")).to_have_value(REASON)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("One-time code").fill(code_for("cora"))
    page.get_by_role("button", name="Sign and approve").click()
    expect(page.get_by_text("Another person must sign too")).to_be_visible()
    assert state(world, asked) == ("open", "in_review", 1)
