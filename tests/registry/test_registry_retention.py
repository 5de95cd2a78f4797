"""What may be freed: layers of old images that can be rebuilt, and nothing that anybody decided or runs by default."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from formats import digest as digests
from registry import audit, clock, retention
from registry.access import SYSTEM
from registry.orm.image import Build, Image
from tests import factories
from tests.support import bodies_of

BASES = {"host"}


@pytest.fixture
def images(world):
    """Digests of an old image and of the current one of a bundle; they share a layer."""
    digests = []
    for number in (1, 2):
        with world.write() as session:
            factories.approved_version(session, world)
            build = session.scalars(select(Build).options(joinedload(Build.bundle)).order_by(Build.id.desc())).first()
            layers = [{"role": "app", "path": "a", "diff_id": "shared", "size": 1}]
            layers.append({"role": "model", "path": "m", "diff_id": f"own-{number}", "size": 1})
            digests.append(factories.released_image(session, build, layers=layers).digest)
    with world.write() as session:
        for image in session.scalars(select(Image)):
            image.created_at = clock.now() - timedelta(days=100)
            audit.record(session, audit.Action.IMAGE_FREED, actor=SYSTEM, subject=image, what="made older")
    return digests


def freed(world, **given):
    with world.write() as session:
        return [image.digest for image in retention.free(session, **{"days": 90, "bases": BASES, **given})]


def test_the_old_one_is_freed_once_and_recorded(world, images):
    assert freed(world) == [images[0]]
    assert freed(world) == []
    with world.read() as session:
        assert bodies_of(session, "image:freed")[-1] == {}
        assert retention.layers(session, freed=True) == {"shared", "own-1"}
        assert retention.layers(session, freed=False) == {"shared", "own-2"}
        assert retention.tags(session) == [("payments/voice", images[0])]


def test_an_image_that_is_baked_again_is_kept_again(world, images):
    freed(world)
    with world.write() as session:
        old = session.scalars(select(Image).where(Image.digest == images[0])).one()
        build = session.scalars(select(Build).where(Build.image_id == old.id).options(joinedload(Build.bundle))).one()
        assert factories.released_image(session, build).freed_at is None


def test_layers_of_a_base_are_nobodys_to_free(world, images):
    with world.write() as session:
        build = session.scalars(select(Build).options(joinedload(Build.bundle))).first()
        layers = [{"role": "base", "path": "", "diff_id": "base", "size": 1}]
        factories.released_image(session, build, digest=digests.of_bytes(b"on a base"), layers=layers)
        assert "base" not in retention.layers(session, freed=False)


def test_nothing_younger_and_nothing_on_a_base_that_is_not_here(world, images):
    assert freed(world, days=101) == []
    assert freed(world, bases={"sha256:other"}) == []
