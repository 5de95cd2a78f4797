"""Acting on release requests, each act in a unit of work of its own."""

import json
from pathlib import Path

import jsonschema
from sqlalchemy import select

from registry import accounts
from registry.orm.account import Person, RoleGrant
from registry.orm.approval import Outcome
from tests import factories

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


def fits(schema, document):
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.v1.json").read_text())).validate(document)
    return True


def review(world, **fields):
    """A version of ana's with an open request, as number 1."""
    with world.write() as session:
        return factories.request_in_review(session, world, **fields)


def decide(world, name, outcome=Outcome.APPROVE, number=1, **overrides):
    with world.write() as session:
        actor = world.actors[name] if isinstance(name, str) else name
        return factories.decide(session, world.request(session, number), actor, outcome, **overrides)


def state(world, number=1):
    with world.read() as session:
        return world.request(session, number).state, world.version(session, number).stage


def revoke(world, name, role):
    with world.write() as session:
        query = select(RoleGrant).join(Person, Person.id == RoleGrant.person_id)
        grant = session.scalars(query.where(Person.username == name, RoleGrant.role == role)).one()
        accounts.revoke_role(session, grant, actor=world.root)
