"""In a real browser: the pages of advisories are accessible and fit, at both widths and in both themes."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from registry.orm.advisory import Severity
from tests import factories
from tests.factories import World, advisory
from tests.portal.conftest import Browser as Client
from tests.portal.images.test_images_pages import bake
from tests.portal.test_portal_browser import walk

pytestmark = pytest.mark.browser
NAME = "GHSA-5x3h-p6rf-2qqw"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_pages_are_accessible_and_fit(
    world: World, address: str, chromium: Browser, visit: Callable[[str], Client], scheme: str, width: int
) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
    bake(world, sbom={"components": [{"purl": "pkg:pypi/numpy@2.4.1"}]})
    with world.write() as session:
        mild = advisory("PYSEC-2026-412", "numpy", severity=Severity.MEDIUM, score=5.3)
        factories.import_advisories(session, advisory(NAME, "numpy"), mild, actor=world.ops)
    paths = {
        "cora": ["/", "/advisories", f"/advisories/{NAME}", "/models/payments/voice/versions/1"],
        "ops": ["/advisories/imports"],
    }
    assert walk(chromium, address, visit, paths, scheme, width) == []
