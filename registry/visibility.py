"""Who may see a bundle and what was baked of it: its team, and whoever may see each of the models in it.

A private model is not there for others, so nothing that names it is. Each is a condition that is asked of one row after the
other, so that a page stops when it is full.
"""

from uuid import UUID

from sqlalchemy import ColumnElement, and_, not_, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from registry.access import Actor
from registry.catalog import seen_from
from registry.orm.catalog import ModelVersion, RegisteredModel
from registry.orm.image import Bundle, Image, ImageMember, RouteMember


def bundle(bundle_id: ColumnElement[UUID] | InstrumentedAttribute[UUID], actor: Actor) -> ColumnElement[bool]:
    """Whether the actor may see the bundle."""
    members = select(RouteMember.id).join(RegisteredModel, RegisteredModel.id == RouteMember.model_id)
    members = members.where(RouteMember.bundle_id == bundle_id)
    seen = seen_from(actor.teams)
    return or_(_own(bundle_id, actor), and_(members.where(seen).exists(), not_(members.where(not_(seen)).exists())))


def image(actor: Actor) -> ColumnElement[bool]:
    """Whether the actor may see the image of a query over images: its bundle may have other members by now."""
    held = (
        select(ImageMember.version_id)
        .join(ModelVersion, ModelVersion.id == ImageMember.version_id)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(ImageMember.image_id == Image.id, not_(seen_from(actor.teams)))
    )
    return and_(bundle(Image.bundle_id, actor), or_(_own(Image.bundle_id, actor), not_(held.exists())))


def _own(bundle_id: ColumnElement[UUID] | InstrumentedAttribute[UUID], actor: Actor) -> ColumnElement[bool]:
    return select(Bundle.id).where(Bundle.id == bundle_id, Bundle.team_id.in_(actor.teams)).exists()
