"""Registering and finding models, each in a unit of work of its own."""

from registry import catalog
from registry.paging import Cursor

SECRET = "payments/secret"


def register(world, full_name, *, actor=None, **fields):
    with world.write() as session:
        return catalog.register_model(session, actor=actor or world.ana, full_name=full_name, **fields)


def found(world, *, actor=None, limit=50, **filters):
    with world.read() as session:
        page = catalog.search(session, catalog.Filters(**filters), Cursor(limit=limit), actor=actor or world.kim)
        return [model.full_name for model in page.items]
