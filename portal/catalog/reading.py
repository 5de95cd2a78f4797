"""What the catalogue's pages show beside the rows themselves, each question in one statement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload, load_only

from registry import catalog, lineage, proofs
from registry.access import Actor
from registry.catalog import ListedModel
from registry.orm.account import Team
from registry.orm.approval import ReleaseRequest
from registry.orm.audit import AuditEntry, AuditPayload
from registry.orm.catalog import Alias, ModelVersion, RegisteredModel, Stage
from registry.orm.image import Build, BuildState, Bundle, Image
from registry.orm.lineage import LineageEdge

ON_THE_WAY = (Stage.IN_REVIEW, Stage.READY, Stage.CHECKING, Stage.CHECK_FAILED)
"""Stages that are counted by looking: few versions are in them at a time."""
BUILDS_LOOKED_AT = 20


def newest_approved(session: Session, models: Sequence[RegisteredModel | ListedModel]) -> dict[UUID, ModelVersion]:
    """Model id to its newest approved version: number, stage and expiry only."""
    ids = [model.id for model in models if model.latest_approved is not None]
    if not ids:
        return {}
    query = (
        select(ModelVersion)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(RegisteredModel.id.in_(ids), ModelVersion.number == RegisteredModel.latest_approved)
        .options(
            load_only(
                *(ModelVersion.model_id, ModelVersion.number, ModelVersion.stage, ModelVersion.stage_since),
                ModelVersion.approved_until,
                raiseload=True,
            )
        )
    )
    return {version.model_id: version for version in session.scalars(query)}


def stage_counts(session: Session, *, actor: Actor) -> dict[str, int]:
    """How many models the actor may see have an approved version, or one on its way, by stage."""
    approved = select(func.count(RegisteredModel.id)).where(RegisteredModel.latest_approved.is_not(None))
    moving: Any = (
        select(ModelVersion.stage, func.count(ModelVersion.model_id.distinct()))
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(ModelVersion.stage.in_(ON_THE_WAY))
        .group_by(ModelVersion.stage)
    )
    found = {stage.value: count for stage, count in session.execute(catalog.visible_to(moving, actor))}
    counts = {"approved": session.scalar(catalog.visible_to(approved, actor)) or 0}
    return counts | {stage.value: found[stage.value] for stage in ON_THE_WAY if stage.value in found}


def mine_count(session: Session, *, actor: Actor) -> int:
    """How many models belong to the actor's teams."""
    if not actor.teams:
        return 0
    return session.scalar(select(func.count()).where(RegisteredModel.team_id.in_(actor.teams))) or 0


def aliases_of(session: Session, model: RegisteredModel) -> list[Alias]:
    """The aliases of a model with their versions, by name."""
    query = select(Alias).where(Alias.model_id == model.id).order_by(Alias.name).limit(100)
    version = joinedload(Alias.version).load_only(ModelVersion.number, ModelVersion.stage, raiseload=True)
    return list(session.scalars(query.options(version)))


def names_of(session: Session, actor: Actor) -> list[str]:
    """Names of the models of the actor's teams, for completing what is typed; at most 200."""
    query = select(RegisteredModel.name).where(RegisteredModel.team_id.in_(actor.teams))
    return list(session.scalars(query.order_by(RegisteredModel.name).distinct().limit(200)))


def teams_of(session: Session, actor: Actor) -> list[Team]:
    """The actor's teams, by name."""
    return list(session.scalars(select(Team).where(Team.id.in_(actor.teams)).order_by(Team.slug)))


@dataclass(frozen=True)
class Serving:
    """A bundle whose current image holds a version on a route."""

    bundle: Bundle
    image: Image
    route: str
    version_name: str
    """The version in the inference protocol: its number, or name and number on a route of several models."""
    weight: int
    shadow: bool
    """Nobody gets its answers: it is asked a copy of so many of the route's requests."""


def serving(session: Session, version: ModelVersion, holders: Sequence[Bundle]) -> list[Serving]:
    """Where a version runs: one row per route of those ``holders`` whose current image has it."""
    recipes = _recipes(session, [bundle.current_image.id for bundle in holders if bundle.current_image])
    model = version.model
    found = []
    for bundle in holders:
        image = bundle.current_image
        for route in recipes.get(image.id, {}).get("routes", ()) if image else ():
            members = route["members"]
            mine = next((member for member in members if member["version"] == version.id.hex), None)
            if mine is not None and image is not None:
                answering = {member["ref"].rpartition(":")[0] for member in members if "role" not in member}
                name = str(version.number) if answering == {model.full_name} else f"{model.name}-{version.number}"
                found.append(Serving(bundle, image, route["name"], name, mine["weight"], "role" in mine))
    return sorted(found, key=lambda item: item.shadow)


def _recipes(session: Session, image_ids: Sequence[UUID]) -> dict[UUID, Mapping[str, Any]]:
    if not image_ids:
        return {}
    query = select(Build.image_id, Build.recipe).where(Build.image_id.in_(image_ids)).order_by(Build.id)
    return {image_id: recipe for image_id, recipe in session.execute(query) if image_id is not None}


def builds_of(session: Session, version: ModelVersion, holders: Sequence[Bundle]) -> list[Build]:
    """Builds that bake this version, newest first, among the latest of the bundles that hold its model."""
    ids = [bundle.id for bundle in holders]
    query = select(Build).where(Build.bundle_id.in_(ids)).order_by(Build.id.desc()).limit(BUILDS_LOOKED_AT)
    return [build for build in session.scalars(query) if _holds(build, version)] if ids else []


def _holds(build: Build, version: ModelVersion) -> bool:
    return any(m["version"] == version.id.hex for route in build.recipe["routes"] for m in route["members"])


def log_of_version(session: Session, version: ModelVersion) -> list[tuple[AuditEntry, AuditPayload | None]]:
    """What happened to a version and its requests, newest first."""
    requests = session.scalars(select(ReleaseRequest.id).where(ReleaseRequest.version_id == version.id).limit(50))
    return proofs.timeline(session, [version.audit_ref(), *(f"request:{ident.hex}" for ident in requests)])


def log_of_model(
    session: Session, model: RegisteredModel
) -> tuple[list[tuple[AuditEntry, AuditPayload | None]], dict[str, str]]:
    """What happened to a model, its last 200 versions and their requests; and what to call each of them."""
    query = select(ModelVersion.id, ModelVersion.number).where(ModelVersion.model_id == model.id)
    newest = query.order_by(ModelVersion.number.desc()).limit(200)
    numbers = dict(session.execute(newest).all())
    labels = {f"version:{ident.hex}": f"Version {number}" for ident, number in numbers.items()}
    asked = select(ReleaseRequest.id, ReleaseRequest.version_id).where(ReleaseRequest.version_id.in_(numbers))
    labels |= {f"request:{ident.hex}": f"Version {numbers[version]}" for ident, version in session.execute(asked)}
    return proofs.timeline(session, [model.audit_ref(), *labels], most=100), labels


def in_order(edges: Iterable[LineageEdge]) -> list[LineageEdge]:
    """As people read them: what it was trained on first, then by name."""
    return sorted(edges, key=lambda edge: (lineage.RELATIONS.index(edge.relation), edge.ref))


@dataclass(frozen=True)
class Step:
    """One place on a version's road: what it is called, and how it stands there."""

    name: str
    state: str
    """``done``, ``now``, ``stop`` or ``todo``."""
    word: str


PASSED = frozenset({Stage.APPROVED, Stage.APPROVED_WITH_CONDITIONS, Stage.SUPERSEDED, Stage.RETIRED})
ENDED = {Stage.SUSPENDED: "suspended", Stage.REVOKED: "revoked", Stage.EXPIRED: "expired"}


def road(version: ModelVersion, builds: Sequence[Build], served: Sequence[Serving]) -> list[Step]:
    """The strip on a version's page."""
    stage = version.stage
    checked = {Stage.CHECKING: ("now", "running"), Stage.CHECK_FAILED: ("stop", "failed")}.get(
        stage, ("done", "passed")
    )
    after_review = stage in PASSED or stage in ENDED
    review = {Stage.IN_REVIEW: ("now", "waits"), Stage.REJECTED: ("done", "ended")}.get(
        stage, ("done", "done") if after_review else ("todo", "to do")
    )
    approved = ("todo", "to do")
    if stage is Stage.REJECTED:
        approved = ("stop", "rejected")
    elif stage in ENDED:
        approved = ("stop", ENDED[stage])
    elif stage in PASSED:
        approved = ("done", "superseded" if stage is Stage.SUPERSEDED else "done")
    return [
        Step("Uploaded", "done", "done"),
        Step("Checked", *checked),
        Step("In review", *review),
        Step("Approved", *approved),
        Step("Built", *_built(builds)),
        Step("Released", *(("done", "in use") if served else _not_served(builds))),
    ]


def _built(builds: Sequence[Build]) -> tuple[str, str]:
    states = {build.state for build in builds}
    if BuildState.DONE in states:
        return "done", "done"
    if BuildState.QUEUED in states or BuildState.RUNNING in states:
        return "now", "running"
    if BuildState.PROPOSED in states:
        return "now", "proposed"
    return ("stop", "failed") if builds else ("todo", "to do")


def _not_served(builds: Sequence[Build]) -> tuple[str, str]:
    """An image was made, but another one is current."""
    return ("todo", "replaced") if any(build.state is BuildState.DONE for build in builds) else ("todo", "to do")
