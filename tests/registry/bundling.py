"""Versions, bundles and their builds, each made in a unit of work of its own."""

from sqlalchemy import select

from registry import bundles
from registry.orm.image import Build, Bundle
from tests import factories

DESK = "payments/desk"


def get(session, world, name=DESK):
    return bundles.get(session, name, actor=world.ana)


def approved(world, times=1):
    for _ in range(times):
        with world.write() as session:
            factories.approved_version(session, world)


def ready(world, times=1):
    for _ in range(times):
        with world.write() as session:
            factories.ready_version(session, world)


def bundle(world, *members, **fields):
    with world.write() as session:
        return factories.bundle(session, world, *members, **fields)


def builds_of(world, name=DESK):
    with world.read() as session:
        query = select(Build).join(Bundle, Bundle.id == Build.bundle_id).where(Bundle.full_name == name)
        return session.scalars(query.order_by(Build.id)).all()


def members(build):
    return [
        (route["name"], member["ref"], member["weight"])
        for route in build.recipe["routes"]
        for member in route["members"]
    ]
