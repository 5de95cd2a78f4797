"""Operator commands: ``flask --app wsgi registry ...``. They work on the database directly, over the same services."""

import click
from flask import Flask
from flask.cli import AppGroup

from portal.installation import here
from registry import accounts, audit, schema
from registry.access import SYSTEM
from registry.errors import Conflict, RegistryError

commands = AppGroup("registry", help="Set up and look after this installation.")
database = AppGroup("db", help="The database.")
commands.add_command(database)


class Refused(click.ClickException):
    """A refusal of the domain, in its own words."""

    def __init__(self, error: RegistryError) -> None:
        """Keep message and hint."""
        super().__init__(f"{error}. {error.hint}".strip())


@commands.command("setup-link")
@click.option("--username", help="For this person, who lost their password; else for the first administrator.")
@click.option("--if-empty", is_flag=True, help="Print nothing, and succeed, when there are people already.")
def setup_link(username: str | None, *, if_empty: bool) -> None:
    """Print a one-time link, valid for a day."""
    try:
        with here().database.write() as session:
            person = accounts.load_person(session, username=username) if username else None
            secret = accounts.open_setup(session, person)
            if person is not None:
                what = "set-up link from the command line"
                audit.record(session, audit.Action.PERSON_CHANGED, actor=SYSTEM, subject=person, what=what)
    except Conflict as error:
        if if_empty:
            return
        raise Refused(error) from error
    except RegistryError as error:
        raise Refused(error) from error
    click.echo(f"{here().settings.public_url}/setup/{secret}")


@database.command("upgrade")
def upgrade() -> None:
    """Bring the tables to this release's revision. Back up first: docs/operations.md says how."""
    schema.upgrade(here().database)
    click.echo("The database is at the newest revision.")


def init_app(app: Flask) -> None:
    """Register the commands."""
    app.cli.add_command(commands)
