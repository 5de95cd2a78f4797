"""The list for servers: every revoked version, what was listed before, and nothing that is not revoked."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from builders import revoking
from formats import keys, revocations
from formats.seals import BadSeal
from registry import audit, references, versions
from registry import revoking as registry_revoking
from registry.access import SYSTEM
from registry.errors import NotFound
from registry.orm.catalog import ModelVersion, Stage
from registry.orm.image import Build
from tests import factories


@pytest.fixture
def signer(tmp_path):
    return keys.generate(tmp_path / "release.pem")


@pytest.fixture
def version(world):
    """The id of an approved version."""
    with world.write() as session:
        return factories.approved_version(session, world).id


def move(world, version, stage):
    with world.write() as session:
        found = session.get(ModelVersion, version)
        versions.move(found, stage)
        audit.record(session, audit.Action.VERSION_TAGGED, actor=SYSTEM, subject=found, key="stage", value=stage.value)
        return found.release_digest


def listed(path, signer):
    return [
        (entry.kind, entry.digest) for entry in revocations.open_sealed(path.read_bytes(), signer.fingerprint).revoked
    ]


def test_revoked_versions_are_listed_and_stay_listed(world, version, signer, tmp_path):
    path = tmp_path / "revocations.json"
    assert revoking.write(world.database, signer, path).revoked == ()
    with world.write() as session:
        found = references.version_by_id(session, version, actor=world.cora)
        registry_revoking.revoke(session, found, actor=world.cora, reason="It was wrong.", method="password+totp")
        digest = found.release_digest
    (entry,) = revoking.write(world.database, signer, path).revoked
    assert (entry.kind, entry.digest, entry.name) == ("release", digest, f"{factories.MODEL}:1")
    move(world, version, Stage.RETIRED)
    revoking.write(world.database, signer, path)
    assert listed(path, signer) == [("release", digest)]


def test_an_image_is_listed_by_name(world, version, signer, tmp_path):
    path = tmp_path / "revocations.json"
    with world.write() as session:
        build = session.scalars(select(Build).options(joinedload(Build.bundle))).first()
        digest = factories.released_image(session, build).digest
    revoking.write(world.database, signer, path, [digest])
    revoking.write(world.database, signer, path)
    assert listed(path, signer) == [("image", digest)]
    with pytest.raises(NotFound, match="there is no image"):
        revoking.write(world.database, signer, path, ["sha256:" + "0" * 64])


def test_a_file_that_is_no_list_of_ours_is_left_alone(world, signer, tmp_path):
    path = tmp_path / "revocations.json"
    path.write_text("{}")
    with pytest.raises(BadSeal, match="move this one away"):
        revoking.write(world.database, signer, path)
    assert path.read_text() == "{}"
