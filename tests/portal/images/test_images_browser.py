"""In a real browser: the page of an image is accessible and fits, at both widths and in both themes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from tests.portal.conftest import Browser as Client
from tests.portal.test_portal_browser import walk

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_accessible_and_fit(
    image: str,
    address: str,
    chromium: Browser,
    visit: Callable[[str], Client],
    scheme: str,
    width: int,
) -> None:
    assert walk(chromium, address, visit, {"kim": ["/images", f"/images/{image}"]}, scheme, width) == []
