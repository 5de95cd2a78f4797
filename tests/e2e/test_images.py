"""A released image can be baked anew, by us and by a stranger, and comes out the same; a change is found and named."""

import pytest
from sqlalchemy import select

from registry import builds, rebuilds
from registry.orm.image import Image, RebuildState
from tests import factories
from tests.e2e.conftest import CARD, opened
from tests.factories import World
from tests.support import bodies_of

pytestmark = [pytest.mark.index, pytest.mark.xdist_group("installation")]


@pytest.fixture(scope="module")
def released(tmp_path_factory, model_files, index_there):
    """An installation that has released one image of a real model, in process isolation."""
    with opened(tmp_path_factory.mktemp("released")) as installation:
        factories.build_world(installation.database)
        world = World.load(installation.database, installation.store)
        with world.write() as session:
            files = {path.name: factories.blob(session, world, path.read_bytes()) for path in model_files}
        with world.write() as session:
            factories.checking_version(session, world, files=files, card=CARD, environment={"python": ""})
        code, _, said = installation.work()
        assert code == 0, said
        with world.write() as session:
            factories.approve(session, world, world.version(session))
        code, _, said = installation.work()
        assert code == 0, said
        yield installation, world


def the_image(session):
    image = session.scalars(select(Image)).one_or_none()
    assert image is not None, "nothing was released: read the worker's log"
    return image


def ask(released):
    """Ask for a rebuild and let a worker do it."""
    installation, world = released
    with world.write() as session:
        image = builds.get_image(session, the_image(session).digest, actor=world.aud)
        asked = rebuilds.request(session, image, actor=world.aud).id
    code, _, said = installation.work()
    assert code == 0, said
    with installation.database.read() as session:
        return rebuilds.load(session, asked)


def test_a_rebuild_is_equal_and_recorded(released):
    rebuilt = ask(released)
    assert rebuilt.state is RebuildState.EQUAL, (rebuilt.error, rebuilt.difference)
    assert rebuilt.found_digest == rebuilt.image.digest
    with released[0].database.read() as session:
        assert bodies_of(session, "image:rebuilt")[-1]["outcome"] == "equal"
