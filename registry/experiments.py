"""Experiments: a split or a shadow is there to find something out, by a day, and what was found is kept.

An experiment says what weights are for; it moves none of them. When it has ended and its split goes on, its team is told.
"""

import enum
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased, joinedload

from registry import access, audit, clock, names, paging, visibility
from registry.access import Actor, Permission
from registry.errors import AlreadyExists, Invalid, NotFound, WrongStage
from registry.locking import lock
from registry.orm.account import Role
from registry.orm.experiment import Experiment
from registry.orm.image import Bundle, RouteMember

LONGEST = timedelta(days=365)


class State(enum.StrEnum):
    """Where an experiment stands; only the clock and these acts move it."""

    PLANNED = "planned"
    RUNNING = "running"
    ENDED = "ended"
    CONCLUDED = "concluded"


def state(experiment: Experiment) -> State:
    """Where it stands now."""
    now = clock.now()
    if experiment.concluded_at is not None:
        return State.CONCLUDED
    if experiment.ends_at <= now:
        return State.ENDED
    return State.PLANNED if experiment.starts_at > now else State.RUNNING


def start(
    session: Session,
    bundle: Bundle,
    *,
    actor: Actor,
    route: str,
    hypothesis: str,
    metric: str,
    ends_at: datetime,
    starts_at: datetime | None = None,
) -> Experiment:
    """Say what a route is split or shadowed for.

    :param starts_at: now, where nothing is said; not in the past.
    :param ends_at: at most a year after the start.
    :raises Invalid: no such route, nothing to compare on it, or times that do not fit.
    :raises AlreadyExists: another one on this route has not ended yet.
    """
    access.require(actor, Permission.EDIT_BUNDLE, team_id=bundle.team_id)
    lock(session, bundle)
    now = clock.now()
    starts_at = starts_at or now
    members = [member for member in bundle.members if member.route == route]
    if not members:
        known = ", ".join(dict.fromkeys(member.route for member in bundle.members))
        raise Invalid(f"there is no route {route!r}", hint=f"It has {known}.", errors=[("/route", "unknown")])
    if len(members) < 2:
        raise Invalid(
            f"route {route} has one version, so that nothing is compared",
            hint="Split it or give it a shadow first.",
            errors=[("/route", "one version only")],
        )
    if not now - timedelta(minutes=5) <= starts_at < ends_at <= starts_at + LONGEST or ends_at <= now:
        raise Invalid(
            f"from {clock.rfc3339(starts_at)} to {clock.rfc3339(ends_at)}",
            hint="It starts now or later, and ends after that, within a year.",
            errors=[("/ends_at", "out of range")],
        )
    hypothesis = names.text(hypothesis, what="the hypothesis", pointer="/hypothesis", least=3, most=2000)
    metric = names.text(metric, what="the metric", pointer="/metric", least=1, most=200)
    going_on = select(Experiment).where(
        Experiment.bundle_id == bundle.id, Experiment.route == route, Experiment.ends_at > now
    )
    if (other := session.scalars(going_on).first()) is not None:
        raise AlreadyExists(
            f"an experiment on route {route} goes on until {clock.rfc3339(other.ends_at)}", hint="End that one first."
        )
    experiment = Experiment(
        bundle_id=bundle.id,
        route=route,
        hypothesis=hypothesis,
        metric=metric,
        starts_at=starts_at,
        ends_at=ends_at,
        created_by=actor.ref,
        created_at=now,
    )
    session.add(experiment)
    audit.record(
        session, audit.Action.EXPERIMENT_STARTED, actor=actor, subject=experiment, also=[bundle], route=route,
        hypothesis=hypothesis, metric=metric, starts_at=clock.rfc3339(starts_at), ends_at=clock.rfc3339(ends_at),
    )  # fmt: skip
    session.flush()
    return experiment


def get(session: Session, experiment_id: UUID, *, actor: Actor) -> Experiment:
    """An experiment with its bundle.

    :raises NotFound: there is none, or none of its bundle's models is the actor's to see.
    """
    access.require(actor, Permission.READ)
    query = select(Experiment).where(Experiment.id == experiment_id, visibility.bundle(Experiment.bundle_id, actor))
    found = session.scalars(query.options(joinedload(Experiment.bundle))).one_or_none()
    if found is None:
        raise NotFound("there is no such experiment", hint="The bundle's page lists those of its routes.")
    return found


def listing(session: Session, bundle: Bundle, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[Experiment]:
    """The experiments of a bundle, newest first."""
    access.require(actor, Permission.READ)
    query = select(Experiment).where(Experiment.bundle_id == bundle.id).options(joinedload(Experiment.bundle))
    return paging.fetch(session, query, (Experiment.id,), cursor)


def end(session: Session, experiment: Experiment, *, actor: Actor) -> None:
    """End it before its time.

    :raises WrongStage: it has ended.
    """
    access.require(actor, Permission.EDIT_BUNDLE, team_id=experiment.bundle.team_id)
    lock(session, experiment)
    now = clock.now()
    if experiment.ends_at <= now:
        raise WrongStage(
            f"this experiment ended at {clock.rfc3339(experiment.ends_at)}", hint="It can only be concluded."
        )
    if experiment.starts_at >= now:  # one that was only planned
        experiment.starts_at = now - timedelta(seconds=1)
    experiment.ends_at, experiment.ended_by = now, actor.ref
    audit.record(session, audit.Action.EXPERIMENT_ENDED, actor=actor, subject=experiment)


def conclude(session: Session, experiment: Experiment, *, actor: Actor, result: str) -> None:
    """Say what came of it; once.

    :raises WrongStage: it goes on, or was concluded already.
    """
    access.require(actor, Permission.EDIT_BUNDLE, team_id=experiment.bundle.team_id)
    lock(session, experiment)
    if (now_is := state(experiment)) is not State.ENDED:
        hint = "What was concluded stays." if now_is is State.CONCLUDED else "End it first, or wait for its end."
        raise WrongStage(f"this experiment is {now_is}", hint=hint)
    experiment.result = names.text(result, what="the result", pointer="/result", least=3, most=4000)
    experiment.concluded_at, experiment.concluded_by = clock.now(), actor.ref
    audit.record(session, audit.Action.EXPERIMENT_CONCLUDED, actor=actor, subject=experiment, result=experiment.result)


def waiting(session: Session, *, actor: Actor, most: int) -> list[Experiment]:
    """Ended ones that wait for their conclusion, or whose route is still split: the newest of each route only."""
    later = aliased(Experiment)
    newer = exists().where(
        later.bundle_id == Experiment.bundle_id, later.route == Experiment.route, later.id > Experiment.id
    )
    query = (
        select(Experiment)
        .join(Bundle, Bundle.id == Experiment.bundle_id)
        .where(Experiment.ends_at <= clock.now(), ~newer, or_(Experiment.concluded_at.is_(None), _still_split()))
        .options(joinedload(Experiment.bundle))
        .order_by(Experiment.ends_at)
        .limit(most)
    )
    if Role.OPERATOR not in actor.roles:
        query = query.where(Bundle.team_id.in_(actor.teams))
    return list(session.scalars(query))


def _still_split() -> ColumnElement[bool]:
    shares = select(func.count()).where(
        and_(
            RouteMember.bundle_id == Experiment.bundle_id, RouteMember.route == Experiment.route, RouteMember.weight > 0
        )
    )
    return shares.correlate(Experiment).scalar_subquery() > 1
