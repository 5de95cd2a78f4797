"""In a real browser: the pages of platform changes are accessible and fit, at both widths and in both themes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests import factories, windows
from tests.factories import World
from tests.portal.test_portal_browser import violations
from tests.registry.test_registry_waves import differs, do, equal, fails

pytestmark = pytest.mark.browser
NAMES = ("payments/a", "payments/b", "payments/fraud-scores", "payments/d")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_accessible_and_fit(
    world: World, address: str, chromium: Browser, visit: Callable[..., object], scheme: str, width: int
) -> None:
    with world.write() as session:
        laid = factories.lay_platform(session)
        factories.images_in_front(session, world, *NAMES, stands_on=laid.digest)
        first = factories.propose(session, world, factories.offer_platform(session))
        factories.sign_change(session, first, world.vic)
        factories.sign_change(session, first, world.cora)
    for end in (equal, differs, fails, equal):
        do(world, end)
    with world.write() as session:
        wanted = factories.offer_platform(session, runtime="three", code="two", numpy="2.4.3")
        second = factories.propose(session, world, wanted)
    paths = {
        "vic": ["/", f"/platform/changes/{second.id}"],
        "ana": ["/", "/platform", f"/platform/changes/{first.id}"],
        "ops": [f"/platform/changes/new?platform={first.platform.digest}", f"/platform/changes/{second.id}"],
    }
    found = []
    with windows.watched(chromium) as opened:
        for username, addresses in paths.items():
            cookie = visit(username).get_cookie("countersign")  # type: ignore[attr-defined]
            page = opened(base_url=address, color_scheme=scheme, width=width)
            page.context.add_cookies([{"name": "countersign", "value": cookie.value, "url": address}])
            for path in addresses:
                page.goto(path)
                found += violations(page)
                if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                    found.append(f"{path} is wider than {width} px")
    assert found == []
