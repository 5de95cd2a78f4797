"""Builds and images: what a worker reports, and what people read of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, literal, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from registry import access, advisories, audit, bundles, clock, jobs, paging, visibility
from registry.access import SYSTEM, Actor, Permission
from registry.errors import Blocked, NotFound, Stale, WrongStage
from registry.locking import lock
from registry.orm.catalog import RELEASED, ModelVersion, RegisteredModel
from registry.orm.image import Build, BuildState, Bundle, Image, ImageMember
from registry.orm.job import Job, JobKind


@dataclass(frozen=True)
class Baked:
    """Everything a worker knows of an image it released; fields as in :class:`registry.orm.image.Image`."""

    digest: str
    engine_id: str
    isolation: str
    base: str
    target: dict[str, str]
    size: int
    layers: list[dict[str, Any]]
    config: str
    manifest: str
    sealed: dict[str, Any]
    sbom: dict[str, Any]
    provenance: dict[str, Any]
    smoke: dict[str, Any]
    key_fingerprint: str
    members: list[UUID]
    reference: str | None = None
    model_signatures: dict[str, Any] | None = None
    platform: str | None = None


def _query() -> Select[Build]:
    return select(Build).options(joinedload(Build.bundle), joinedload(Build.image).options(bundles.IMAGE_BRIEF))


def get_build(session: Session, build_id: UUID, *, actor: Actor) -> Build:
    """A build.

    :raises NotFound: no such build, or one of its models is not the actor's to see.
    """
    access.require(actor, Permission.READ)
    build = session.scalars(_query().where(Build.id == build_id)).one_or_none()
    if build is None or not _may_see(session, build.bundle_id, actor):
        raise NotFound("there is no such build")
    return build


def _may_see(session: Session, bundle_id: UUID, actor: Actor) -> bool:
    return session.scalars(select(visibility.bundle(literal(bundle_id, Uuid), actor))).one()


def list_builds(
    session: Session, cursor: paging.Cursor, *, actor: Actor, bundle: Bundle | None = None
) -> paging.Page[Build]:
    """Builds, newest first."""
    access.require(actor, Permission.READ)
    query = _query().where(visibility.bundle(Build.bundle_id, actor))
    if bundle is not None:
        query = query.where(Build.bundle_id == bundle.id)
    return paging.fetch(session, query, (Build.id,), cursor)


def start(session: Session, build_id: UUID) -> Build:
    """A worker begins; the build with its bundle."""
    build = session.scalars(_query().where(Build.id == build_id)).one()
    if build.state is not BuildState.RUNNING:
        build.state = BuildState.RUNNING
        audit.record(
            session,
            audit.Action.BUILD_RETRIED if build.error else audit.Action.BUILD_REQUESTED,
            actor=SYSTEM,
            subject=build,
            what="started",
        )
    return build


def release(session: Session, build: Build, baked: Baked) -> Image:
    """Record the image (once: the same digest is the same image) and make it the bundle's current one.

    A build that ends after a newer one of the same bundle keeps its image, but does not put it in front.

    :raises Blocked: the approval of a version has ended since the bake began.
    """
    bundle = session.get_one(Bundle, build.bundle_id)
    lock(session, bundle)
    _require_approval(session, baked.members)
    newer = (
        select(Build.id)
        .join(Job, Job.id == Build.job_id)
        .where(Build.bundle_id == bundle.id, Build.id > build.id, Build.state == BuildState.DONE)
        .where(Job.kind == JobKind.BAKE)  # a move to another platform bakes the versions of before again
    )
    overtaken = session.scalars(newer.limit(1)).first() is not None
    image = session.scalars(select(Image).where(Image.digest == baked.digest)).one_or_none()
    if image is None:
        fields = {name: value for name, value in vars(baked).items() if name != "members"}
        image = Image(bundle_id=bundle.id, created_at=clock.now(), **fields)
        session.add(image)
        session.flush()
        session.add_all(
            ImageMember(image_id=image.id, version_id=version_id) for version_id in dict.fromkeys(baked.members)
        )
        advisories.note_image(session, image)
    else:  # baked again: its layers are here, and its documents stay those of the first time
        image.freed_at, image.reference = None, baked.reference or image.reference
        image.platform = baked.platform or image.platform
    build.state, build.image_id, build.finished_at, build.error = BuildState.DONE, image.id, clock.now(), None
    if not overtaken:
        bundle.current_image_id = image.id
    audit.record(
        session,
        audit.Action.IMAGE_RELEASED,
        actor=SYSTEM,
        subject=image,
        also=[build, bundle],
        digest=image.digest,
        bundle=bundle.full_name,
        isolation=image.isolation,
    )
    return image


def _require_approval(session: Session, members: Sequence[UUID]) -> None:
    ended = (
        select(RegisteredModel.full_name, ModelVersion.number)
        .join(ModelVersion, ModelVersion.model_id == RegisteredModel.id)
        .where(ModelVersion.id.in_(members), _ended())
        .order_by(RegisteredModel.full_name, ModelVersion.number)
    )
    for name, number in session.execute(ended):
        raise Blocked(
            f"the approval of {name}:{number} ended while it was baked",
            hint="Change the routes to an approved version, and bake.",
        )


def _ended() -> ColumnElement[bool]:
    """Whether a version is not approved any more."""
    return or_(ModelVersion.stage.not_in(RELEASED), ModelVersion.approved_until < clock.now())


def previous_image(session: Session, bundle: Bundle) -> Image | None:
    """The image that was released before the current one, and whose versions are all still approved; ``None`` without."""
    done = (Build.bundle_id == bundle.id, Build.state == BuildState.DONE)
    latest = select(Build.id).where(*done, Build.image_id == bundle.current_image_id).order_by(Build.id.desc()).limit(1)
    withdrawn = (
        select(ImageMember.image_id).join(ModelVersion, ModelVersion.id == ImageMember.version_id).where(_ended())
    )
    query = (
        select(Image)
        .join(Build, Build.image_id == Image.id)
        .where(*done, Build.id < latest.scalar_subquery())
        .where(Image.id != bundle.current_image_id, Image.id.not_in(withdrawn))
        .options(bundles.IMAGE_BRIEF)
        .order_by(Build.id.desc())
        .limit(1)
    )
    return session.scalars(query).first()


def roll_back(session: Session, bundle: Bundle, *, actor: Actor, seen: str) -> Image:
    """Put the previous image in front again. Routes and versions stay as they are: the next bake goes forward again.

    :param seen: digest of the image that the actor wants to leave; asking twice must not go back twice.
    :raises Stale: another image is the current one by now.
    :raises Blocked: there is none to go back to.
    """
    access.require(actor, Permission.BAKE, team_id=bundle.team_id)
    lock(session, bundle)
    current = session.get(Image, bundle.current_image_id) if bundle.current_image_id else None
    if current is None or current.digest != seen:
        now = current.digest if current else "none"
        raise Stale(f"the current image of {bundle.full_name} is {now}", hint="Look again, then decide.")
    image = previous_image(session, bundle)
    if image is None:
        raise Blocked(
            f"{bundle.full_name} has no earlier image whose versions are all still approved",
            hint="Change the routes to an approved version, and bake.",
        )
    bundle.current_image_id = image.id
    audit.record(
        session,
        audit.Action.IMAGE_ROLLED_BACK,
        actor=actor,
        subject=bundle,
        also=[image, current],
        digest=image.digest,
        left=current.digest,
    )
    return image


def fail(session: Session, build: Build, error: dict[str, str]) -> None:
    """The build was given up; the bundle's last image stays current."""
    build.state, build.error, build.finished_at = BuildState.FAILED, error, clock.now()
    audit.record(session, audit.Action.BUILD_FAILED, actor=SYSTEM, subject=build, error=error)


def retry(session: Session, build: Build, *, actor: Actor) -> None:
    """Queue a failed build again."""
    access.require(actor, Permission.BAKE, team_id=build.bundle.team_id)
    lock(session, build)
    if build.state is not BuildState.FAILED:
        raise WrongStage(f"this build is {build.state}", hint="Only a failed build can be retried.")
    build.state, build.finished_at = BuildState.QUEUED, None
    build.job_id = jobs.enqueue(session, JobKind.BAKE, key=build.id.hex, subject_id=build.id).id
    audit.record(session, audit.Action.BUILD_RETRIED, actor=actor, subject=build)


def get_image(session: Session, digest: str, *, actor: Actor) -> Image:
    """An image by digest, with its members.

    :raises NotFound: no such image, or one of its models is not the actor's to see.
    """
    access.require(actor, Permission.READ)
    query = (
        select(Image)
        .where(Image.digest == digest, visibility.image(actor))
        .options(
            joinedload(Image.bundle),
            selectinload(Image.members).joinedload(ImageMember.version).joinedload(ModelVersion.model),
        )
    )
    image = session.scalars(query).one_or_none()
    if image is None:
        raise NotFound(f"there is no image {digest}")
    return image


def list_images(session: Session, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[Image]:
    """Images, newest first, without their documents."""
    access.require(actor, Permission.READ)
    query = (
        select(Image)
        .where(visibility.image(actor))
        .options(
            bundles.IMAGE_BRIEF,
            joinedload(Image.bundle),
            selectinload(Image.members).joinedload(ImageMember.version).joinedload(ModelVersion.model),
        )
    )
    return paging.fetch(session, query, (Image.id,), cursor)
