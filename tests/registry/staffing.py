"""Looking at people and their roles."""

from sqlalchemy import select

from registry import accounts
from registry.orm.account import Person, RoleGrant
from tests.support import bodies_of

TWO_PERSON = sorted(accounts.TWO_PERSON_ROLES)


def person(session, username):
    return accounts.load_person(session, username=username)


def grant_of(session, username, role):
    query = select(RoleGrant).join(Person, Person.id == RoleGrant.person_id).where(Person.username == username)
    return session.scalars(query.where(RoleGrant.role == role)).one_or_none()


def in_force(world, username):
    with world.read() as session:
        return accounts.actor_for(person(session, username)).roles


def events(database, action):
    with database.read() as session:
        return bodies_of(session, action)
