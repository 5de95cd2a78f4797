"""Versions by what people call them: a number, an alias, ``approved``, ``latest``, a digest; and moving aliases."""

from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, bindparam, or_, select
from sqlalchemy.orm import Session, contains_eager, defer, joinedload, selectinload

from registry import access, audit, catalog, clock, names, paging
from registry.access import Actor, Permission
from registry.errors import Forbidden, Invalid, NotFound
from registry.locking import lock
from registry.orm.catalog import Alias, ModelVersion, RegisteredModel
from registry.orm.image import Bundle, RouteMember

RESERVED_ALIASES = frozenset({"approved", "latest"})
_LISTS = (
    selectinload(ModelVersion.files),
    selectinload(ModelVersion.metrics),
    selectinload(ModelVersion.tags),
    selectinload(ModelVersion.aliases),
    selectinload(ModelVersion.reports),
)
VERSION_PARTS = (joinedload(ModelVersion.model).joinedload(RegisteredModel.team), *_LISTS)


_reference: BindParameter[Any] = bindparam("reference")
REFERENCES: dict[str, ColumnElement[bool]] = {
    "number": ModelVersion.number == _reference,
    "approved": ModelVersion.number == RegisteredModel.latest_approved,
    "latest": ModelVersion.number == RegisteredModel.versions_made,
    "digest": or_(ModelVersion.artifact_digest == _reference, ModelVersion.release_digest == _reference),
    "alias": ModelVersion.id
    == select(Alias.version_id)
    .where(Alias.model_id == RegisteredModel.id, Alias.name == _reference)
    .correlate(RegisteredModel)
    .scalar_subquery(),
}
"""What each kind of reference asks of a version joined with its model; ``:reference`` is its value."""


# Made once, as _MODEL. What is not the actor's to see is not found, and takes no longer than what is not there.
_teams: BindParameter[Any] = bindparam("teams", expanding=True)
_REFERENCED = {
    kind: select(ModelVersion)
    .join(ModelVersion.model)
    .where(RegisteredModel.full_name == bindparam("full_name"), catalog.seen_from(_teams), condition)
    .options(contains_eager(ModelVersion.model).joinedload(RegisteredModel.team), *_LISTS)
    .order_by(ModelVersion.number.desc())
    .limit(1)
    for kind, condition in REFERENCES.items()
}


def reference_kind(reference: str) -> tuple[str, str | int]:
    """Which of ``REFERENCES`` a reference is, and the value to compare with."""
    if reference.isdecimal():
        return "number", int(reference) if len(reference) < 10 else 0
    if reference in ("approved", "latest"):
        return reference, reference
    return ("digest" if reference.startswith("sha256:") else "alias"), reference


def get_version(session: Session, full_name: str, reference: str | int, *, actor: Actor) -> ModelVersion:
    """A version by number, alias, ``approved`` (newest approved), ``latest``, or digest, with all its parts.

    :raises NotFound: nothing of that reference, or the model is not the actor's to see.
    """
    access.require(actor, Permission.READ)
    text = str(reference)
    kind, value = reference_kind(text)
    asked = {"full_name": full_name, "reference": value, "teams": list(actor.teams)}
    version = session.scalars(_REFERENCED[kind], asked).first()
    if version is None:
        model = catalog.get_model(session, full_name, actor=actor)
        if text == "approved":
            raise NotFound(
                f"{full_name} has no approved version yet",
                hint="Name a version number to see one that is not approved.",
            )
        raise NotFound(f"{full_name} has no version {text}", hint=f"Its versions are 1 to {model.versions_made}.")
    return version


def version_by_id(session: Session, version_id: UUID, *, actor: Actor) -> ModelVersion:
    """A version by its id, with its model only.

    :raises NotFound: not there, or its model is not the actor's to see.
    """
    access.require(actor, Permission.READ)
    query = select(ModelVersion).where(ModelVersion.id == version_id).options(joinedload(ModelVersion.model))
    version = session.scalars(query).one_or_none()
    if version is None or not catalog.may_see(version.model, actor=actor):
        raise NotFound("there is no such version")
    return version


def versions_of(session: Session, model: RegisteredModel, cursor: paging.Cursor) -> paging.Page[ModelVersion]:
    """The versions of a model, newest first, with metrics and aliases; card and lock stay where they are."""
    query = select(ModelVersion).where(ModelVersion.model_id == model.id)
    query = query.options(
        *(defer(column, raiseload=True) for column in (ModelVersion.card, ModelVersion.lock, ModelVersion.environment)),
        joinedload(ModelVersion.model),
        selectinload(ModelVersion.metrics),
        selectinload(ModelVersion.aliases),
    )
    return paging.fetch(session, query, (ModelVersion.number,), cursor)


def set_alias(session: Session, version: ModelVersion, name: str, *, actor: Actor, expected: int | None) -> Alias:
    """Point ``name`` at a version.

    :param expected: revision of the model the caller saw: aliases are part of it, and moving one makes a new revision.
    """
    model = version.model
    access.require(actor, Permission.PUSH, team_id=model.team_id)
    names.slug(name, what="alias", pointer="/alias")
    if name in RESERVED_ALIASES or name.isdecimal():
        raise Invalid(
            f"{name} cannot be an alias",
            hint="It already means something in a reference.",
            errors=[("/alias", "reserved")],
        )
    lock(session, model)
    catalog.require_revision(model.revision, expected, what=model.full_name)
    alias = session.get(Alias, (model.id, name))
    before = None if alias is None else alias.version_id.hex
    if alias is None:
        alias = Alias(model_id=model.id, name=name, version_id=version.id, moved_by=actor.ref, moved_at=clock.now())
        session.add(alias)
    else:
        alias.version_id, alias.moved_by, alias.moved_at = version.id, actor.ref, clock.now()
    model.updated_at = clock.now()
    audit.record(
        session,
        audit.Action.ALIAS_MOVED,
        actor=actor,
        subject=model,
        also=[version],
        alias=name,
        before=before,
        number=version.number,
    )
    return alias


def get_alias(session: Session, model: RegisteredModel, name: str) -> Alias:
    """An alias of a model with its version.

    :raises NotFound: no such alias.
    """
    query = select(Alias).where(Alias.model_id == model.id, Alias.name == name).options(joinedload(Alias.version))
    alias = session.scalars(query).one_or_none()
    if alias is None:
        raise NotFound(f"{model.full_name} has no alias {name}")
    return alias


def remove_alias(session: Session, alias: Alias, model: RegisteredModel, *, actor: Actor, expected: int | None) -> None:
    """Take an alias away; refused while a bundle follows it. ``expected`` as in :func:`set_alias`."""
    access.require(actor, Permission.PUSH, team_id=model.team_id)
    lock(session, model)
    catalog.require_revision(model.revision, expected, what=model.full_name)
    follower = session.scalars(
        select(Bundle.full_name)
        .join(RouteMember)
        .where(RouteMember.model_id == model.id, RouteMember.follow == alias.name)
        .limit(1)
    ).first()
    if follower:
        raise Forbidden(f"bundle {follower} follows {alias.name}", hint="Change the bundle's route first.")
    session.delete(alias)
    model.updated_at = clock.now()
    audit.record(session, audit.Action.ALIAS_REMOVED, actor=actor, subject=model, alias=alias.name)
