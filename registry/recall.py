"""Advisories with what they touch: packages, versions and images, and who owns them; the list from which one recalls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session, joinedload

from registry import access, bundles, catalog, paging, visibility, waivers
from registry.access import Actor, Permission
from registry.advisories import in_force
from registry.errors import NotFound
from registry.orm.advisory import Advisory, Finding, ImageWheel, Severity, VersionWheel, Waiver, Wheel
from registry.orm.catalog import ModelVersion, RegisteredModel
from registry.orm.image import Bundle, Image


@dataclass
class Item:
    """An advisory about something that is held here. Counts are of what the reader may see."""

    advisory: Advisory
    blocks: bool
    """Whether it is as bad as the limit or worse, and not waived."""
    waiver: Waiver | None
    wheels: list[str] = field(default_factory=list)
    """``pillow 9.0.0``."""
    found_at: datetime | None = None
    versions: int = 0
    images: int = 0
    current: int = 0
    """Images that are some bundle's current one."""

    @property
    def severity(self) -> Severity:
        return Severity(self.advisory.severity)


def get(session: Session, advisory_id: str, *, actor: Actor) -> Advisory:
    """An advisory by its id, also one that is about nothing held here.

    :raises NotFound: the bundle in force has none of that name.
    """
    access.require(actor, Permission.READ)
    advisory = session.get(Advisory, advisory_id)
    if advisory is None:
        raise NotFound(f"there is no advisory {advisory_id}", hint="Use the id under which the list shows it.")
    return advisory


def listing(session: Session, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[Item]:
    """Advisories about what is held here, worst first."""
    access.require(actor, Permission.READ)
    held = exists().where(Finding.advisory_id == Advisory.id)
    page = paging.fetch(session, select(Advisory).where(held), (Advisory.severity, Advisory.id), cursor)
    return paging.Page(tell(session, page.items, actor=actor), page.next)


def tell(session: Session, found: Sequence[Advisory], *, actor: Actor) -> list[Item]:
    """The items of these advisories, in four queries however many there are."""
    waived = waivers.covering(session, found)
    bundle = in_force(session)
    limit = bundle.block_at if bundle else Severity.LOW
    items = {
        advisory.id: Item(advisory, advisory.severity >= limit and advisory.id not in waived, waived.get(advisory.id))
        for advisory in found
    }
    wheels = select(Finding, Wheel).join(Wheel, Wheel.id == Finding.wheel_id).where(Finding.advisory_id.in_(items))
    for finding, wheel in session.execute(wheels.order_by(Wheel.name, Wheel.version)):
        item = items[finding.advisory_id]
        item.wheels.append(f"{wheel.name} {wheel.version}")
        item.found_at = min(item.found_at or finding.found_at, finding.found_at)
    versions = _versions(actor).where(Finding.advisory_id.in_(items)).group_by(Finding.advisory_id)
    counted = versions.with_only_columns(Finding.advisory_id, func.count(ModelVersion.id.distinct()))
    for advisory_id, count in session.execute(counted):
        items[advisory_id].versions = count
    images = _images(actor).where(Finding.advisory_id.in_(items)).group_by(Finding.advisory_id)
    current = func.count(Image.id.distinct()).filter(Bundle.current_image_id == Image.id)
    for advisory_id, count, now in session.execute(
        images.with_only_columns(Finding.advisory_id, func.count(Image.id.distinct()), current)
    ):
        items[advisory_id].images, items[advisory_id].current = count, now
    return list(items.values())


def versions_of(
    session: Session, advisory: Advisory, cursor: paging.Cursor, *, actor: Actor
) -> paging.Page[ModelVersion]:
    """Versions whose lock holds an affected wheel, newest first."""
    ids = _versions(actor).where(Finding.advisory_id == advisory.id).with_only_columns(ModelVersion.id)
    query = select(ModelVersion).where(ModelVersion.id.in_(ids)).options(joinedload(ModelVersion.model))
    return paging.fetch(session, query, (ModelVersion.id,), cursor)


def images_of(session: Session, advisory: Advisory, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[Image]:
    """Images that hold an affected wheel, newest first, with bundle and the team that owns it."""
    ids = _images(actor).where(Finding.advisory_id == advisory.id).with_only_columns(Image.id)
    parts = (bundles.IMAGE_BRIEF, joinedload(Image.bundle).joinedload(Bundle.team))
    return paging.fetch(session, select(Image).where(Image.id.in_(ids)).options(*parts), (Image.id,), cursor)


def flagged(session: Session, image_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these images hold a wheel that an advisory, not waived, is about; in two queries."""
    query = (
        select(ImageWheel.image_id, Advisory)
        .join(Finding, Finding.wheel_id == ImageWheel.wheel_id)
        .join(Advisory, Advisory.id == Finding.advisory_id)
        .where(ImageWheel.image_id.in_(image_ids))
    )
    rows = session.execute(query).all()
    waived = waivers.covering(session, {advisory.id: advisory for _, advisory in rows}.values())
    return {image_id for image_id, advisory in rows if advisory.id not in waived}


def waiting(session: Session, *, actor: Actor, most: int) -> list[Item]:
    """Advisories that block, are not waived, and are about an image in front: what compliance has to do something about."""
    bundle = in_force(session)
    if bundle is None:
        return []
    front = (
        exists()
        .where(Finding.advisory_id == Advisory.id, Finding.wheel_id == ImageWheel.wheel_id)
        .where(ImageWheel.image_id == Bundle.current_image_id)
    )
    query = select(Advisory).where(Advisory.severity >= bundle.block_at, front)
    found = session.scalars(query.order_by(Advisory.severity.desc(), Advisory.id.desc()).limit(most)).all()
    return [item for item in tell(session, found, actor=actor) if item.blocks]


@dataclass
class Held:
    """A bundle whose image in front holds what an advisory is about: the worst of them, and how many there are."""

    bundle: str
    image_digest: str
    worst: Advisory
    found_at: datetime
    count: int = 1


def in_front_of(session: Session, actor: Actor, *, most: int) -> list[Held]:
    """Bundles of the actor's teams whose image in front an advisory blocks that is not waived; the longest known first."""
    current = in_force(session)
    if current is None or not actor.teams:
        return []
    query = (
        select(Bundle.full_name, Image.digest, Advisory, Finding.found_at)
        .join(Image, Image.id == Bundle.current_image_id)
        .join(ImageWheel, ImageWheel.image_id == Image.id)
        .join(Finding, Finding.wheel_id == ImageWheel.wheel_id)
        .join(Advisory, Advisory.id == Finding.advisory_id)
        .where(Bundle.team_id.in_(actor.teams), Advisory.severity >= current.block_at)
        .order_by(Advisory.severity.desc(), Advisory.id)
    )
    rows = session.execute(query).all()
    waived = waivers.covering(session, {advisory.id: advisory for _, _, advisory, _ in rows}.values())
    held: dict[str, Held] = {}
    for bundle, digest, advisory, found_at in rows:
        if advisory.id in waived:
            continue
        if (known := held.get(bundle)) is None:
            held[bundle] = Held(bundle, digest, advisory, found_at)
        else:
            known.count, known.found_at = known.count + 1, min(known.found_at, found_at)
    return sorted(held.values(), key=lambda item: item.found_at)[:most]


def _versions(actor: Actor) -> Select[*tuple[Any, ...]]:
    query = (
        select(Finding.advisory_id)
        .join(VersionWheel, VersionWheel.wheel_id == Finding.wheel_id)
        .join(ModelVersion, ModelVersion.id == VersionWheel.version_id)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
    )
    return catalog.visible_to(query, actor)


def _images(actor: Actor) -> Select[*tuple[Any, ...]]:
    return (
        select(Finding.advisory_id)
        .join(ImageWheel, ImageWheel.wheel_id == Finding.wheel_id)
        .join(Image, Image.id == ImageWheel.image_id)
        .join(Bundle, Bundle.id == Image.bundle_id)
        .where(visibility.bundle(Bundle.id, actor))
    )
