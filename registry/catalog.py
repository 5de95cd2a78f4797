"""Registered models: registering, finding, describing; who may see what."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from registry import access, accounts, audit, clock, names, paging
from registry.access import Actor, Permission
from registry.errors import AlreadyExists, Forbidden, Invalid, NotFound, PreconditionMissing, Stale
from registry.locking import lock
from registry.orm.account import Person, Team
from registry.orm.catalog import (
    DeclaredUse,
    ModelTerm,
    ModelVersion,
    RegisteredModel,
    Stage,
    Visibility,
)
from registry.orm.image import Bundle, RouteMember

_WORD = re.compile(r"[a-z0-9]+")
SAMPLE_STEPS = frozenset({"predict"})
"""Checks whose reports hold answers to sample rows, which may be real."""
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True)
class Filters:
    """What the catalogue was asked for."""

    text: str = ""
    team: str = ""
    task: str = ""
    stage: str = ""
    mine: bool = False


def register_model(
    session: Session, *, actor: Actor, full_name: str, purpose: str = "", visibility: Visibility = Visibility.INTERNAL
) -> RegisteredModel:
    """Open a new line of versions, with a bundle of its own that follows what is approved."""
    team_slug, name = names.split_model(full_name)
    team = accounts.get_team(session, team_slug)
    access.require(actor, Permission.PUSH, team_id=team.id)
    if session.scalars(select(Bundle.id).where(Bundle.full_name == full_name)).first():
        raise _taken(session, full_name)
    model = RegisteredModel(
        team_id=team.id,
        name=name,
        full_name=full_name,
        visibility=visibility,
        owner_id=actor.person_id,
        purpose=names.text(purpose, what="the purpose", pointer="/purpose", most=500),
        task="",
        contact="",
        versions_made=0,
        team=team,
        created_at=clock.now(),
        updated_at=clock.now(),
    )
    bundle = Bundle(team_id=team.id, name=name, full_name=full_name, created_by=actor.ref)
    try:
        with session.begin_nested():
            session.add_all([model, bundle])
    except IntegrityError as error:  # somebody else's registration was a moment earlier
        raise _taken(session, full_name) from error
    session.add(
        RouteMember(bundle_id=bundle.id, position=0, route=name, model_id=model.id, follow="approved", weight=100)
    )
    audit.record(
        session,
        audit.Action.MODEL_REGISTERED,
        actor=actor,
        subject=model,
        also=[bundle],
        name=full_name,
        visibility=visibility.value,
    )
    index(session, model)
    return model


def _taken(session: Session, full_name: str) -> AlreadyExists:
    registered = session.scalars(select(RegisteredModel.id).where(RegisteredModel.full_name == full_name)).first()
    what, hint = (
        (f"{full_name} is registered already", "Push a version to it.")
        if registered
        else (f"there is a bundle {full_name} already, and a model comes with a bundle of its name", "Choose another.")
    )
    return AlreadyExists(what, hint=hint, errors=[("/name", "taken")])


def visible_to(query: Query, actor: Actor) -> Query:
    """Restrict a query over registered models to those the actor may know of."""
    return query.where(seen_from(actor.teams))


def seen_from(teams: Any) -> ColumnElement[bool]:
    return or_(RegisteredModel.visibility == Visibility.INTERNAL, RegisteredModel.team_id.in_(teams))


class Shown(Protocol):
    """What decides who may know of a model: its row, or what was read of it."""

    @property
    def id(self) -> UUID: ...
    @property
    def full_name(self) -> str: ...
    @property
    def visibility(self) -> Visibility: ...
    @property
    def team_id(self) -> UUID: ...


def may_see(model: Shown, *, actor: Actor) -> bool:
    """Whether the actor may know that the model exists."""
    return model.visibility is Visibility.INTERNAL or model.team_id in actor.teams


def may_read_artifacts(session: Session, model: Shown, *, actor: Actor) -> bool:
    """Artifacts are for the team, for teams that declared a use, and for those who must judge them."""
    if model.team_id in actor.teams:
        return True
    if not may_see(model, actor=actor):
        return False
    if actor.roles & access.ROLES[Permission.DECIDE] and not actor.via_token:
        return True
    uses = select(DeclaredUse.team_id).where(DeclaredUse.model_id == model.id, DeclaredUse.team_id.in_(actor.teams))
    return session.scalars(uses.limit(1)).first() is not None


def require_artifacts(session: Session, model: Shown, *, actor: Actor) -> None:
    """Like :func:`may_read_artifacts`, refusing.

    :raises Forbidden: saying for whom they are.
    """
    if not may_read_artifacts(session, model, actor=actor):
        raise Forbidden(
            f"the files of {model.full_name} are for its team and for teams that declared a use",
            hint="Declare your team's use of it on the model's page, under Consumers.",
        )


def require_report(session: Session, model: Shown, step: str, *, actor: Actor) -> None:
    """Refuse the report of a check that holds answers to sample rows to whoever may not read the rows.

    :raises Forbidden: it does, and they may not.
    """
    if step in SAMPLE_STEPS and not may_read_artifacts(session, model, actor=actor):
        raise Forbidden(
            "this report holds answers to the sample rows, which may be real",
            hint="Ask in the team that owns the model, or declare your team's use of it.",
        )


# Made once: nearly every call pays for one of them. The second locks as registry.locking does.
_MODEL = (
    select(RegisteredModel)
    .where(RegisteredModel.full_name == bindparam("full_name"))
    .options(joinedload(RegisteredModel.team))
)
_LOCKED_MODEL = _MODEL.with_for_update(of=RegisteredModel, key_share=True).execution_options(populate_existing=True)


def get_model(session: Session, full_name: str, *, actor: Actor, lock: bool = False) -> RegisteredModel:
    """The model ``team/name``.

    :param lock: wait for whoever else is changing it, and keep others from it until the transaction ends.
    :raises NotFound: not there, or private to a team the actor is not in: the two look the same.
    """
    access.require(actor, Permission.READ)
    model = session.scalars(_LOCKED_MODEL if lock else _MODEL, {"full_name": full_name}).one_or_none()
    if model is None or not may_see(model, actor=actor):
        raise NotFound(f"there is no model {full_name}", hint="Look in the catalogue; names are team/model.")
    return model


class ListedModel(NamedTuple):
    """A model as lists show it: a row as the statement gives it."""

    id: UUID
    full_name: str
    purpose: str
    task: str
    contact: str
    owner: str | None
    """Readable name."""
    visibility: Visibility
    tier: str | None
    versions_made: int
    latest_approved: int | None
    created_at: datetime
    updated_at: datetime

    @property
    def team_slug(self) -> str:
        """The first half of its name."""
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        """The second half."""
        return self.full_name.partition("/")[2]


_LISTED = select(
    *(Person.username if column == "owner" else getattr(RegisteredModel, column) for column in ListedModel._fields)
).outerjoin(Person, Person.id == RegisteredModel.owner_id)


def search(session: Session, filters: Filters, cursor: paging.Cursor, *, actor: Actor) -> paging.Page[ListedModel]:
    """Models that hold every word asked for (a word may be the beginning of one), newest change first."""
    access.require(actor, Permission.READ)
    query = visible_to(_LISTED, actor)
    for word in _words(filters.text)[:8]:
        matching = select(ModelTerm.model_id).where(ModelTerm.term >= word, ModelTerm.term < word + "\U0010ffff")
        query = query.where(RegisteredModel.id.in_(matching))
    if filters.team:
        query = query.where(RegisteredModel.team_id.in_(select(Team.id).where(Team.slug == filters.team)))
    if filters.task:
        query = query.where(RegisteredModel.task == filters.task)
    if filters.stage == "approved":
        query = query.where(RegisteredModel.latest_approved.is_not(None))
    elif filters.stage:
        in_stage = select(ModelVersion.model_id).where(ModelVersion.stage == _stage(filters.stage))
        query = query.where(RegisteredModel.id.in_(in_stage))
    if filters.mine:
        query = query.where(RegisteredModel.team_id.in_(actor.teams))
    return paging.fetch_as(ListedModel._make, session, query, (RegisteredModel.updated_at, RegisteredModel.id), cursor)


def facets(session: Session, *, actor: Actor) -> dict[str, list[tuple[str, int]]]:
    """Counts by team and by task over what the actor may see, largest first, at most twenty each."""
    teams = visible_to(select(Team.slug, func.count()).join(RegisteredModel, RegisteredModel.team_id == Team.id), actor)
    tasks = visible_to(select(RegisteredModel.task, func.count()).where(RegisteredModel.task != ""), actor)
    return {
        "team": [
            (slug, count)
            for slug, count in session.execute(teams.group_by(Team.slug).order_by(func.count().desc()).limit(20))
        ],
        "task": [
            (task, count)
            for task, count in session.execute(
                tasks.group_by(RegisteredModel.task).order_by(func.count().desc()).limit(20)
            )
        ],
    }


def _stage(text: str) -> Stage:
    try:
        return Stage(text)
    except ValueError:
        raise Invalid(
            f"there is no stage {text!r}", hint=f"One of {', '.join(Stage)}.", errors=[("/stage", "unknown")]
        ) from None


def describe(
    session: Session,
    model: RegisteredModel,
    *,
    actor: Actor,
    expected: int | None,
    purpose: str | None = None,
    contact: str | None = None,
    task: str | None = None,
    visibility: Visibility | None = None,
) -> None:
    """Change what is said of a model; none of it is bound by approvals.

    :param expected: the revision the caller saw.
    """
    access.require(actor, Permission.PUSH, team_id=model.team_id)
    lock(session, model)
    require_revision(model.revision, expected, what=model.full_name)
    before = {
        "purpose": model.purpose,
        "contact": model.contact,
        "task": model.task,
        "visibility": model.visibility.value,
    }
    if purpose is not None:
        least = 0 if model.latest_approved is None else 1  # what is approved for something says for what
        model.purpose = names.text(purpose, what="the purpose", pointer="/purpose", least=least, most=500)
    if contact is not None:
        model.contact = names.text(contact, what="the contact", pointer="/contact", most=128)
    if task is not None:
        model.task = names.text(task, what="the task", pointer="/task", most=63)
    if visibility is not None:
        model.visibility = visibility
    model.updated_at = clock.now()
    audit.record(session, audit.Action.MODEL_CHANGED, actor=actor, subject=model, before=before)
    index(session, model)


def require_revision(actual: int, expected: int | None, *, what: str) -> None:
    """Optimistic locking for people: the change must be to the revision they saw.

    :raises PreconditionMissing: no revision was named.
    :raises Stale: another one is current.
    """
    if expected is None:
        raise PreconditionMissing(
            f"{what} can be changed only by revision", hint="Send If-Match with the ETag you read."
        )
    if actual != expected:
        raise Stale(
            f"{what} is at revision {actual}, you saw {expected}", hint="Read it again, then repeat your change."
        )


def index(session: Session, model: RegisteredModel) -> None:
    """Make the model findable by the words of its name, purpose and task."""
    wanted = set(_words(f"{model.full_name} {model.purpose} {model.task}"))
    present = {row.term: row for row in session.scalars(select(ModelTerm).where(ModelTerm.model_id == model.id))}
    for term in wanted - present.keys():
        session.add(ModelTerm(term=term, model_id=model.id))
    for term in present.keys() - wanted:
        session.delete(present[term])


def _words(text: str) -> list[str]:
    return [word[:40] for word in _WORD.findall(text.lower())]


def declare_use(session: Session, model: RegisteredModel, team: Team, *, actor: Actor, purpose: str) -> DeclaredUse:
    """Say what a team uses the model for: it may then read artifacts, and owners know whom to tell."""
    access.require(actor, Permission.DECLARE_USE, team_id=team.id)
    if not may_see(model, actor=actor):
        raise NotFound(f"there is no model {model.full_name}")
    purpose = names.text(purpose, what="the purpose", pointer="/purpose", least=5, most=500)
    use = session.get(DeclaredUse, (model.id, team.id))
    if use is None:
        use = DeclaredUse(model_id=model.id, team_id=team.id, purpose=purpose, declared_by=actor.ref)
        session.add(use)
    else:
        use.purpose, use.declared_by = purpose, actor.ref
    audit.record(session, audit.Action.USE_DECLARED, actor=actor, subject=model, team=team.slug, purpose=purpose)
    return use


def uses_of(session: Session, model: RegisteredModel) -> list[DeclaredUse]:
    """Teams that declared a use, by name."""
    query = select(DeclaredUse).join(Team).where(DeclaredUse.model_id == model.id).options(joinedload(DeclaredUse.team))
    return list(session.scalars(query.order_by(Team.slug).limit(200)))
