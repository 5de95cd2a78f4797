"""The wave of a platform change: each image of its list is baked on the new platform and asked its approved rows again.

Equal answers put the new image in front, under the decisions that stand. Anything else leaves the old one there and goes to
the bundle's owner. A few images are in the queue at a time, so that a wave of hundreds holds up no approval's bake, and a
pause stops it within those few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, aliased, joinedload

from formats import platforms as documents
from registry import access, audit, builds, bundles, clock, jobs, paging, platforms, visibility
from registry.access import SYSTEM, Actor, Permission
from registry.errors import NotFound, WrongStage
from registry.locking import lock
from registry.orm.image import Build, BuildState, Bundle, Image
from registry.orm.job import JobKind
from registry.orm.platform import ChangeState, MoveState, PlatformChange, PlatformMove

WINDOW = 4
"""Images of one wave that are in the queue or being baked."""
LEFT_BEHIND = (MoveState.NOT_EQUAL, MoveState.FAILED)


@dataclass(frozen=True)
class Work:
    """What a worker needs to bake one image of the list."""

    bundle: str
    recipe: dict[str, Any]
    platform: documents.Platform


# ------------------------------------------------------------------------------------------------- what people do


def begin(session: Session, change: PlatformChange) -> None:
    """Start the wave of a change that was approved in this transaction."""
    change.state = ChangeState.RUNNING
    _advance(session, change)


def pause(session: Session, change: PlatformChange, *, actor: Actor) -> None:
    """Queue nothing more, and take back what no worker has begun; what is being baked ends."""
    access.require(actor, Permission.CHANGE_PLATFORM)
    lock(session, change)
    if change.state is not ChangeState.RUNNING:
        raise WrongStage(f"this wave is {change.state}", hint="Only a running wave can be paused.")
    change.state = ChangeState.PAUSED
    queued = select(PlatformMove).where(PlatformMove.change_id == change.id, PlatformMove.state == MoveState.QUEUED)
    for move in session.scalars(queued):
        if jobs.take_back(session, JobKind.MOVE, key=move.id.hex):
            move.state = MoveState.WAITING
    audit.record(session, audit.Action.WAVE_PAUSED, actor=actor, subject=change, digest=change.digest)


def resume(session: Session, change: PlatformChange, *, actor: Actor) -> None:
    """Go on."""
    access.require(actor, Permission.CHANGE_PLATFORM)
    lock(session, change)
    if change.state is not ChangeState.PAUSED:
        raise WrongStage(f"this wave is {change.state}", hint="Only a paused wave can be resumed.")
    change.state = ChangeState.RUNNING
    audit.record(session, audit.Action.WAVE_RESUMED, actor=actor, subject=change, digest=change.digest)
    _advance(session, change)


def retry(session: Session, move: PlatformMove, *, actor: Actor) -> None:
    """The owner of the bundle has one image tried again that was left behind.

    :raises WrongStage: it was not left behind, its bundle has another image in front, or another platform is in force.
    """
    access.require(actor, Permission.BAKE, team_id=move.image.bundle.team_id)
    change = move.change
    lock(session, change)
    lock(session, move)
    if move.state not in LEFT_BEHIND:
        raise WrongStage(
            f"this image is {_words(move.state)}", hint="Only an image that was left behind is tried again."
        )
    if session.get_one(Bundle, move.image.bundle_id).current_image_id != move.image_id:
        raise WrongStage(f"{move.image.bundle.full_name} has another image in front", hint="There is nothing to do.")
    current = platforms.in_force(session, change.line)
    if current is None or current.id != change.platform_id:
        raise WrongStage("another platform is in force by now", hint="Its own change moves this image.")
    move.state, move.report, move.error, move.ended_at = MoveState.WAITING, None, None, None
    audit.record(
        session,
        audit.Action.WAVE_IMAGE_RETRIED,
        actor=actor,
        subject=change,
        also=[move.image],
        digest=move.image.digest,
    )
    if change.state is ChangeState.DONE:
        _queue(session, move)
    else:
        _advance(session, change)


# ------------------------------------------------------------------------------------------------- what workers do


def start(session: Session, move_id: UUID) -> Work | None:
    """What to bake, or ``None`` when the bundle has another image in front by now; the move has then ended."""
    move = load(session, move_id)
    if move.image.bundle.current_image_id != move.image_id:
        lock(session, move.change)
        _end(session, move, MoveState.OVERTAKEN)
        return None
    query = select(Build.recipe).where(Build.bundle_id == move.image.bundle_id, Build.image_id == move.image_id)
    recipe = session.scalars(query.order_by(Build.id.desc()).limit(1)).one()
    return Work(move.image.bundle.full_name, recipe, documents.Platform.from_dict(move.change.platform.body))


def equal(session: Session, move_id: UUID, baked: builds.Baked) -> Image | None:
    """The new image answered as approved: it comes in front, unless another one did meanwhile."""
    move = load(session, move_id)
    bundle = session.get_one(Bundle, move.image.bundle_id)
    lock(session, move.change)
    lock(session, bundle)
    if bundle.current_image_id != move.image_id:
        _end(session, move, MoveState.OVERTAKEN)
        return None
    before = select(Build).where(Build.bundle_id == bundle.id, Build.image_id == move.image_id)
    like = session.scalars(before.order_by(Build.id.desc()).limit(1)).one()
    build = Build(
        bundle_id=bundle.id,
        state=BuildState.RUNNING,
        recipe=like.recipe,
        recipe_digest=like.recipe_digest,
        job_id=jobs.of(session, JobKind.MOVE, key=move.id.hex).id,
        requested_by=SYSTEM.ref,
        reason="the platform changed, the answers are equal",
        created_at=clock.now(),
    )
    session.add(build)
    session.flush()
    image = builds.release(session, build, baked)
    move.new_image_id, move.report = image.id, baked.smoke
    _end(session, move, MoveState.EQUAL, new=image.digest)
    return image


def not_equal(session: Session, move_id: UUID, report: dict[str, Any]) -> None:
    """The new image answers otherwise: the old one stays, and the bundle's owner is told."""
    move = load(session, move_id)
    lock(session, move.change)
    move.report = report
    _end(session, move, MoveState.NOT_EQUAL, summary=report["summary"])


def fail(session: Session, move_id: UUID, error: dict[str, str]) -> None:
    """There is no new image: the old one stays, and the bundle's owner is told."""
    move = load(session, move_id)
    lock(session, move.change)
    move.error = error
    _end(session, move, MoveState.FAILED, error=error)


def _end(session: Session, move: PlatformMove, state: MoveState, **body: Any) -> None:
    move.state, move.ended_at = state, clock.now()
    audit.record(
        session, audit.Action.WAVE_IMAGE_ENDED, actor=SYSTEM, subject=move.change, also=[move.image],
        digest=move.image.digest, outcome=state.value, **body,
    )  # fmt: skip
    _advance(session, move.change)


def _advance(session: Session, change: PlatformChange) -> None:
    """Queue the next images of a running wave, in the transaction that ended one; the last one ends the wave.

    The change's row is locked by the caller, and an event that names it is recorded.
    """
    session.flush()
    if change.state is not ChangeState.RUNNING:
        return
    of_change = PlatformMove.change_id == change.id
    queued = session.scalars(
        select(func.count()).select_from(PlatformMove).where(of_change, PlatformMove.state == MoveState.QUEUED)
    ).one()
    waiting = select(PlatformMove).where(of_change, PlatformMove.state == MoveState.WAITING).order_by(PlatformMove.id)
    found = session.scalars(waiting.limit(max(0, WINDOW - queued))).all()
    for move in found:
        _queue(session, move)
    if not found and not queued:
        change.state, change.closed_at = ChangeState.DONE, clock.now()
        audit.record(
            session, audit.Action.WAVE_ENDED, actor=SYSTEM, subject=change, digest=change.digest,
            outcomes={state.value: count for state, count in progress(session, [change])[change.id].items()},
        )  # fmt: skip


def _queue(session: Session, move: PlatformMove) -> None:
    move.state = MoveState.QUEUED
    jobs.enqueue(session, JobKind.MOVE, key=move.id.hex, subject_id=move.id)


# ------------------------------------------------------------------------------------------------------- reading


def load(session: Session, move_id: UUID) -> PlatformMove:
    """A move with its change, platform, image and bundle, for a worker."""
    query = select(PlatformMove).where(PlatformMove.id == move_id).options(*_PARTS)
    return session.scalars(query.execution_options(populate_existing=True)).one()


_PARTS = (
    joinedload(PlatformMove.change).joinedload(PlatformChange.platform),
    joinedload(PlatformMove.image).options(bundles.IMAGE_BRIEF, joinedload(Image.bundle).joinedload(Bundle.team)),
    joinedload(PlatformMove.new_image).options(bundles.IMAGE_BRIEF),
)


def get(session: Session, change: PlatformChange, image_digest: str, *, actor: Actor) -> PlatformMove:
    """One image of a change's list.

    :raises NotFound: it is not on the list, or none of its models is the actor's to see.
    """
    access.require(actor, Permission.READ)
    query = _visible(change, actor).where(Image.digest == image_digest)
    move = session.scalars(query).one_or_none()
    if move is None:
        raise NotFound(f"image {image_digest} is not on the list of this change")
    return move


def listing(
    session: Session,
    change: PlatformChange,
    cursor: paging.Cursor,
    *,
    actor: Actor,
    state: MoveState | None = None,
) -> paging.Page[PlatformMove]:
    """The list in its order; of bundles that the actor may see."""
    access.require(actor, Permission.READ)
    query = _visible(change, actor)
    if state is not None:
        query = query.where(PlatformMove.state == state)
    return paging.fetch(session, query, (PlatformMove.id,), cursor, descending=False)


def _visible(change: PlatformChange, actor: Actor) -> Select[PlatformMove]:
    query = select(PlatformMove).join(Image, Image.id == PlatformMove.image_id)
    return query.where(PlatformMove.change_id == change.id, visibility.image(actor)).options(*_PARTS)


def progress(session: Session, changes: Sequence[PlatformChange]) -> Mapping[UUID, dict[MoveState, int]]:
    """How many images of each change stand where, in one query."""
    found: dict[UUID, dict[MoveState, int]] = {change.id: {} for change in changes}
    query = select(PlatformMove.change_id, PlatformMove.state, func.count()).where(PlatformMove.change_id.in_(found))
    for change_id, state, count in session.execute(query.group_by(PlatformMove.change_id, PlatformMove.state)):
        found[change_id][state] = count
    return found


def left_behind(session: Session, *, actor: Actor, most: int) -> Sequence[PlatformMove]:
    """Images in front that a wave left behind and that this actor may bake; of each the newest try."""
    later = aliased(PlatformMove)
    newer = select(later.id).where(later.image_id == PlatformMove.image_id, later.id > PlatformMove.id)
    query = (
        select(PlatformMove)
        .join(Bundle, Bundle.current_image_id == PlatformMove.image_id)
        .where(PlatformMove.state.in_(LEFT_BEHIND), ~newer.exists())
        .options(*_PARTS)
        .order_by(PlatformMove.id)
        .limit(most)
    )
    if not actor.roles & access.ROLES[Permission.OPERATE]:
        query = query.where(Bundle.team_id.in_(actor.teams))
    return session.scalars(query).all()


def _words(state: MoveState) -> str:
    return state.value.replace("_", " ")
