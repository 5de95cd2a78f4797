"""SIGKILL at every commit, fsync, step and effect: after a restart nothing is lost, doubled or half-approved.

The points are enumerated by running once with a log, then each one kills a run of its own; the short form kills at the
last of each kind, ``make soak`` at all of them.
"""

import signal

import pytest
from sqlalchemy import func, select

from registry import checking, proofs, tokens
from registry.orm.approval import Decision, RequestState
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.image import Build, BuildState, Image
from registry.orm.job import Job, JobState
from tests import factories
from tests.e2e.conftest import CARD, chosen
from tests.factories import World

pytestmark = [pytest.mark.index, pytest.mark.slow, pytest.mark.xdist_group("installation")]


@pytest.fixture
def world(installation, index_there):
    """People, and a store, in the installation."""
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


@pytest.fixture
def pushed(world, model_files):
    """A real version that waits for its checks."""
    with world.write() as session:
        files = {path.name: factories.blob(session, world, path.read_bytes()) for path in model_files}
    with world.write() as session:
        return factories.checking_version(session, world, files=files, card=CARD, environment={"python": ""}).id


def count(session, table):
    return session.scalar(select(func.count()).select_from(table))


def enumerate_points(installation, name):
    """Every point that a run from here reaches when wheels and layers are there already."""
    installation.keep(name)
    installation.work()
    installation.set_back(name)
    code, points, said = installation.work()
    assert code == 0, said
    return points


def survives(installation, name, points, work, check):
    """Kill ``work`` at each point, start it again, and look at what is there with ``check``."""
    assert points, "the run reached no fault point: nothing would be tested"
    for point in points:
        installation.set_back(name)
        code, _, said = work(fault=point)
        assert code == -signal.SIGKILL, f"{point}: ended with {code}, not killed: {said}"
        with installation.database.read() as session:
            proofs.verify(session)
        installation.let_leases_run_out()
        code, _, said = work()
        assert code == 0, f"after a kill at {point}: {said}"
        check(point)


def test_checks_survive_a_kill(installation, pushed, world):
    points = enumerate_points(installation, "pushed")

    def outcome():
        with installation.database.read() as session:
            version = world.version(session)
            assert version.stage is Stage.READY, [report.summary for report in version.reports]
            assert version.release_digest == checking.recompute(session, version)
            job = session.scalars(select(Job)).one()
            assert job.state is JobState.DONE
            proofs.verify(session)
            return version.release_digest

    expected = outcome()

    def check(point):
        assert outcome() == expected, f"after a kill at {point} the release digest differs"

    survives(installation, "pushed", chosen(points), installation.work, check)


def test_a_bake_survives_a_kill(installation, pushed, world):
    installation.work()
    with world.write() as session:
        factories.approve(session, world, world.version(session))
    points = enumerate_points(installation, "approved")

    def outcome():
        with installation.database.read() as session:
            build, image = session.scalars(select(Build)).one(), session.scalars(select(Image)).one()
            assert build.state is BuildState.DONE, build.error
            assert build.image_id == image.id
            assert session.scalar(select(func.count()).where(Job.state != JobState.DONE)) == 0
            proofs.verify(session)
            return image.digest

    expected = outcome()

    def check(point):
        assert outcome() == expected, f"after a kill at {point} the image digest differs"

    survives(installation, "approved", chosen(points), installation.work, check)


def test_a_push_survives_a_kill(installation, world, model_files):
    with world.write() as session:
        _, token = tokens.create(session, actor=world.ana, name="ci", scopes=["read", "push"], days=1)
    given = {"token": token, "files": [str(path) for path in model_files], "card": CARD, "model": "payments/voice"}
    installation.keep("empty")
    code, points, said = installation.act("push", given)
    assert code == 0, said

    def check(point):
        with installation.database.read() as session:
            version = session.scalars(select(ModelVersion)).one()
            assert version.number == 1, point
            assert count(session, Job) == 1, point
            for file in world.version(session).files:
                assert installation.store.size(file.digest) == file.size
            proofs.verify(session)

    survives(
        installation, "empty", chosen(points), lambda fault="": installation.act("push", given, fault=fault), check
    )


def test_the_last_signature_survives_a_kill(installation, pushed, world, keys):
    with world.write() as session:
        secret = factories.enrol(session, "cora", keys)
        version = world.version(session)
        factories.check(session, version)
    with world.write() as session:
        request = factories.submit(session, world, world.version(session))
        factories.decide(session, request, world.vic)
        review = request.id
    given = {"username": "cora", "password": factories.PASSWORD, "secret": secret, "review": str(review), "step": 0}
    installation.keep("one-signature")
    code, points, said = installation.act("sign", given)
    assert code == 0, said

    def half_or_whole(point):
        with installation.database.read() as session:
            request = world.request(session)
            signed = session.scalar(select(func.count()).select_from(Decision))
            builds = count(session, Build)
            whole = (request.state, request.version.stage, signed, builds) == (
                RequestState.APPROVED,
                Stage.APPROVED,
                2,
                1,
            )
            none = (request.state, request.version.stage, signed, builds) == (RequestState.OPEN, Stage.IN_REVIEW, 1, 0)
            assert whole or none, f"half-approved after a kill at {point}"

    def sign(fault=""):
        if fault:
            return installation.act("sign", given, fault=fault)
        half_or_whole(fault)
        # The code of the next step, which is taken already: one that was spent just before the kill is no good again.
        return installation.act("sign", given | {"step": 1})

    def check(point):
        with installation.database.read() as session:
            request = world.request(session)
            assert request.state is RequestState.APPROVED, point
            assert session.scalar(select(func.count()).select_from(Decision)) == 2, point
            assert count(session, Build) == 1, point
            assert session.scalar(select(func.count()).where(Job.kind == "bake")) == 1, point
            proofs.verify(session)

    survives(installation, "one-signature", chosen(points), sign, check)
