"""Rebuilds: asked for by people, done by a worker, and recorded on the image, whatever came out."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from registry import builds, clock, rebuilds
from registry.errors import MissingRole, NotFound
from registry.orm.image import Build, Image, RebuildState
from registry.orm.job import Job, JobKind
from registry.rebuilds import Difference
from tests import factories
from tests.support import bodies_of, refused

CHANGED = Difference("model", "opt/m", "sha256:1", "sha256:2")


@pytest.fixture
def image(world):
    """The digest of a released image."""
    with world.write() as session:
        factories.approved_version(session, world)
        build = session.scalars(select(Build).options(joinedload(Build.bundle))).one()
        return factories.released_image(session, build).digest


def load(session, world, digest):
    return builds.get_image(session, digest, actor=world.aud)


def test_asking_queues_a_job_and_is_recorded(world, image):
    with world.write() as session:
        asked = rebuilds.request(session, load(session, world, image), actor=world.aud)
    with world.read() as session:
        job = session.scalars(select(Job).where(Job.kind == JobKind.REBUILD)).one()
        assert (job.subject_id, job.key) == (asked.id, asked.id.hex)
        assert asked.state is RebuildState.QUEUED
        assert bodies_of(session, "image:rebuild_requested") == [{}]


def test_asking_again_while_one_waits_is_the_same_rebuild(world, image):
    ids = []
    for actor in (world.aud, world.ana):
        with world.write() as session:
            ids.append(rebuilds.request(session, load(session, world, image), actor=actor).id)
    assert ids[0] == ids[1]


def test_a_consumer_cannot_spend_the_workers_time(world, image):
    refused(world.database, MissingRole, lambda session: rebuilds.request(
        session, load(session, world, image), actor=world.kim
    ))  # fmt: skip


@pytest.mark.parametrize("difference", [None, CHANGED])
def test_what_came_out_stands_on_the_image(world, image, difference):
    with world.write() as session:
        asked = rebuilds.request(session, load(session, world, image), actor=world.aud).id
    found = image if difference is None else "sha256:" + "0" * 64
    with world.write() as session:
        rebuilds.finish(session, rebuilds.load(session, asked), found_digest=found, difference=difference)
    with world.read() as session:
        (rebuilt,) = rebuilds.of_image(session, load(session, world, image))
        assert rebuilt.state is (RebuildState.EQUAL if difference is None else RebuildState.DIFFERS)
        assert rebuilt.difference == (vars(difference) if difference else None)
        assert rebuilt.finished_at
        (body,) = bodies_of(session, "image:rebuilt")
        assert (body["outcome"], body["found"]) == (rebuilt.state.value, found)


def test_a_rebuild_that_could_not_be_says_why(world, image):
    error = {"code": "other-base", "message": "no", "hint": "yes"}
    with world.write() as session:
        asked = rebuilds.request(session, load(session, world, image), actor=world.aud).id
    with world.write() as session:
        rebuilds.fail(session, rebuilds.load(session, asked), error)
    with world.write() as session:
        (rebuilt,) = rebuilds.of_image(session, load(session, world, image))
        assert (rebuilt.state, rebuilt.error) == (RebuildState.FAILED, error)
        assert rebuilds.request(session, load(session, world, image), actor=world.aud).id != asked


def test_only_an_equal_rebuild_brings_freed_bytes_back(world, image):
    for difference, freed in ((CHANGED, True), (None, False)):
        with world.write() as session:
            found = load(session, world, image)
            asked = rebuilds.request(session, found, actor=world.aud).id
            session.get_one(Image, found.id).freed_at = clock.now()
        with world.write() as session:
            rebuilds.finish(session, rebuilds.load(session, asked), found_digest=image, difference=difference)
        with world.read() as session:
            assert (load(session, world, image).freed_at is not None) is freed


def test_a_rebuild_is_found_under_its_own_image_only(world, image):
    with world.write() as session:
        found = load(session, world, image)
        asked = rebuilds.request(session, found, actor=world.aud).id
        assert rebuilds.get(session, found, asked).id == asked
        with pytest.raises(NotFound, match="no such rebuild"):
            rebuilds.get(session, found, clock.new_id())
