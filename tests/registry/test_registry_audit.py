"""The guard: nothing governed changes without an event, and events and changes are stored together or not at all."""

import contextlib

import pytest
import sqlalchemy as sa
from sqlalchemy import select

from registry import accounts, audit, proofs
from registry.access import SYSTEM
from registry.errors import UnauditedChange
from registry.orm.account import LoginSession, Person, Team, TeamMember
from registry.orm.audit import AuditEntry, AuditHead
from registry.orm.image import RouteMember
from tests import factories
from tests.support import at_once, nothing_changes, refused


def size(database):
    with database.read() as session:
        return proofs.head(session)[0]


def entries(session):
    """All entries but the first, which tells of the policy that a new installation has."""
    return session.scalars(select(AuditEntry).where(AuditEntry.seq >= 1).order_by(AuditEntry.seq)).all()


def said(session):
    """What was said of each team that was added, in order."""
    return [payload.body["slug"] for payload in proofs.payloads(session, entries(session))]


def actions(database):
    with database.read() as session:
        return [entry.action for entry in entries(session)]


def new_team(session, slug="risk"):
    team = Team(slug=slug, name="Risk")
    session.add(team)
    return team


def record(session, team):
    audit.record(session, audit.Action.TEAM_ADDED, actor=SYSTEM, subject=team, slug=team.slug)


# ------------------------------------------------------------------------------------------- changes without an event


def changed_row(session):
    accounts.get_team(session, "payments").name = "Other"


def deleted_row(session):
    session.delete(session.scalars(select(TeamMember)).first())


def changed_child(session):
    """A share of a bundle counts as the bundle."""
    session.scalars(select(RouteMember)).one().weight = 99


def changed_and_flushed(session):
    changed_row(session)
    session.flush()
    session.expire_all()


def changed_in_a_savepoint(session):
    with session.begin_nested():
        changed_row(session)


def in_a_savepoint_that_fails(session, *acts):
    with contextlib.suppress(ZeroDivisionError), session.begin_nested():
        for act in acts:
            act()
        session.flush()
        raise ZeroDivisionError


def changed_before_a_savepoint_that_fails(session):
    changed_row(session)
    in_a_savepoint_that_fails(session)


def recorded_in_a_savepoint_that_fails(session):
    """The event that would cover the change is undone with its savepoint."""
    team = accounts.get_team(session, "payments")
    team.name = "Other"
    in_a_savepoint_that_fails(session, lambda: record(session, team))


def recorded_about_another(session):
    changed_row(session)
    record(session, accounts.get_team(session, "lending"))


@pytest.mark.parametrize(
    "change",
    [
        new_team,
        changed_row,
        deleted_row,
        changed_child,
        changed_and_flushed,
        changed_in_a_savepoint,
        changed_before_a_savepoint_that_fails,
        recorded_in_a_savepoint_that_fails,
        recorded_about_another,
    ],
)
def test_an_unaudited_change_stores_nothing(world, change):
    with world.write() as session:
        factories.checking_version(session, world)
    assert refused(world.database, UnauditedChange, change, match="without an audit event").hint


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(sa.update(Team).values(name="Other"), id="update"),
        pytest.param(sa.delete(TeamMember), id="delete"),
        pytest.param(sa.insert(Team).values(slug="risk", name="Risk"), id="insert"),
        pytest.param(sa.update(Team.__table__).values(name="Other"), id="update-of-the-table"),
        pytest.param(sa.delete(TeamMember.__table__), id="delete-of-the-table"),
    ],
)
def test_a_bulk_change_of_governed_rows_is_refused(world, statement):
    assert refused(world.database, UnauditedChange, lambda session: session.execute(statement), match="bulk").hint


def test_rows_that_are_not_governed_need_no_event(world):
    before = size(world.database)
    with world.write() as session:
        session.execute(sa.delete(LoginSession))
        accounts.open_setup(session, accounts.load_person(session, username="ana"))
    assert size(world.database) == before


def test_columns_set_apart_need_no_event(world):
    with world.write() as session:
        accounts.load_person(session, username="ana").failed_logins = 3
    with world.read() as session:
        assert session.scalar(select(Person.failed_logins).where(Person.username == "ana")) == 3


def test_touching_a_row_without_changing_it_needs_no_event(world):
    with world.write() as session:
        team = accounts.get_team(session, "payments")
        team.name = str(team.name)


# --------------------------------------------------------------------------------------------------- events


def test_an_event_is_stored_with_what_was_said(database):
    with database.write() as session:
        team = new_team(session)
        audit.record(session, audit.Action.TEAM_ADDED, actor=SYSTEM, subject=team, digest="sha256:x", slug="risk")
    with database.read() as session:
        (entry,) = entries(session)
        assert (entry.seq, entry.action, entry.actor, entry.digest) == (
            1,
            "team:added",
            "system:countersign",
            "sha256:x",
        )
        assert entry.subject == f"team:{team.id.hex}"
        assert said(session) == ["risk"]
        assert b"risk" not in entry.envelope, "what was said stands beside the log, not in it"


def test_events_of_one_unit_keep_their_order(database):
    with database.write() as session:
        for number in range(5):
            record(session, new_team(session, f"team-{number}"))
    with database.read() as session:
        assert said(session) == [f"team-{number}" for number in range(5)]


def test_an_abandoned_unit_leaves_no_event(database):
    def abandoned(session):
        record(session, new_team(session))
        session.flush()
        raise ZeroDivisionError

    refused(database, ZeroDivisionError, abandoned)


def test_a_rolled_back_session_starts_over_clean(database):
    with database.session(write=True) as session:
        record(session, new_team(session))
        session.flush()
        session.rollback()
        record(session, new_team(session, "kept"))
        session.commit()
    assert actions(database) == ["team:added"]
    with database.read() as session:
        assert list(session.scalars(select(Team.slug))) == ["kept"]


def test_a_failed_savepoint_takes_its_events_along_and_no_others(database):
    with database.write() as session:
        record(session, new_team(session, "before"))
        in_a_savepoint_that_fails(session, lambda: record(session, new_team(session, "undone")))
        with session.begin_nested():
            record(session, new_team(session, "inside"))
        record(session, new_team(session, "after"))
    with database.read() as session:
        assert set(session.scalars(select(Team.slug))) == {"before", "inside", "after"}
        assert said(session) == ["before", "inside", "after"]
        assert proofs.verify(session) == 4


def test_savepoints_in_savepoints_are_undone_one_by_one(database):
    with database.write() as session:
        with session.begin_nested():
            record(session, new_team(session, "outer"))
            in_a_savepoint_that_fails(session, lambda: record(session, new_team(session, "undone")))

        def kept_until_its_parent_fails():
            with session.begin_nested():
                record(session, new_team(session, "undone with its parent"))

        in_a_savepoint_that_fails(session, kept_until_its_parent_fails)
    with database.read() as session:
        assert said(session) == ["outer"]


def test_a_commit_with_a_savepoint_still_open_is_audited(database):
    with database.session(write=True) as session:
        session.begin_nested()
        record(session, new_team(session))
        session.commit()
    assert actions(database) == ["team:added"]


def test_one_session_can_commit_many_units(database):
    with database.session(write=True) as session:
        for number in range(3):
            record(session, new_team(session, f"team-{number}"))
            session.commit()
    with database.read() as session:
        assert proofs.verify(session) == 4


def test_eight_writers_at_once_leave_no_gap(database):
    """Every leaf has its own index, whichever database; and the tree over them is the head's."""

    def write(writer):
        for number in range(10):
            with database.write() as session:
                record(session, new_team(session, f"w{writer}-{number}"))

    answers = at_once(*[lambda writer=writer: write(writer) for writer in range(8)])
    assert answers == [None] * 8
    with database.read() as session:
        assert list(session.scalars(select(AuditEntry.seq).order_by(AuditEntry.seq))) == list(range(81))
        assert session.get_one(AuditHead, 1).size == 81
        assert proofs.verify(session) == 81
        assert len(set(session.scalars(select(Team.slug)))) == 80


def test_a_reader_cannot_write(world):
    with nothing_changes(world.database), world.read() as session:
        changed_row(session)
        with pytest.raises(sa.exc.DBAPIError, match=r"(?i)read.?only"):
            session.flush()


def test_reading_and_writing_take_turns(world):
    """Units that read and units that write take turns: neither is given the other's connection."""
    for number in range(3):
        with world.read() as session:
            accounts.get_team(session, "payments")
        with world.write() as session:
            record(session, new_team(session, f"team-{number}"))
