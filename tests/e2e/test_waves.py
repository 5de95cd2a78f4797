"""A platform change with a real worker: equal answers come in front, others and what does not start stay behind."""

import dataclasses
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from formats import digest as digests
from formats import platforms
from formats.artifacts import File
from registry import bundles, platform_changes, waves
from registry import platforms as registered
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.image import Image
from registry.orm.platform import ChangeState, MoveState, Platform, PlatformMove
from tests import factories
from tests.e2e.conftest import CARD, ROOT, opened
from tests.factories import World
from tests.support import bodies_of

pytestmark = [pytest.mark.index, pytest.mark.slow, pytest.mark.xdist_group("installation")]
FORM = "serving/compiled.py"
ANSWER = "return self._form.answer(batch.inputs, batch.outputs)"
OTHERWISE = """outputs = self._form.answer(batch.inputs, batch.outputs)
            return [Tensor(t.name, t.datatype, t.shape, bytes(t.data).replace(b'praise', b'prAise')) for t in outputs]"""


@pytest.fixture(params=["process", pytest.param("container", marks=[pytest.mark.engine, pytest.mark.soak])])
def installation(request, tmp_path):
    """As processes of the host, and in a soak in containers."""
    with opened(tmp_path, request.param) as made:
        if request.param == "container":
            base = os.environ.get("COUNTERSIGN_BASE_IMAGE") or str(ROOT / "var/base/base.oci.tar")
            assert "@" in base or Path(base).is_file(), "make base-image"
            made.environ["COUNTERSIGN_BASE_IMAGE"] = base
        yield made


@pytest.fixture
def world(installation, index_there):
    factories.build_world(installation.database)
    return World.load(installation.database, installation.store)


@pytest.fixture
def released(installation, world, model_files):
    """One version, checked, approved and baked; the platform of that bake is in force."""
    with world.write() as session:
        files = {path.name: factories.blob(session, world, path.read_bytes()) for path in model_files}
    with world.write() as session:
        factories.checking_version(session, world, files=files, card=CARD, environment={"python": ""})
    work(installation)
    with world.write() as session:
        version = world.version(session)
        assert version.stage is Stage.READY, [report.summary for report in version.reports]
        factories.approve(session, world, version)
    work(installation)
    with world.read() as session:
        return session.scalars(select(Image)).one().digest


def work(installation):
    code, _, said = installation.work()
    assert code == 0, said


def changed(world, path, change):
    """Offer the platform in force with one module of the serving code changed, as another checkout would."""
    with world.read() as session:
        first = session.scalars(select(Platform).order_by(Platform.id)).first()
        found, wheels = platforms.Platform.from_dict(first.body), first.wheels
    code = {file.path: file for file in found.app}
    data = change(world.store.read(code[path].sha256, limit=1 << 20).decode()).encode()
    with world.write() as session:
        factories.blob(session, world, data)
        code[path] = File(path, digests.of_bytes(data), len(data))
        other = dataclasses.replace(found, app=tuple(sorted(code.values(), key=lambda file: file.path)))
        row = registered.offer(session, other, wheels=wheels, worker="another checkout")
        change = factories.propose(session, world, row)
        factories.sign_change(session, change, world.vic)
        factories.sign_change(session, change, world.cora)
        return change.id


def outcome(world, change_id):
    with world.read() as session:
        change = platform_changes.get(session, change_id, actor=world.ops)
        assert change.state is ChangeState.DONE
        (move,) = session.scalars(select(PlatformMove).where(PlatformMove.change_id == change_id))
        front = bundles.get(session, "payments/voice", actor=world.ana).current_image
        return move, front, change.platform.digest


def test_an_image_moves_when_its_answers_are_equal_and_only_then(installation, world, released):
    with world.read() as session:
        in_force = session.scalars(select(Platform)).one()
        assert session.scalars(select(Image)).one().platform == in_force.digest
        approved = session.scalars(select(ModelVersion)).one()
    code, _, said = installation.run("-m", "builders", "offer")
    assert code == 0, said
    with world.read() as session:
        assert session.scalars(select(Platform)).one().id == in_force.id, "the worker's own is the one in force"

    equal = changed(world, "start.py", lambda text: text + "# patched\n")
    work(installation)
    move, front, platform = outcome(world, equal)
    assert move.state is MoveState.EQUAL, (move.error, move.report)
    assert move.report["models"][0]["rows"] == 4
    assert (front.id, front.platform) == (move.new_image_id, platform)
    assert front.digest != released

    differs = changed(world, FORM, lambda text: text.replace(ANSWER, OTHERWISE))
    work(installation)
    move, still, platform = outcome(world, differs)
    assert move.state is MoveState.NOT_EQUAL, (move.error, move.report)
    assert "does not answer as approved" in move.report["summary"]
    assert still.id == front.id

    broken = changed(world, "start.py", lambda text: "raise SystemExit('no')\n" + text)
    work(installation)
    move, still, _ = outcome(world, broken)
    assert move.state is MoveState.FAILED
    assert (move.error["code"], still.id) == ("smoke-test", front.id)

    mended = changed(world, "start.py", lambda text: text + "# patched again\n")
    work(installation)
    move, front, platform = outcome(world, mended)
    assert (move.state, front.platform) == (MoveState.EQUAL, platform)
    with world.write() as session:
        build = bundles.bake(session, bundles.get(session, "payments/voice", actor=world.ana), actor=world.ana).id
    work(installation)
    with world.read() as session:
        assert session.get_one(factories.Build, build).image_id == front.id, "a bake uses the platform in force"
        version = session.scalars(select(ModelVersion)).one()
        assert (version.stage, version.release_digest) == (approved.stage, approved.release_digest)
        assert [body["outcome"] for body in bodies_of(session, "wave:image_ended")] == [
            "equal",
            "not_equal",
            "failed",
            "equal",
        ]
        failed = platform_changes.get(session, broken, actor=world.ops)
        assert waves.progress(session, [failed])[broken] == {MoveState.FAILED: 1}
