"""Windows of a real browser. What a page logs, throws or asks in one of them fails the test."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from tests.support import require


@contextmanager
def started() -> Iterator[Browser]:
    """A Chromium of the machine, for as long as the block lasts."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        require("browser", "install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, *, expected: tuple[str, ...] = ()) -> Iterator[Callable[..., Page]]:
    """Opens windows: ``opened(scripts=False, width=390, color_scheme="dark", ...)``, the rest as for a browser context.

    :param expected: parts of the messages that a page may log.
    """
    complaints: list[str] = []
    contexts = []

    def note(page: Page, text: str) -> None:
        if not any(part in text for part in expected):
            complaints.append(f"{page.url}: {text}")

    def opened(*, scripts: bool = True, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(java_script_enabled=scripts, viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: note(page, message.text))
        page.on("pageerror", lambda error: note(page, str(error)))
        page.on("dialog", lambda dialog: (note(page, dialog.message), dialog.dismiss()))
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            page.unroute_all(behavior="wait")
        context.close()
    assert complaints == []


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of ``app`` on a port of its own."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()
