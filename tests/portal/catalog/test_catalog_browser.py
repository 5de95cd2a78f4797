"""The catalogue in a real browser: upload.js against the real store, the snippets without a script, and axe on each page."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from formats import digest as digests
from tests import factories, windows
from tests.portal.catalog.conftest import VOICE, Scene
from tests.portal.conftest import PASSWORD
from tests.portal.conftest import Browser as Visitor

pytestmark = pytest.mark.browser
CONTENT = os.urandom(9 << 20)
CARD = factories.card(purpose="Uploaded by a browser")


@pytest.fixture
def open_page(address: str, chromium: Browser, visit: Callable[[str], Visitor]) -> Iterator[Callable[..., Page]]:
    """Opens a window in which ana is signed in; the test fails if a page broke the policy or threw an error."""
    visit("ana")  # gives her a password
    # A HEAD that asks whether bytes are there is answered 404, and Chromium says so.
    with windows.watched(chromium, expected=("responded with a status of 4", "net::ERR_")) as opened:

        def signed_in(**options: Any) -> Page:
            page = opened(base_url=address, **options)
            page.goto("/login")
            page.get_by_label("User name").fill("ana")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Continue").click()
            page.wait_for_url("**/")
            return page

        yield signed_in


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a model and its sample."""
    folder = tmp_path / "push"
    folder.mkdir()
    (folder / "model.joblib").write_bytes(CONTENT)
    (folder / "sample.jsonl").write_bytes(b'{"text": "my card is lost"}\n')
    return folder


def fill(page: Page, files: Path) -> None:
    page.goto("/upload")
    page.get_by_label("Model", exact=True).fill("voice")
    page.get_by_label("Model file").set_input_files(files / "model.joblib")
    page.get_by_label("Sample rows").set_input_files(files / "sample.jsonl")
    page.get_by_label("Card").fill(CARD)


def press(page: Page) -> None:
    page.get_by_role("button", name="Upload").click()


def test_files_are_hashed_sent_one_by_one_and_the_form_carries_digests(world, open_page, files):
    page = open_page()
    sent: list[tuple[str, str]] = []
    page.on(
        "request",
        lambda request: (
            sent.append((request.method, request.url.rpartition("/api/v1")[2])) if "/api/v1" in request.url else None
        ),
    )
    forms: list[bytes] = []
    page.on(
        "request",
        lambda request: (
            forms.append(request.post_data_buffer or b"")
            if request.method == "POST" and request.url.endswith("/upload")
            else None
        ),
    )
    fill(page, files)
    press(page)
    page.wait_for_url(f"**{VOICE}/versions/1")
    model = digests.of_bytes(CONTENT)
    assert ("HEAD", f"/blobs/{model}") in sent
    assert ("PUT", f"/blobs/{model}") in sent
    assert len(forms[0]) < 10_000, "the form itself holds no file"
    assert world.store.size(model) == len(CONTENT)
    with world.read() as session:
        assert world.version(session, 1).card == CARD


def test_progress_is_shown_while_bytes_travel(open_page, files):
    page = open_page()
    page.route("**/api/v1/blobs/**", lambda route: (page.wait_for_timeout(200), route.continue_()))
    fill(page, files)
    page.evaluate(
        """() => { window.seen = []; new MutationObserver(() => window.seen.push(document.querySelector("[data-file=model_digest] .sending").textContent))
            .observe(document.querySelector("[data-file=model_digest] .sending"), { childList: true, subtree: true, characterData: true }); }"""
    )
    page.route("**/upload", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    press(page)
    expect(page.locator("[data-file=model_digest] .sending")).to_contain_text("9.44 MB sent")
    seen = page.evaluate("() => window.seen")
    assert any(text.startswith("Reading ") for text in seen)
    assert any(re.search(r"of 9\.44 MB, [\d.]+ [kMG]?B/s, .* left", text) for text in seen), seen


def test_what_is_stored_already_is_not_sent_again(world, open_page, files):
    with world.write() as session:
        factories.blob(session, world, CONTENT)
    page = open_page()
    puts: list[str] = []
    page.on("request", lambda request: puts.append(request.url) if request.method == "PUT" else None)
    fill(page, files)
    press(page)
    page.wait_for_url(f"**{VOICE}/versions/1")
    assert not [url for url in puts if digests.of_bytes(CONTENT) in url]
    assert len(puts) == 1


def test_wrong_files_are_told_before_the_first_byte(open_page, files, app):
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/api/v1" in request.url else None)
    (files / "model.zip").write_bytes(b"x")
    (files / "empty.jsonl").write_bytes(b"")
    fill(page, files)
    page.get_by_label("Model file").set_input_files(files / "model.zip")
    page.get_by_label("Sample rows").set_input_files(files / "empty.jsonl")
    press(page)
    expect(page.get_by_text("model.zip does not end in .joblib or ")).to_be_visible()
    expect(page.get_by_text("empty.jsonl is empty.")).to_be_visible()
    page.get_by_label("Model file").set_input_files(files / "model.joblib")
    expect(page.get_by_text("model.zip does not end")).to_have_count(0)
    page.locator("form[data-upload]").evaluate("form => { form.dataset.most = '1000000'; }")
    press(page)
    expect(page.get_by_text("model.joblib has 9.44 MB; at most 1.00 MB can be sent.")).to_be_visible()
    assert sent == []


def test_a_cut_connection_is_told_and_pressing_again_goes_on(open_page, files):
    page = open_page()
    model = digests.of_bytes(CONTENT)
    page.route(f"**/blobs/{model}", lambda route: route.abort() if route.request.method == "PUT" else route.continue_())
    fill(page, files)
    press(page)
    expect(page.get_by_text("The connection broke.")).to_be_visible()
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()
    assert page.get_by_label("Card").input_value() == CARD
    page.unroute(f"**/blobs/{model}")
    press(page)
    page.wait_for_url(f"**{VOICE}/versions/1")


def test_an_ended_session_asks_for_the_sign_in_and_keeps_the_text(open_page, files):
    page = open_page()
    fill(page, files)
    page.context.clear_cookies()
    press(page)
    expect(page.get_by_text("What you typed is kept")).to_be_visible()
    page.get_by_label("User name").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Card")).to_have_value(CARD)
    expect(page.get_by_label("Model", exact=True)).to_have_value("voice")
    page.get_by_label("Model file").set_input_files(files / "model.joblib")
    page.get_by_label("Sample rows").set_input_files(files / "sample.jsonl")
    press(page)
    page.wait_for_url(f"**{VOICE}/versions/1")


def test_it_works_without_a_script(world, open_page, files):
    page = open_page(scripts=False)
    fill(page, files)
    press(page)
    page.wait_for_url(f"**{VOICE}/versions/1")
    assert world.store.size(digests.of_bytes(CONTENT)) == len(CONTENT)


def test_the_format_follows_the_file(open_page, files):
    page = open_page()
    page.goto("/upload")
    (files / "m.pkl").write_bytes(b"x")
    page.get_by_label("Model file").set_input_files(files / "m.pkl")
    expect(page.get_by_label("pickle (model.pkl)")).to_be_checked()


def test_the_hash_is_sha256(open_page, app):
    page = open_page()
    page.goto("/upload")
    inputs = [os.urandom(size) for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003)]
    found = page.evaluate(
        """async ([url, inputs]) => {
            const { Sha256 } = await import(url);
            return inputs.map((bytes) => {
                const data = new Uint8Array(bytes);
                const third = Math.floor(data.length / 3);
                return new Sha256().update(data.subarray(0, third)).update(data.subarray(third, third + 1)).update(data.subarray(third + 1)).hex();
            });
        }""",
        [app.extensions["countersign"].assets.url("js/sha256.js"), [list(data) for data in inputs]],
    )
    assert [f"sha256:{hex_}" for hex_ in found] == [digests.of_bytes(data) for data in inputs]


def test_snippets_change_without_a_script(open_page, scene: Scene):
    page = open_page(scripts=False)
    page.goto(VOICE)
    expect(page.get_by_text("import requests")).to_be_visible()
    page.get_by_text("curl", exact=True).click()
    expect(page.get_by_text("import requests")).to_be_hidden()
    expect(page.get_by_text("curl -s http://localhost:8080")).to_be_visible()


def test_a_page_that_waits_for_the_checks_opens_anew_when_they_end(world, open_page):
    with world.write() as session:
        factories.checking_version(session, world)
    page = open_page()
    page.goto(f"{VOICE}/versions/1")
    expect(page.get_by_text("It waits for a worker to check it.")).to_be_visible()
    with world.write() as session:
        factories.check(session, world.version(session, 1))
    expect(page.get_by_text("Checked, and not yet submitted for review.")).to_be_visible(timeout=15_000)


PAGES = [
    "/models",
    VOICE,
    f"{VOICE}/versions",
    f"{VOICE}/consumers",
    f"{VOICE}/activity",
    f"{VOICE}/settings",
    f"{VOICE}/versions/1",
    f"{VOICE}/versions/2",
    f"{VOICE}/versions/2/withdraw",
    f"{VOICE}/versions/1/lineage",
    f"{VOICE}/compare/1...2",
    "/upload",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_fits_a_phone(open_page, scene: Scene, scheme):
    page = open_page(color_scheme=scheme, width=390)
    for path in PAGES:
        page.goto(path)
        result = Axe().run(page)
        assert result.violations_count == 0, f"{path}: {result.generate_report()}"
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, f"{path} is wider than a phone"
