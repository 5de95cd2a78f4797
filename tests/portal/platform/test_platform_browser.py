"""In a real browser: the pages of platform changes are accessible and fit, at both widths and in both themes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests import factories
from tests.factories import World
from tests.portal.conftest import Browser as Client
from tests.portal.test_portal_browser import walk
from tests.registry.test_registry_waves import differs, do, equal, fails

pytestmark = pytest.mark.browser
NAMES = ("payments/a", "payments/b", "payments/fraud-scores", "payments/d")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_accessible_and_fit(
    world: World, address: str, chromium: Browser, visit: Callable[[str], Client], scheme: str, width: int
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
    assert walk(chromium, address, visit, paths, scheme, width) == []
