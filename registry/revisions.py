"""Whether a database has the tables of this release: asked at every start, so without what changes tables."""

from pathlib import Path

import sqlalchemy as sa

from registry.db import Database

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations" / "versions"


def newest() -> str:
    """The revision this release brings: migrations are numbered, in the names of their files."""
    return max(path.name.split("_")[1] for path in _MIGRATIONS.glob("*_*_*.py"))


def is_current(database: Database) -> bool:
    """Whether the tables are at the newest revision: nothing is served or baked over older ones."""
    with database.readers.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return False
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all() == [newest()]
