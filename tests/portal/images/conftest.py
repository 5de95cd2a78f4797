"""A released image."""

import pytest

from tests import factories
from tests.factories import World
from tests.portal.images.test_images_pages import bake


@pytest.fixture
def image(world: World) -> str:
    """A container image of version 1."""
    with world.write() as session:
        factories.approved_version(session, world)
    return bake(world)
