"""Runs migrations against the database of the settings, or a connection handed in by a caller."""

from alembic import context

from registry.db import Database
from registry.orm import Base
from registry.settings import Settings


def run(connection: object) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


if given := context.config.attributes.get("connection"):
    run(given)
else:
    database = Database(Settings.load().url)
    with database.engine.connect() as connection:
        run(connection)
        connection.commit()
    database.close()
