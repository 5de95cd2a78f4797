"""What one running portal is made of, built once by ``create_app`` and reached with ``here()``."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self, cast

from flask import current_app

from portal.assets import Assets
from registry.db import Database
from registry.settings import Settings
from registry.signing_in import SessionLimits
from registry.store import LocalStore
from registry.vault import Vault

VERSION = "0.1.0"
KEY = "countersign"


@dataclass(frozen=True)
class Installation:
    """Settings and the long-lived parts that come from them."""

    settings: Settings
    database: Database
    store: LocalStore
    vault: Vault
    limits: SessionLimits
    assets: Assets

    @classmethod
    def of(cls, settings: Settings, database: Database, assets: Assets) -> Self:
        """The parts that ``settings`` ask for."""
        limits = SessionLimits(
            timedelta(hours=settings.session_hours), timedelta(minutes=settings.session_idle_minutes)
        )
        return cls(settings, database, LocalStore(settings.store_dir), Vault(settings.secret_key), limits, assets)


def here() -> Installation:
    """The installation of the app that handles this request or command."""
    return cast("Installation", current_app.extensions[KEY])
