"""Which images' layers need not be kept: they can be rebuilt. Decisions, recipes and statements are never touched."""

from collections.abc import Collection, Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import audit, clock
from registry.access import SYSTEM
from registry.orm.image import Bundle, Image


def free(session: Session, *, days: int, bases: Collection[str]) -> Sequence[Image]:
    """Mark images that are no bundle's current one and older than ``days`` as freed; returns them.

    :param bases: digests of the bases that whoever frees can rebuild on; images on others are left alone.
    """
    current = select(Bundle.current_image_id).where(Bundle.current_image_id.is_not(None))
    query = select(Image).where(
        Image.freed_at.is_(None),
        Image.created_at <= clock.now() - timedelta(days=days),
        Image.base.in_(bases),
        Image.id.not_in(current),
    )
    found = session.scalars(query.with_for_update()).all()
    for image in found:
        image.freed_at = clock.now()
        audit.record(session, audit.Action.IMAGE_FREED, actor=SYSTEM, subject=image, digest=image.digest)
    return found


def layers(session: Session, *, freed: bool) -> set[str]:
    """Digests of the layers of all images that are freed, or of all that are kept; not the bases', which nobody can rebuild."""
    state = Image.freed_at.is_not(None) if freed else Image.freed_at.is_(None)
    listed = session.scalars(select(Image.layers).where(state))
    return {layer["diff_id"] for layers in listed for layer in layers if layer["role"] != "base"}


def tags(session: Session) -> list[tuple[str, str]]:
    """Bundle and digest of every freed image: what names it on an engine."""
    query = select(Bundle.full_name, Image.digest).join(Image, Image.bundle_id == Bundle.id)
    return [(name, digest) for name, digest in session.execute(query.where(Image.freed_at.is_not(None)))]
