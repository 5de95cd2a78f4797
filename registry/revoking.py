"""Revoking: an approved version must not be used any more. One person stops it; starting again is a new version's review.

The stage is what everything else goes by: nothing with it is baked, `approved` follows the version before, and the signed list that
servers obey names its release digest.
"""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from registry import access, accounts, audit, bundles, clock, names, paging, versions, visibility
from registry.access import Actor, Permission
from registry.errors import Forbidden
from registry.locking import lock
from registry.orm.account import Role
from registry.orm.catalog import RELEASED, DeclaredUse, ModelVersion, RegisteredModel, Stage
from registry.orm.image import Bundle, Image, ImageMember

TOLD = timedelta(days=30)
"""How long teams that use a model are told that a version of it was revoked."""


def revoke(session: Session, version: ModelVersion, *, actor: Actor, reason: str, method: str) -> None:
    """Revoke the release of a version, for good. The caller has re-authenticated the person; ``method`` says how.

    :raises WrongStage: it is not approved, or was revoked already.
    """
    access.require(actor, Permission.REVOKE)
    person = accounts.load_person(session, person_id=actor.person_id)
    actor = accounts.actor_for(person, second_factor=actor.second_factor)  # with the roles of this moment
    access.require(actor, Permission.REVOKE)
    if not person.active:
        raise Forbidden("this account is disabled", hint="Ask an administrator.")
    model = version.model
    lock(session, model)  # another version of it may be approved at this moment
    lock(session, version)
    reason = names.text(reason, what="the reason", pointer="/reason", least=3, most=4000)
    versions.move(version, Stage.REVOKED)
    session.flush()
    newest = select(func.max(ModelVersion.number)).where(
        ModelVersion.model_id == model.id, ModelVersion.stage.in_(RELEASED)
    )
    model.latest_approved = session.scalar(newest)
    model.updated_at = clock.now()
    audit.record(
        session, audit.Action.VERSION_REVOKED, actor=actor, subject=version, also=[model], digest=version.release_digest,
        reason=reason, method=method,
    )  # fmt: skip
    session.flush()


def revocable(version: ModelVersion) -> bool:
    """Whether its stage is one from which it can be revoked."""
    return Stage.REVOKED in versions.EDGES.get(version.stage, frozenset())


def images_of(session: Session, version: ModelVersion, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[Image]:
    """Every image that holds a version, answering or in a shadow, newest first; with its bundle and who owns that."""
    held = select(ImageMember.image_id).where(ImageMember.version_id == version.id)
    query = select(Image).where(Image.id.in_(held), visibility.image(actor))
    parts = (bundles.IMAGE_BRIEF, joinedload(Image.bundle).joinedload(Bundle.team))
    return paging.fetch(session, query.options(*parts), (Image.id,), cursor)


def in_front(session: Session, *, actor: Actor, most: int) -> list[tuple[Bundle, ModelVersion]]:
    """Bundles of the actor's teams (for an operator, of all) whose current image holds a revoked version, with that."""
    query = (
        select(Bundle, ModelVersion)
        .join(ImageMember, ImageMember.image_id == Bundle.current_image_id)
        .join(ModelVersion, ModelVersion.id == ImageMember.version_id)
        .where(ModelVersion.stage == Stage.REVOKED)
        .options(joinedload(ModelVersion.model))
        .order_by(ModelVersion.stage_since, Bundle.id)
        .limit(most)
    )
    if Role.OPERATOR not in actor.roles:
        query = query.where(Bundle.team_id.in_(actor.teams))
    return [(bundle, version) for bundle, version in session.execute(query)]


def used(session: Session, *, actor: Actor, most: int) -> list[ModelVersion]:
    """Versions revoked of late, of models whose use a team of the actor has declared."""
    uses = select(DeclaredUse.model_id).where(DeclaredUse.team_id.in_(actor.teams))
    query = (
        select(ModelVersion)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(
            ModelVersion.stage == Stage.REVOKED,
            ModelVersion.stage_since > clock.now() - TOLD,
            RegisteredModel.id.in_(uses),
        )
        .options(joinedload(ModelVersion.model))
        .order_by(ModelVersion.stage_since)
        .limit(most)
    )
    return list(session.scalars(query))
