"""An installation to measure: portal and worker as real processes in a folder of their own, and people who may act."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders.containers import EngineError
from builders.engine import connect
from registry import accounts, schema, tokens
from registry.access import ALL_SCOPES, Actor
from registry.db import Database
from registry.orm.account import Role
from registry.settings import Settings
from tools.stack import ROOT, Stack, fresh

HOME = ROOT / "var" / "bench"
BASE = ROOT / "var" / "base" / "base.oci.tar"
WARM = frozenset({"store", "layers", "keys"})
"""Kept between runs: wheels and image layers, which an installation that has baked before has too."""
TEAM = "payments"
PASSWORD = "as long as a sentence"
PEOPLE = {
    "sara": (Role.SCIENTIST,),
    "victor": (Role.VALIDATOR,),
    "cora": (Role.COMPLIANCE,),
    "oscar": (Role.OPERATOR,),
    "anna": (Role.AUDITOR,),
    "carl": (Role.CONSUMER,),
}


@dataclass
class Installation:
    """One installation, its processes not started yet."""

    folder: Path
    stack: Stack
    settings: Settings
    database: Database
    token: str
    """Of the scientist, with every scope."""

    def actor(self, username: str) -> Actor:
        """Somebody as they are after signing in with both factors."""
        with self.database.read() as session:
            return accounts.actor_for(accounts.load_person(session, username=username), second_factor=True)


def base_environ(isolation: str) -> dict[str, str]:
    """Settings of an installation with embedded defaults, whatever the caller's environment says."""
    environ = {"COUNTERSIGN_ENV": "development", "COUNTERSIGN_SECRET_KEY": "", "COUNTERSIGN_DATABASE_URL": ""}
    environ |= {"COUNTERSIGN_ISOLATION": isolation, "COUNTERSIGN_LOG_LEVEL": "INFO"}
    environ["PYTHONDONTWRITEBYTECODE"] = ""  # users have compiled modules after the first start
    if "COUNTERSIGN_BASE_IMAGE" not in os.environ and BASE.is_file():
        environ["COUNTERSIGN_BASE_IMAGE"] = str(BASE)
    return environ


@contextmanager
def installed(name: str, *, isolation: str = "process", keep: frozenset[str] = WARM) -> Iterator[Installation]:
    """An installation in ``var/bench/<name>`` with a new database; what it started is stopped at the end."""
    folder = HOME / name
    fresh(folder, keep=keep)
    stack = Stack(folder, base_environ(isolation))
    settings = Settings.load(stack.environ)
    database = Database(settings.url)
    try:
        schema.upgrade(database)
        yield Installation(folder, stack, settings, database, _populate(database))
    finally:
        stack.stop()
        database.close()


def _populate(database: Database) -> str:
    with database.write() as session:
        secret = accounts.open_setup(session)
        accounts.first_administrator(session, secret, username="root", name="Robin Administrator", password=PASSWORD)
    with database.write() as session:
        admin = accounts.actor_for(accounts.load_person(session, username="root"), second_factor=True)
        team = accounts.add_team(session, actor=admin, slug=TEAM, name="Payments")
        session.flush()
        for username, roles in PEOPLE.items():
            person, _ = accounts.add_person(session, actor=admin, username=username, name=username.title())
            for role in roles:
                accounts.grant_role(session, person, role, actor=admin)
            accounts.add_member(session, team, person, actor=admin)
    with database.write() as session:
        scientist = accounts.actor_for(accounts.load_person(session, username="sara"), second_factor=True)
        _, token = tokens.create(session, actor=scientist, name="bench", scopes=sorted(ALL_SCOPES), days=1)
    return token


def containers_missing() -> str:
    """The one thing without which models cannot run in containers here; empty when they can."""
    try:
        connect(os.environ)
    except EngineError as error:
        return str(error)
    if os.environ.get("COUNTERSIGN_BASE_IMAGE") or BASE.is_file():
        return ""
    return "there is no base image; `make base-image` makes one"
