"""`python -m builders revocations FILE`: the signed list of what must not run any more, for servers to mount.

What a list has once named stays on it: the entries of the file that is there are kept.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from formats import revocations
from formats.keys import Signer
from formats.revocations import Revocation, Revocations
from formats.seals import BadSeal
from formats.shapes import ShapeError
from registry import clock
from registry.db import Database
from registry.errors import NotFound
from registry.orm.catalog import ModelVersion, RegisteredModel, Stage
from registry.orm.image import Bundle, Image


def write(database: Database, signer: Signer, path: Path, images: Sequence[str] = ()) -> Revocations:
    """Write the list of all revoked versions, and of ``images`` (digests), signed by ``signer``; whole or not at all.

    :raises NotFound: there is no such image.
    :raises BadSeal: the file that is there is not a list that ``signer`` signed.
    """
    now = clock.now()
    kept = _kept(path, signer)
    with database.read() as session:
        found = [*_versions(session), *(_image(session, digest, now) for digest in images)]
    known = {(entry.kind, entry.digest) for entry in kept}
    every = [*kept, *(entry for entry in found if (entry.kind, entry.digest) not in known)]
    listed = Revocations(clock.rfc3339(now), tuple(sorted(every, key=lambda entry: (entry.kind, entry.digest))))
    partial = path.with_name(f"{path.name}.new")
    partial.write_bytes(revocations.seal(listed, signer))
    partial.replace(path)
    return listed


def _kept(path: Path, signer: Signer) -> tuple[Revocation, ...]:
    try:
        return revocations.open_sealed(path.read_bytes(), signer.fingerprint).revoked
    except FileNotFoundError:
        return ()
    except (BadSeal, ShapeError) as error:
        raise BadSeal(f"{path}: {error}. Name another file, or move this one away.") from None


def _versions(session: Session) -> list[Revocation]:
    query = (
        select(RegisteredModel.full_name, ModelVersion)
        .join(ModelVersion.model)
        .where(ModelVersion.stage == Stage.REVOKED, ModelVersion.release_digest.is_not(None))
    )
    return [
        Revocation(
            "release", str(version.release_digest), f"{name}:{version.number}", clock.rfc3339(version.stage_since)
        )
        for name, version in session.execute(query)
    ]


def _image(session: Session, digest: str, now: datetime) -> Revocation:
    query = select(Bundle.full_name).join(Image, Image.bundle_id == Bundle.id).where(Image.digest == digest)
    name = session.scalars(query).one_or_none()
    if name is None:
        raise NotFound(f"there is no image {digest}", hint="The portal lists images under Images.")
    return Revocation("image", digest, name, clock.rfc3339(now))
