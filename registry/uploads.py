"""Which bytes exist, and who may refer to them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from registry import access, catalog, clock
from registry.access import Actor, Permission
from registry.errors import NotFound
from registry.orm.catalog import Blob, ModelVersion, RegisteredModel, Upload, VersionFile


def note(session: Session, *, actor: Actor, digest: str, size: int) -> bool:
    """Record that ``actor`` sent these bytes; returns whether that is new.

    The object itself must be in the store already: a row without an object would promise what is not there.
    """
    access.require(actor, Permission.PUSH)
    now = clock.now()
    # The same bytes may arrive twice at once; whichever comes second finds the row there.
    _insert(session, Blob, digest=digest, size=size, created_at=now)
    return _insert(session, Upload, digest=digest, actor=actor.ref, created_at=now)


def keep(session: Session, *, digest: str, size: int) -> None:
    """Record bytes that are nobody's to refer to: a bundle of advisories. The object must be in the store already."""
    _insert(session, Blob, digest=digest, size=size, created_at=clock.now())


def _insert(session: Session, table: type[Blob | Upload], **values: Any) -> bool:
    """Insert unless the row is there; returns whether it was not."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    # Asked for by RETURNING: the row count of such an insert is not told by every driver.
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(table.digest)
    return session.execute(statement).first() is not None


def may_refer(session: Session, digest: str, *, actor: Actor) -> Blob | None:
    """The blob, if the actor sent it or may read a version that holds it; else ``None``, as if it were not there."""
    blob = session.get(Blob, digest)
    if blob is None or session.get(Upload, (digest, actor.ref)) is not None:
        return blob
    holders = (
        select(RegisteredModel)
        .join(ModelVersion, ModelVersion.model_id == RegisteredModel.id)
        .join(VersionFile, VersionFile.version_id == ModelVersion.id)
        .where(VersionFile.digest == digest)
        .distinct()
        .limit(50)
    )
    return (
        blob
        if any(catalog.may_read_artifacts(session, model, actor=actor) for model in session.scalars(holders))
        else None
    )


def require(session: Session, digest: str, *, actor: Actor, path: str) -> Blob:
    """Like :func:`may_refer`, refusing.

    :raises NotFound: these bytes are not here, or not yours to use.
    """
    blob = may_refer(session, digest, actor=actor)
    if blob is None:
        raise NotFound(
            f"{path}: you have not uploaded {digest}", hint="Send the bytes first: PUT /api/v1/blobs/<digest>."
        )
    return blob


_SENT = (  # made once: every push pays for it
    select(Blob.digest, Blob.size)
    .join(Upload, Upload.digest == Blob.digest)
    .where(Blob.digest.in_(bindparam("digests", expanding=True)), Upload.actor == bindparam("actor"))
)


def require_all(session: Session, files: Mapping[str, str], *, actor: Actor) -> dict[str, int]:
    """The size in bytes of each file of a push by path, where ``files`` maps path to digest; refuses like :func:`require`.

    What the actor sent, which is nearly always all of it, is found by one query.
    """
    sent = session.execute(_SENT, {"digests": sorted(set(files.values())), "actor": actor.ref})
    sizes = {row.digest: row.size for row in sent}
    return {
        path: sizes[digest] if digest in sizes else require(session, digest, actor=actor, path=path).size
        for path, digest in files.items()
    }
