"""What waits for a person, for how long, and what the next step is: the first screen of every role."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from registry import access, experiments, jobs, platform_changes, recall, revoking, waves
from registry.access import Actor, Permission
from registry.orm.account import Person, RoleGrant
from registry.orm.advisory import Severity
from registry.orm.approval import Decision, ReleaseRequest, RequestState
from registry.orm.catalog import ModelVersion, RegisteredModel, Stage
from registry.orm.image import Build, BuildState, Bundle
from registry.orm.platform import MoveState

Kind = Literal["review", "version", "build", "role", "advisory", "platform", "image", "bundle"]
MOST = 25


@dataclass(frozen=True)
class Waiting:
    """One thing that waits."""

    kind: Kind
    ref: str
    """Identifies the object for a link: request id, ``team/model:3``, build id, username, advisory id, id of a platform change,
    image digest, or bundle."""
    what: str
    next_step: str
    since: datetime


_STANDS = {
    Stage.CHECKING: ("is being checked", "Nothing to do: the checks are running."),
    Stage.CHECK_FAILED: ("failed its checks", "Read what the checks found, mend it, and push again."),
    Stage.READY: ("is ready", "Submit it for review."),
    Stage.IN_REVIEW: ("is in review", "Nothing to do: it waits for its reviewers."),
}
"""How a version stands, and what comes next."""


def for_actor(session: Session, actor: Actor) -> list[Waiting]:
    """Everything that waits for this actor, longest first."""
    found: list[Waiting] = []
    if actor.roles & access.ROLES[Permission.DECIDE]:
        found += _reviews(session, actor) + _platform_changes(session, actor)
    if actor.roles & access.ROLES[Permission.PUSH]:
        found += _versions(session, actor)
    if actor.roles & access.ROLES[Permission.BAKE]:
        found += [*_builds(session, actor), *_left_behind(session, actor), *_vulnerable(session, actor)]
        found += [*_experiments(session, actor), *_revoked_in_front(session, actor)]
    if actor.roles & access.ROLES[Permission.READ] and actor.teams:
        found += _revoked_uses(session, actor)
    if actor.roles & access.ROLES[Permission.ADMINISTER]:
        found += _roles(session, actor)
    if actor.roles & access.ROLES[Permission.WAIVE]:
        found += _advisories(session, actor)
    return sorted(found, key=lambda item: item.since)


def _reviews(session: Session, actor: Actor) -> list[Waiting]:
    signed = select(Decision.request_id).where(Decision.person_id == actor.person_id, Decision.voided_at.is_(None))
    query = (
        select(ReleaseRequest)
        .join(ModelVersion, ModelVersion.id == ReleaseRequest.version_id)
        .where(
            ReleaseRequest.state == RequestState.OPEN,
            ReleaseRequest.id.not_in(signed),
            ReleaseRequest.requested_by != actor.ref,
            ModelVersion.author != actor.ref,
            ModelVersion.uploader != actor.ref,
        )
        .options(joinedload(ReleaseRequest.version).joinedload(ModelVersion.model))
        .order_by(ReleaseRequest.id)
        .limit(MOST)
    )
    return [
        Waiting(
            "review",
            request.id.hex,
            f"Release version {request.version.number} of {request.version.model.full_name}?",
            "Read it and sign, or ask for changes.",
            request.created_at,
        )
        for request in session.scalars(query)
    ]


def _versions(session: Session, actor: Actor) -> Sequence[Waiting]:
    query = (
        select(ModelVersion)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(RegisteredModel.team_id.in_(actor.teams), ModelVersion.stage.in_(_STANDS))
        .options(joinedload(ModelVersion.model))
        .order_by(ModelVersion.id.desc())
        .limit(MOST)
    )
    return [
        Waiting(
            "version",
            f"{version.model.full_name}:{version.number}",
            f"Version {version.number} of {version.model.full_name} {_STANDS[version.stage][0]}",
            _STANDS[version.stage][1],
            version.stage_since,
        )
        for version in session.scalars(query)
    ]


def _builds(session: Session, actor: Actor) -> list[Waiting]:
    query = (
        select(Build)
        .join(Bundle, Bundle.id == Build.bundle_id)
        .where(Build.state.in_((BuildState.PROPOSED, BuildState.FAILED)))
        .options(joinedload(Build.bundle))
        .order_by(Build.id.desc())
        .limit(MOST)
    )
    if not actor.roles & access.ROLES[Permission.OPERATE]:
        query = query.where(Bundle.team_id.in_(actor.teams))
    next_steps = {
        BuildState.PROPOSED: "Accept the build, or leave the last image in place.",
        BuildState.FAILED: "Read the log, then retry.",
    }
    return [
        Waiting(
            "build",
            build.id.hex,
            f"The build of {build.bundle.full_name} {'failed' if build.state is BuildState.FAILED else 'is proposed'}",
            next_steps[build.state],
            build.created_at,
        )
        for build in session.scalars(query)
    ]


def _platform_changes(session: Session, actor: Actor) -> list[Waiting]:
    return [
        Waiting(
            "platform",
            change.id.hex,
            f"A platform change is proposed, for {change.images} images"
            if change.images != 1
            else "A platform change is proposed, for 1 image",
            "Read what changes, then sign or refuse.",
            change.created_at,
        )
        for change in platform_changes.to_sign(session, actor=actor, most=MOST)
    ]


def _left_behind(session: Session, actor: Actor) -> list[Waiting]:
    said = {
        MoveState.NOT_EQUAL: "answers otherwise on the new platform",
        MoveState.FAILED: "could not be moved to the new platform",
    }
    return [
        Waiting(
            "platform",
            move.change_id.hex,
            f"The image of {move.image.bundle.full_name} {said[move.state]}",
            "The old one stays in front. Read why; try again, or bring a version that fits.",
            move.ended_at,
        )
        for move in waves.left_behind(session, actor=actor, most=MOST)
        if move.ended_at is not None
    ]


def _roles(session: Session, actor: Actor) -> Sequence[Waiting]:
    pending = select(RoleGrant, Person.username).join(Person, Person.id == RoleGrant.person_id)
    pending = pending.where(
        RoleGrant.confirmed_by.is_(None),
        ~RoleGrant.bootstrap,
        RoleGrant.proposed_by != actor.ref,
        RoleGrant.person_id != actor.person_id,
    )
    return [
        Waiting(
            "role",
            username,
            f"{username} is to become {grant.role}",
            "Confirm it as the second administrator, or refuse.",
            grant.created_at,
        )
        for grant, username in session.execute(pending.order_by(RoleGrant.id).limit(MOST))
    ]


def _advisories(session: Session, actor: Actor) -> Sequence[Waiting]:
    return [
        Waiting(
            "advisory",
            item.advisory.id,
            f"{item.advisory.id} ({item.severity.word}) is about {', '.join(item.wheels[:3])} in an image in front",
            "Have its owner rebuild without that library, or waive it with a reason and an end.",
            item.found_at,
        )
        for item in recall.waiting(session, actor=actor, most=MOST)
        if item.found_at is not None
    ]


def _vulnerable(session: Session, actor: Actor) -> list[Waiting]:
    return [
        Waiting(
            "image",
            item.image_digest,
            f"The image of {item.bundle} is vulnerable: {item.worst.id} ({Severity(item.worst.severity).word})"
            + (f" and {item.count - 1} more" if item.count > 1 else ""),
            "Have a version approved without that library, or ask compliance for a waiver.",
            item.found_at,
        )
        for item in recall.in_front_of(session, actor, most=MOST)
    ]


def _experiments(session: Session, actor: Actor) -> Sequence[Waiting]:
    return [
        Waiting(
            "bundle",
            item.bundle.full_name,
            f"The experiment on route {item.route} of {item.bundle.full_name} has ended",
            "Take its split out of the routes, and bake." if item.concluded_at else "Say what came of it.",
            item.ends_at,
        )
        for item in experiments.waiting(session, actor=actor, most=MOST)
    ]


def _revoked_in_front(session: Session, actor: Actor) -> Sequence[Waiting]:
    return [
        Waiting(
            "bundle",
            bundle.full_name,
            f"The current image of {bundle.full_name} holds {version.model.full_name}:{version.number}, which was revoked",
            "Roll back, or take it out of the routes and bake; then run that image.",
            version.stage_since,
        )
        for bundle, version in revoking.in_front(session, actor=actor, most=MOST)
    ]


def _revoked_uses(session: Session, actor: Actor) -> Sequence[Waiting]:
    return [
        Waiting(
            "version",
            f"{version.model.full_name}:{version.number}",
            f"Version {version.number} of {version.model.full_name}, which your team uses, was revoked",
            "Stop using it; its page says why, and the model's page what is approved.",
            version.stage_since,
        )
        for version in revoking.used(session, actor=actor, most=MOST)
    ]


def isolation(session: Session) -> str | None:
    """The weakest isolation of the workers that are up, or ``None`` when none is."""
    kinds = {worker.isolation for worker in jobs.alive_workers(session)}
    return "process" if "process" in kinds else "container" if kinds else None
