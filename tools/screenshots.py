"""Pictures of pages at two widths in both themes, of a portal that runs (``make demo``, ``make run``).

    .venv/bin/python tools/screenshots.py --summary var/demo/summary.json --as compliance --to var/pictures / /reviews
    .venv/bin/python tools/screenshots.py --url http://127.0.0.1:5000 --user ana --password ... --totp ... --to out /models

Signs in through the real forms, and fails when a page breaks the content security policy or logs an error.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pyotp
from playwright.sync_api import Page, sync_playwright

WIDTHS = (1280, 390)
THEMES = ("light", "dark")


def main() -> int:
    """Parse, sign in, capture; returns the number of pages with complaints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=["/"])
    parser.add_argument("--summary", type=Path, help="summary.json of the demo: address and logins")
    parser.add_argument("--as", dest="role", help="which login of the summary")
    parser.add_argument("--url")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--totp", default="", help="base32 secret of the second factor")
    parser.add_argument("--to", type=Path, default=Path("var/pictures"))
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--no-javascript", action="store_true")
    options = parser.parse_args()
    if options.summary:
        summary = json.loads(options.summary.read_text())
        options.url = options.url or summary["portal_url"]
        if options.role:
            login = summary["logins"][options.role]
            options.user, options.password = login["username"], login["password"]
            options.totp = login.get("totp_secret") or ""
    if not options.url:
        parser.error("give --url or --summary")
    options.to.mkdir(parents=True, exist_ok=True)
    return capture(options)


def capture(options: argparse.Namespace) -> int:
    """Take all pictures in one browser session."""
    complaints: dict[str, list[str]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        context = browser.new_context(base_url=options.url, java_script_enabled=not options.no_javascript)
        page = context.new_page()
        page.on("console", lambda message: _note(complaints, page, message.type, message.text))
        page.on("pageerror", lambda error: _note(complaints, page, "error", str(error)))
        if options.user:
            sign_in(page, options.user, options.password, options.totp)
        for path in options.paths:
            name = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-") or "home"
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                for theme in THEMES:
                    page.emulate_media(color_scheme=theme)
                    page.goto(path)
                    file = options.to / f"{name}-{width}-{theme}.png"
                    page.screenshot(path=file, full_page=True)
                    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                        complaints.setdefault(path, []).append(f"wider than {width} px")
            sys.stdout.write(f"{options.to / name}-*.png\n")
        browser.close()
    for path, words in complaints.items():
        for text in dict.fromkeys(words):
            sys.stderr.write(f"{path}: {text}\n")
    return len(complaints)


def _note(complaints: dict[str, list[str]], page: Page, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        complaints.setdefault(page.url, []).append(text)


def sign_in(page: Page, user: str, password: str, totp: str) -> None:
    """Through the real pages."""
    page.goto("/login")
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Continue").click()
    if totp:
        page.get_by_label("One-time code").fill(pyotp.TOTP(totp).now())
        page.get_by_role("button", name="Sign in").click()
    if page.url.endswith("/login"):
        raise SystemExit(f"could not sign in as {user}: {page.locator('main').inner_text()}")


if __name__ == "__main__":
    raise SystemExit(main())
