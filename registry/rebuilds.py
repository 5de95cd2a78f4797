"""Rebuild and compare: a released image baked anew from what was recorded, and whether the same bytes came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from registry import access, audit, clock, jobs
from registry.access import SYSTEM, Actor, Permission
from registry.errors import NotFound
from registry.locking import lock
from registry.orm.image import Image, ImageRebuild, RebuildState
from registry.orm.job import JobKind

SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """The first layer, from the lowest, that did not come out as released.

    ``role`` is that of a layer, or ``config`` when all layers are equal. ``found`` is empty when there is none at this
    place, ``expected`` when there should be none.
    """

    role: str
    path: str
    expected: str
    found: str


def request(session: Session, image: Image, *, actor: Actor) -> ImageRebuild:
    """Ask for a rebuild; one that has not ended yet serves instead."""
    access.require(actor, Permission.REBUILD)
    lock(session, image)  # of two who ask at once, the second finds the first one's
    waiting = select(ImageRebuild).where(ImageRebuild.image_id == image.id, ImageRebuild.state == RebuildState.QUEUED)
    if (pending := session.scalars(waiting).first()) is not None:
        return pending
    rebuild = ImageRebuild(
        id=clock.new_id(),
        image_id=image.id,
        state=RebuildState.QUEUED,
        requested_by=actor.ref,
        created_at=clock.now(),
    )
    session.add(rebuild)
    jobs.enqueue(session, JobKind.REBUILD, key=rebuild.id.hex, subject_id=rebuild.id, new=True)
    audit.record(session, audit.Action.IMAGE_REBUILD_REQUESTED, actor=actor, subject=image, digest=image.digest)
    session.flush()
    return rebuild


def load(session: Session, rebuild_id: UUID) -> ImageRebuild:
    """The rebuild with its image, for a worker."""
    query = select(ImageRebuild).where(ImageRebuild.id == rebuild_id).options(joinedload(ImageRebuild.image))
    return session.scalars(query).one()


def get(session: Session, image: Image, rebuild_id: UUID) -> ImageRebuild:
    """A rebuild of an image that the caller may see.

    :raises NotFound: no such rebuild of this image.
    """
    query = select(ImageRebuild).where(ImageRebuild.id == rebuild_id, ImageRebuild.image_id == image.id)
    rebuild = session.scalars(query).one_or_none()
    if rebuild is None:
        raise NotFound(f"image {image.digest} has no such rebuild")
    return rebuild


def of_image(session: Session, image: Image) -> Sequence[ImageRebuild]:
    """The last rebuilds of an image, newest first."""
    query = select(ImageRebuild).where(ImageRebuild.image_id == image.id).order_by(ImageRebuild.id.desc())
    return session.scalars(query.limit(SHOWN)).all()


def finish(session: Session, rebuild: ImageRebuild, *, found_digest: str, difference: Difference | None) -> None:
    """Record what came out. An equal image's bytes are here again, if they had been freed."""
    rebuild.state = RebuildState.EQUAL if difference is None else RebuildState.DIFFERS
    rebuild.found_digest, rebuild.finished_at = found_digest, clock.now()
    rebuild.difference = vars(difference) if difference else None
    if difference is None:
        rebuild.image.freed_at = None
    _record(session, rebuild, found=found_digest, difference=rebuild.difference)


def fail(session: Session, rebuild: ImageRebuild, error: dict[str, str]) -> None:
    """Nothing came out: an input is missing, or this worker has another base."""
    rebuild.state, rebuild.error, rebuild.finished_at = RebuildState.FAILED, error, clock.now()
    _record(session, rebuild, error=error)


def _record(session: Session, rebuild: ImageRebuild, **body: Any) -> None:
    image = rebuild.image
    audit.record(
        session,
        audit.Action.IMAGE_REBUILT,
        actor=SYSTEM,
        subject=image,
        digest=image.digest,
        outcome=rebuild.state.value,
        **body,
    )
