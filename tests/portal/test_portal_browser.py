"""The shell in a real browser: no complaint about the policy, both themes pass contrast, scripts only improve."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from registry.orm.account import Person
from tests import windows
from tests.portal.conftest import PASSWORD, code_for
from tests.portal.conftest import Browser as Client

pytestmark = pytest.mark.browser
PATHS = [
    "/",
    "/settings/profile",
    "/settings/security",
    "/settings/tokens",
    "/settings/services",
    "/admin/people",
    "/admin/people/new",
    "/admin/people/root",
    "/admin/teams",
    "/admin/teams/payments",
]


@pytest.fixture
def open_page(address: str, chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a window; the test fails if any page in it broke the policy or threw an error."""
    clipboard = ["clipboard-read", "clipboard-write"]
    # A refused form is what some tests want.
    with windows.watched(chromium, expected=("responded with a status of 4",)) as opened:
        yield functools.partial(opened, base_url=address, permissions=clipboard)


@pytest.fixture
def root(make_person: Callable[..., Person]) -> str:
    make_person("root", roles=["administrator", "scientist"], teams=["payments"])
    return "root"


def enter(page: Page, username: str) -> None:
    page.goto("/login")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("One-time code").fill(code_for(username))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_accessible_and_fit(open_page: Callable[..., Page], root: str, scheme: str, width: int) -> None:
    page = open_page(color_scheme=scheme, width=width)
    page.goto("/login")
    found = violations(page)
    enter(page, root)
    for path in PATHS:
        page.goto(path)
        found += violations(page)
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found.append(f"{path} is wider than {width} px")
    assert found == []


def walk(
    browser: Browser,
    address: str,
    visit: Callable[[str], Client],
    paths: Mapping[str, Sequence[str]],
    scheme: str,
    width: int,
) -> list[str]:
    """What is wrong with the pages at ``paths``, each list seen by the person it stands under: rules broken, too wide."""
    found = []
    with windows.watched(browser) as opened:
        for username, addresses in paths.items():
            cookie = visit(username).get_cookie("countersign")
            assert cookie is not None
            page = opened(base_url=address, color_scheme=scheme, width=width)
            page.context.add_cookies([{"name": "countersign", "value": cookie.value, "url": address}])
            for path in addresses:
                page.goto(path)
                found += violations(page)
                if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                    found.append(f"{path} is wider than {width} px")
    return found


def violations(page: Page) -> list[str]:
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
    return [
        f"{page.url}: {item['id']}: {node['html'][:120]}"
        for item in Axe().run(page, options=rules).response["violations"]
        for node in item["nodes"]
    ]


def test_the_theme_changes_at_once_and_stays(open_page: Callable[..., Page]) -> None:
    page = open_page(color_scheme="dark")
    page.goto("/login")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Light").click()
    light = page.evaluate(paper)
    assert light != dark
    page.reload()
    assert page.evaluate(paper) == light
    page.get_by_role("button", name="System").click()
    assert page.evaluate(paper) == dark
    page.reload()
    assert page.evaluate(paper) == dark


def test_everything_works_without_scripts(open_page: Callable[..., Page], root: str) -> None:
    page = open_page(scripts=False)
    enter(page, root)
    page.goto("/admin/teams/new")
    page.get_by_label("Short name").fill("labs")
    page.get_by_role("button", name="Add the team").click()
    page.get_by_role("alert").get_by_text("Type the team's name").wait_for()
    page.get_by_label("Full name").fill("Labs")
    page.get_by_role("button", name="Add the team").click()
    page.get_by_role("heading", name="Labs").wait_for()
    assert page.locator("button.copy:visible").count() == 0
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Dark").click()
    page.locator("html[data-bs-theme=dark]").wait_for()
    page.locator(".menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()


def test_keys_and_copying(open_page: Callable[..., Page], root: str) -> None:
    page = open_page()
    enter(page, root)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.locator(".menu summary").click()
    page.keyboard.press("Escape")
    assert page.locator(".menu[open]").count() == 0
    page.goto("/settings/tokens")
    page.get_by_label("What is it for?").fill("my laptop")
    page.get_by_role("button", name="Make the token").click()
    token = page.locator("#token").inner_text()
    page.get_by_role("button", name="Copy the token").click()
    page.locator("#news", has_text="Copied").wait_for(state="attached")
    assert page.evaluate("navigator.clipboard.readText()") == token
    page.goto("/login")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_text_survives_an_ended_session(open_page: Callable[..., Page], root: str, database) -> None:
    from sqlalchemy import update

    from registry import clock
    from registry.orm.account import LoginSession

    page = open_page(scripts=False)
    enter(page, root)
    page.goto("/admin/teams/new")
    page.get_by_label("Short name").fill("labs")
    page.get_by_label("Full name").fill("Labs of “Payments”")
    with database.write() as session:
        session.execute(update(LoginSession).values(ended_at=clock.now()))
    page.get_by_role("button", name="Add the team").click()
    page.get_by_label("User name").fill(root)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("One-time code").fill(code_for(root, ahead=1))
    page.get_by_role("button", name="Sign in").click()
    assert page.url.endswith("/admin/teams/new")
    assert page.get_by_label("Full name").input_value() == "Labs of “Payments”"
    page.get_by_role("button", name="Add the team").click()
    page.get_by_role("heading", name="Labs of “Payments”").wait_for()
