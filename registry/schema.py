"""Brings a database to the newest revision of the tables."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from registry import approvals
from registry.db import Database

ROOT = Path(__file__).resolve().parent.parent


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return config


def upgrade(database: Database) -> None:
    """Run every migration that this database has not had, and lay the policy an installation starts with."""
    config = _config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    with database.write() as session:
        approvals.lay_standard_policy(session)
