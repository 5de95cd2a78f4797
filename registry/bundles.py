"""Bundles: which versions are baked together, in which shares, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session, joinedload, load_only, selectinload

from formats import canonical
from registry import access, accounts, audit, catalog, clock, compare, jobs, names, paging, visibility
from registry.access import SYSTEM, Actor, Permission
from registry.errors import AlreadyExists, Blocked, NotFound, WrongStage
from registry.locking import lock
from registry.orm.catalog import RELEASED, Alias, ModelVersion, RegisteredModel
from registry.orm.image import Build, BuildState, Bundle, Image, MemberRole, Rebuild, RouteMember
from registry.orm.job import JobKind
from registry.routes import RouteSpec, describe, plain, rows


def create(
    session: Session, *, actor: Actor, full_name: str, routes: Sequence[RouteSpec], rebuild: Rebuild = Rebuild.AUTO
) -> Bundle:
    """Make a bundle of one of the actor's teams."""
    team_slug, name = names.split_model(full_name)
    team = accounts.get_team(session, team_slug)
    access.require(actor, Permission.EDIT_BUNDLE, team_id=team.id)
    if session.scalars(select(Bundle.id).where(Bundle.full_name == full_name)).first():
        raise AlreadyExists(
            f"there is a bundle {full_name} already", hint="Change its routes instead.", errors=[("/name", "taken")]
        )
    bundle = Bundle(team_id=team.id, name=name, full_name=full_name, rebuild=rebuild, created_by=actor.ref)
    session.add(bundle)
    session.flush()
    session.add_all(rows(session, bundle, routes, actor=actor))
    audit.record(
        session, audit.Action.BUNDLE_CREATED, actor=actor, subject=bundle, name=full_name, routes=plain(routes)
    )
    session.flush()
    session.expire(bundle, ["members"])
    return bundle


def get(session: Session, full_name: str, *, actor: Actor) -> Bundle:
    """A bundle with members, their models and versions, and its current image.

    :raises NotFound: no such bundle.
    """
    access.require(actor, Permission.READ)
    # Read anew, also after a change in this unit; only here, because it forgets what others loaded of the same models.
    query = _query().where(Bundle.full_name == full_name, visibility.bundle(Bundle.id, actor))
    bundle = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if bundle is None:
        raise NotFound(f"there is no bundle {full_name}", hint="Names are team/bundle.")
    return bundle


IMAGE_BRIEF = load_only(
    *(
        Image.bundle_id,
        Image.digest,
        Image.engine_id,
        Image.isolation,
        Image.base,
        Image.target,
        Image.platform,
        Image.size,
    ),
    *(Image.key_fingerprint, Image.reference, Image.freed_at, Image.created_at),
    raiseload=True,
)
"""Of an image that is only mentioned; its manifest, bill of materials and provenance are large."""


def _query() -> Select[Bundle]:
    return select(Bundle).options(
        joinedload(Bundle.team),
        joinedload(Bundle.current_image).options(IMAGE_BRIEF),
        selectinload(Bundle.members).options(joinedload(RouteMember.model), joinedload(RouteMember.version)),
    )


def listing(session: Session, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[Bundle]:
    """Bundles that the actor may see, by name."""
    access.require(actor, Permission.READ)
    query = _query().where(visibility.bundle(Bundle.id, actor))
    return paging.fetch(session, query, (Bundle.full_name, Bundle.id), cursor, descending=False)


def holding(session: Session, model: RegisteredModel) -> list[Bundle]:
    """Bundles with a route to this model."""
    member = select(RouteMember.bundle_id).where(RouteMember.model_id == model.id)
    return list(session.scalars(_query().where(Bundle.id.in_(member)).order_by(Bundle.full_name).limit(100)).unique())


def change(
    session: Session,
    bundle: Bundle,
    *,
    actor: Actor,
    routes: Sequence[RouteSpec],
    rebuild: Rebuild,
    expected: int | None,
) -> None:
    """Replace the routes. Nothing is baked by this alone: the owner presses bake, or an approval does."""
    access.require(actor, Permission.EDIT_BUNDLE, team_id=bundle.team_id)
    lock(session, bundle)
    catalog.require_revision(bundle.revision, expected, what=f"bundle {bundle.full_name}")
    before = [describe(member) for member in bundle.members]
    fresh = rows(session, bundle, routes, actor=actor)
    for member in bundle.members:
        session.delete(member)
    session.flush()
    session.add_all(fresh)
    bundle.rebuild = rebuild
    bundle.changed_at = clock.now()  # the row itself must change, so that its revision does
    audit.record(session, audit.Action.BUNDLE_CHANGED, actor=actor, subject=bundle, before=before, routes=plain(routes))
    session.flush()
    session.expire(bundle, ["members"])


# ------------------------------------------------------------------------------------------------------- building


@dataclass(frozen=True)
class Resolution:
    """What a bundle would be baked of now, or why it cannot be."""

    recipe: dict[str, Any] | None
    waiting: list[str]
    """One sentence for each member that is not approved."""


def resolve(session: Session, bundle: Bundle) -> Resolution:
    """Turn members into approved versions.

    The recipe is canonical JSON: ``{"bundle", "routes": [{"name", "members": [{"ref", "version", "release_digest",
    "weight", "bounds"}]}]}`` in the order of positions; a shadow has ``"role": "shadow"``, too. A shadow that would be a
    version which is on its route already (the one followed was promoted) has nothing to be compared with, and is left out.
    """
    routes: dict[str, list[dict[str, Any]]] = {}
    found: list[tuple[RouteMember, ModelVersion]] = []
    waiting: list[str] = []
    for member in bundle.members:
        version = _version_of(session, member)
        if version is None:
            waiting.append(f"Route {member.route} waits for an approved version of {member.model.full_name}.")
            continue
        ref = f"{member.model.full_name}:{version.number}"
        if version.approved_until is not None and version.approved_until < clock.now():
            waiting.append(f"Route {member.route} waits for {ref}, whose approval has ended.")
            continue
        if version.stage not in RELEASED:
            waiting.append(f"Route {member.route} waits for {ref}, which is {version.stage.replace('_', ' ')}.")
            continue
        found.append((member, version))
    if waiting:
        return Resolution(None, waiting)
    found.sort(key=lambda pair: pair[0].role is MemberRole.SHADOW)  # whoever answers comes first; the sort is stable
    for member, version in found:
        on_route = routes.setdefault(member.route, [])
        shadow = member.role is MemberRole.SHADOW
        if shadow and any(item["version"] == version.id.hex for item in on_route):
            continue
        on_route.append(
            {
                "ref": f"{member.model.full_name}:{version.number}",
                "version": version.id.hex,
                "release_digest": version.release_digest,
                "weight": member.weight,
                "bounds": [member.min_weight, member.max_weight],
                **({"role": member.role.value} if shadow else {}),
            }
        )
    listed = [{"name": name, "members": members} for name, members in routes.items()]
    return Resolution({"bundle": bundle.full_name, "routes": listed}, [])


def _version_of(session: Session, member: RouteMember) -> ModelVersion | None:
    if member.version is not None:
        return member.version
    query = select(ModelVersion).where(ModelVersion.model_id == member.model_id)
    if member.follow == "approved":
        query = query.where(ModelVersion.stage.in_(RELEASED)).order_by(ModelVersion.number.desc()).limit(1)
    else:
        query = query.join(Alias, Alias.version_id == ModelVersion.id).where(Alias.name == member.follow)
    return session.scalars(query).first()


def bake(session: Session, bundle: Bundle, *, actor: Actor) -> Build:
    """Ask for a build now.

    :raises Blocked: a member is not approved; every one is named.
    """
    access.require(actor, Permission.BAKE, team_id=bundle.team_id)
    seen = bundle.revision
    lock(session, bundle)
    catalog.require_revision(bundle.revision, seen, what=f"bundle {bundle.full_name}")
    resolution = resolve(session, bundle)
    if resolution.recipe is None:
        raise Blocked(" ".join(resolution.waiting), hint="Approve these versions, or change the routes.")
    return _request(
        session, bundle, resolution.recipe, actor=actor, reason=f"asked for by {actor.name}", state=BuildState.QUEUED
    )


def accept(session: Session, build: Build, *, actor: Actor) -> Build:
    """The owner says yes to a proposed build."""
    access.require(actor, Permission.BAKE, team_id=build.bundle.team_id)
    lock(session, build)
    if build.state is not BuildState.PROPOSED:
        raise WrongStage(f"this build is {build.state}", hint="Only a proposed build can be accepted.")
    _accept(session, build, actor=actor, reason="proposal accepted")
    return build


def _accept(session: Session, build: Build, *, actor: Actor, reason: str) -> None:
    build.state = BuildState.QUEUED
    _queue(session, build)
    audit.record(session, audit.Action.BUILD_REQUESTED, actor=actor, subject=build, reason=reason)


def after_approval(session: Session, version: ModelVersion) -> list[Build]:
    """Bake (or propose to bake) every bundle that follows the version's model or pins it.

    A bundle with another member that is not approved does not bake: its last image stays. Nor does one whose callers
    would have to change: that is proposed to its owner, whatever the bundle is set to.
    """
    approved = f"version {version.number} of {version.model.full_name} was approved"
    aliases = select(Alias.name).where(Alias.version_id == version.id)
    follows = (RouteMember.model_id == version.model_id) & or_(
        RouteMember.follow == "approved", RouteMember.follow.in_(aliases), RouteMember.version_id == version.id
    )
    following = Bundle.id.in_(select(RouteMember.bundle_id).where(follows))
    # Locked before they are read: of two approvals at once, the second sees what the first approved. Its build is the
    # newer one, and would else undo that.
    session.execute(select(Bundle.id).where(following).order_by(Bundle.id).with_for_update(key_share=True)).all()
    builds = []
    for bundle in session.scalars(_query().where(following).order_by(Bundle.id)).unique():
        resolution = resolve(session, bundle)
        if resolution.recipe is None:
            continue
        breaks = _breaks(session, bundle, resolution.recipe)
        reason = f"{approved}; {breaks}" if breaks else approved
        state = BuildState.QUEUED if bundle.rebuild is Rebuild.AUTO and not breaks else BuildState.PROPOSED
        builds.append(_request(session, bundle, resolution.recipe, actor=SYSTEM, reason=reason, state=state))
    return builds


def _breaks(session: Session, bundle: Bundle, recipe: dict[str, Any]) -> str | None:
    """The first reason why callers of a route would have to change with this recipe; ``None`` when they would not.

    A version that comes onto a route is compared with those of its model that the current image has there. Shadows answer
    no caller.
    """
    query = select(Build.recipe).where(Build.bundle_id == bundle.id, Build.image_id == bundle.current_image_id)
    current = session.scalars(query.order_by(Build.id.desc()).limit(1)).first()
    if current is None:
        return None
    served = {
        route["name"]: [UUID(member["version"]) for member in route["members"] if "role" not in member]
        for route in current["routes"]
    }
    for route in recipe["routes"]:
        there = served.get(route["name"], [])
        for member in route["members"]:
            if "role" in member or UUID(member["version"]) in there:
                continue
            version = session.get_one(ModelVersion, UUID(member["version"]))
            before = select(ModelVersion).where(ModelVersion.id.in_(there), ModelVersion.model_id == version.model_id)
            for other in session.scalars(before.order_by(ModelVersion.number)):
                found = compare.compatibility(other, version)
                if found is not None and not found.keeps_callers:
                    return f"callers of route {route['name']} would have to change. {found.reasons[0]}"
    return None


def _request(
    session: Session, bundle: Bundle, recipe: dict[str, Any], *, actor: Actor, reason: str, state: BuildState
) -> Build:
    """Store a build and queue it; an unfinished build of the same recipe serves instead."""
    lock(session, bundle)  # of two who ask at once, the second finds the first one's build
    digest = canonical.digest(recipe)
    unfinished = (BuildState.PROPOSED, BuildState.QUEUED, BuildState.RUNNING)
    pending = session.scalars(
        select(Build).where(Build.bundle_id == bundle.id, Build.recipe_digest == digest, Build.state.in_(unfinished))
    ).first()
    if pending is not None and pending.state is BuildState.PROPOSED and state is BuildState.QUEUED:
        _accept(session, pending, actor=actor, reason=reason)
    if pending is not None:
        return pending
    build = Build(
        bundle_id=bundle.id,
        state=state,
        recipe=recipe,
        recipe_digest=digest,
        requested_by=actor.ref,
        reason=reason[:200],
        created_at=clock.now(),
    )
    session.add(build)
    session.flush()
    if state is BuildState.QUEUED:
        _queue(session, build)
    audit.record(
        session, audit.Action.BUILD_REQUESTED, actor=actor, subject=build, also=[bundle], digest=digest, reason=reason
    )
    return build


def _queue(session: Session, build: Build) -> None:
    build.job_id = jobs.enqueue(session, JobKind.BAKE, key=build.id.hex, subject_id=build.id).id
    session.flush()
