"""The live page in a real browser, under its own content security policy."""

import threading

import live
import pytest
from inference import RestAsker

from tests import windows

pytestmark = pytest.mark.browser


@pytest.fixture
def open_page(container, chromium):
    """Opens the page at a width in a colour scheme; fails the test on a script error or a violation of the policy."""
    with (
        RestAsker(container.rest_url, "feedback") as asker,
        live.LiveServer(asker) as server,
        windows.watched(chromium) as opened,
    ):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def shown(**options):
            page = opened(**options)
            page.goto(server.url)
            return page

        yield shown
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_asking_streaming_and_changing_visitor_work(open_page, scripts):
    shown = open_page(scripts=scripts)
    shown.fill("#text", "<img src=x onerror=alert(1)> my PIN")
    shown.click("button.primary")
    shown.wait_for_selector("#answer strong:text('PIN service')")
    assert shown.input_value("#text") == "<img src=x onerror=alert(1)> my PIN"
    shown.click("text=Send 20 from other customers")
    shown.wait_for_selector("#versions :text('of 21')")
    shown.wait_for_selector("main:not([aria-busy=true])")
    assert shown.locator("#history tbody tr").count() == 12
    before = shown.locator("#versions .code").inner_text()
    shown.click("text=Become another visitor")
    shown.wait_for_selector("#history :text('Nothing yet.')")
    assert shown.locator("#versions .code").inner_text() != before
    first = shown.locator("#examples button").first.inner_text()
    shown.click("text=Show others")
    shown.wait_for_selector("#examples a[href='/?examples=2']")
    assert shown.locator("#examples button").first.inner_text() != first


def test_with_scripts_an_answer_appears_in_place(open_page):
    shown = open_page()
    shown.fill("#text", "my PIN")
    shown.press("#text", "Control+Enter")
    shown.wait_for_selector("#answer strong:text('PIN service')")
    assert shown.url.endswith("/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_sticks_out_of_the_page(open_page, width, scheme):
    shown = open_page(width=width, color_scheme=scheme)
    shown.fill("#text", "PIN" * 300)
    shown.click("button.primary")
    shown.wait_for_selector("#history tbody tr")
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    shown.fill("#text", "unsure " * 3)
    shown.click("button.primary")
    shown.wait_for_selector("#answer .chip.wait")
    assert shown.evaluate("document.documentElement.scrollWidth") == width
