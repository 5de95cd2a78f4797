"""Which platform a job works on: the one in force, from the store, whatever the worker came with."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import pinning
from builders.base import host_base
from builders.jobs import Job, JobFailed, TryLater
from builders.layers import LayerStore
from builders.platform import Pinned, Platform
from formats import canonical
from formats import digest as digests
from formats.lock import Lock
from registry import clock, platforms
from registry.orm.job import JobKind
from registry.settings import Settings

SOURCES = {"start.py": b"print('served')\n", "serving/app.py": b"APP = 1\n"}


@pytest.fixture
def own(tmp_path, store):
    """A worker without an engine, whose runtime holds no wheel: nothing is to be fetched."""
    runtime = Lock(host_base().target, ())
    settings = Settings(data_dir=tmp_path)
    layers = LayerStore(tmp_path / "layers")
    return Platform(host_base(), None, "", layers, store, settings, Pinned(runtime, SOURCES))


@pytest.fixture
def job(world):
    return Job(world.database, clock.new_id(), JobKind.BAKE, clock.new_id(), 1, timedelta(minutes=1))


def test_an_offer_is_kept_in_the_store_and_can_be_pinned_by_another_worker(world, own, job):
    digest = pinning.offer(world.database, own, "w1")
    assert pinning.offer(world.database, own, "w1") == digest
    assert pinning.describe(own).digest == digest
    other = replace(own, pinned=Pinned(own.pinned.runtime, {"start.py": b"other\n"}))
    with world.write() as session:
        assert platforms.get(session, digest, actor=world.ops).in_force_at is None
    assert pinning.in_force(job, other) is other, "an offer alone changes nothing"
    with world.write() as session:
        platforms.lay_first(session, pinning.describe(own), wheels=pinning.wheels_of(own), worker="w1")
    suited = pinning.in_force(job, other)
    assert suited.app_sources() == SOURCES
    assert suited.runtime_lock() == own.pinned.runtime
    assert pinning.describe(suited).digest == digest


def test_a_base_that_this_worker_has_not_leaves_the_job_to_others(own):
    elsewhere = replace(pinning.describe(own), base=digests.of_bytes(b"another base"))
    with pytest.raises(TryLater) as caught:
        pinning.pin(own, elsewhere)
    assert (caught.value.code, "builders offer" in caught.value.hint or "platform change" in caught.value.hint) == (
        "other-platform",
        True,
    )


def test_what_the_store_has_lost_fails_with_its_digest(own):
    own.keep([canonical.dumps(own.pinned.runtime.to_dict())])
    with pytest.raises(JobFailed) as caught:
        pinning.pin(own, pinning.describe(own))
    assert caught.value.code == "input-missing"
    assert not caught.value.retry
