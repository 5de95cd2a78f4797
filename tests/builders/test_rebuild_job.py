"""A rebuild as a job, and freeing before it: what a worker records and what lies in its folders afterwards."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from builders import rebuild, retention
from builders.jobs import Job, JobFailed
from builders.layers import LayerStore
from formats import digest as digests
from registry import audit, builds, jobs, rebuilds
from registry.access import SYSTEM
from registry.orm.image import Build, Image, RebuildState
from registry.orm.job import JobKind, JobState
from tests import factories
from tests.builders.test_rebuild import baked  # noqa: F401 - a fixture
from tests.support import bodies_of


@pytest.fixture
def platform(baked, tmp_path):  # noqa: F811 - the fixture
    """A worker's, with layers of its own: the ones of the image, as after a bake."""
    layers = LayerStore(tmp_path / "layers")
    for _, _, diff_id in baked.released.layers:
        layers.adopt(baked.platform.layers, diff_id)
    return replace(baked.platform, layers=layers)


@pytest.fixture
def image(world, baked):  # noqa: F811
    """The digest of the image, recorded as released and overtaken by a newer one of its bundle."""
    layers = [{"role": role, "path": path, "diff_id": of, "size": 1} for role, path, of in baked.released.layers]
    fields = {"digest": baked.released.digest, "sealed": json.loads(baked.sealed), "layers": layers}
    for given in (fields, {}):
        with world.write() as session:
            factories.approved_version(session, world)
            query = select(Build).options(joinedload(Build.bundle)).order_by(Build.id.desc())
            factories.released_image(session, session.scalars(query).first(), **given)
    return baked.released.digest


def ask(world, image):
    with world.write() as session:
        return rebuilds.request(session, builds.get_image(session, image, actor=world.aud), actor=world.aud).id


def work(world, platform):
    """Claim the rebuild and do it as a worker does."""
    with world.write() as session:
        claimed = jobs.claim(session, worker="w", lease=timedelta(minutes=5), kinds=[JobKind.REBUILD])
        job = Job(world.database, claimed.id, claimed.kind, claimed.subject_id, claimed.fence, timedelta(minutes=5))
    try:
        rebuild.run(job, platform.store, platform)
    except JobFailed as error:
        with world.write() as session:
            detail = {"code": error.code, "message": str(error), "hint": error.hint}
            jobs.fail(session, job.id, job.fence, error=detail, retry=error.retry)
            rebuild.give_up(session, job, detail)
    with world.read() as session:
        return rebuilds.load(session, job.subject_id), jobs.get(session, job.id)


def test_what_was_freed_comes_back_with_the_same_bytes(world, baked, platform, image):  # noqa: F811
    assert retention.free(world.database, platform, days=1).images == 0
    freed = retention.free(world.database, platform, days=0)
    assert (freed.images, freed.size > 0) == (1, True)
    assert list((platform.layers.root / "layers").iterdir()) == []
    assert retention.free(world.database, platform, days=0) == retention.Freed(0, 0)
    with world.read() as session:
        kept = session.scalars(select(Image).where(Image.digest == image)).one()
        assert kept.sealed == json.loads(baked.sealed)
    ask(world, image)
    rebuilt, job = work(world, platform)
    assert (rebuilt.state, rebuilt.found_digest, rebuilt.image.freed_at) == (RebuildState.EQUAL, image, None)
    assert job.state is JobState.DONE
    for _, _, diff_id in baked.released.layers:
        with platform.layers.open(diff_id) as source:
            assert digests.of_stream(source)[0] == diff_id
    assert list((platform.layers.root / "incoming").iterdir()) == []


def test_a_rebuild_that_differs_leaves_the_layers_alone_and_names_the_first(world, baked, platform, image):  # noqa: F811
    with world.write() as session:
        row = session.scalars(select(Image).where(Image.digest == image)).one()
        rebuilds.request(session, builds.get_image(session, image, actor=world.aud), actor=world.aud)
        row.layers = [
            {**layer, "diff_id": digests.of_bytes(b"what was released")} if layer["role"] == "model" else layer
            for layer in row.layers
        ]
        row.digest = digests.of_bytes(b"released")
    before = sorted((platform.layers.root / "layers").iterdir())
    rebuilt, job = work(world, platform)
    assert (rebuilt.state, job.state) == (RebuildState.DIFFERS, JobState.DONE)
    assert (rebuilt.difference["role"], rebuilt.difference["expected"]) == (
        "model",
        digests.of_bytes(b"what was released"),
    )
    assert sorted((platform.layers.root / "layers").iterdir()) == before
    with world.read() as session:
        assert bodies_of(session, "image:rebuilt")[-1]["outcome"] == "differs"


def test_a_rebuild_on_another_base_is_not_possible_and_says_so(world, platform, image):
    ask(world, image)
    other = replace(platform, base=replace(platform.base, digest=digests.of_bytes(b"base")))
    rebuilt, job = work(world, other)
    assert (rebuilt.state, rebuilt.error["code"]) == (RebuildState.FAILED, "other-base")
    assert job.state is JobState.FAILED


def test_a_worker_frees_nothing_it_could_not_rebuild(world, platform, image):
    other = replace(platform, base=replace(platform.base, digest=digests.of_bytes(b"base")))
    assert retention.free(world.database, other, days=0) == retention.Freed(0, 0)
    assert list((platform.layers.root / "layers").iterdir())


@pytest.mark.soak  # its parts run in test_rebuild.py
@pytest.mark.parametrize(
    "databases_of_a_kind", ["sqlite"], indirect=True
)  # it reads an installation on embedded defaults
def test_make_reproduce_says_equal_or_the_first_difference(world, baked, platform, image, tmp_path):  # noqa: F811
    data = tmp_path / "data"
    data.mkdir()
    (data / "store").symlink_to(baked.platform.settings.store_dir)
    with world.write() as session:
        (newest,) = session.scalars(select(Image).where(Image.digest != image)).all()
        newest.sealed, newest.digest = json.loads(baked.sealed), digests.of_bytes(b"released")
        audit.record(session, audit.Action.IMAGE_REBUILT, actor=SYSTEM, subject=newest)

    def reproduce(digest):
        with world.write() as session:
            for row in session.scalars(select(Image)):
                row.digest = digest if row.id == newest.id else digests.of_bytes(b"other")
                audit.record(session, audit.Action.IMAGE_REBUILT, actor=SYSTEM, subject=row)
        world.database.close()
        shutil.copyfile(world.database.url.database, data / "countersign.db")
        command = [sys.executable, "tools/reproduce.py", "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, done.stdout + done.stderr

    code, said = reproduce(baked.released.digest)
    assert (code, said.count(baked.released.digest)) == (0, 3), said
    assert "equal, byte for byte" in said
    code, said = reproduce(digests.of_bytes(b"released"))
    assert (code, "NOT EQUAL" in said) == (1, True)
