"""Settings: every fault in one message, and production that refuses to start half configured."""

import stat
import threading
from dataclasses import fields

import pytest

from registry.settings import Settings, SettingsError
from tests.support import at_once

PRODUCTION = {
    "COUNTERSIGN_ENV": "production",
    "COUNTERSIGN_SECRET_KEY": "k" * 48,
    "COUNTERSIGN_PUBLIC_URL": "https://models.bank.example",
}


def test_nothing_set_gives_development_defaults(tmp_path):
    settings = Settings.load({"COUNTERSIGN_DATA_DIR": str(tmp_path)})
    assert settings.env == "development"
    assert settings.url == f"sqlite:///{tmp_path}/countersign.db"
    assert settings.store_dir == tmp_path / "store"


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(SettingsError) as caught:
        Settings.load(
            {
                "COUNTERSIGN_ENV": "production",
                "COUNTERSIGN_SECRET_KEY": "short",
                "COUNTERSIGN_PUBLIC_URL": "http://models.bank.example",
                "COUNTERSIGN_MAX_UPLOAD_BYTES": "20 GB",
                "COUNTERSIGN_ISOLATION": "vm",
                "COUNTERSIGN_CA_BUNDLE": str(tmp_path / "missing.pem"),
                "COUNTERSIGN_DATABASE_URL": "mysql://user:hunter2@host/db",
                "COUNTERSIGN_SESSION_HOURS": "0",
                "COUNTERSIGN_LOG_LEVEL": "chatty",
            }
        )
    message = str(caught.value)
    for name in (
        "SECRET_KEY",
        "PUBLIC_URL",
        "MAX_UPLOAD_BYTES",
        "ISOLATION",
        "CA_BUNDLE",
        "DATABASE_URL",
        "SESSION_HOURS",
        "LOG_LEVEL",
    ):
        assert f"COUNTERSIGN_{name}" in message
    assert "must be one of auto, container, process" in message
    assert "hunter2" not in message, "secrets are never repeated"


@pytest.mark.parametrize(
    ("removed", "named"),
    [
        pytest.param("COUNTERSIGN_SECRET_KEY", "COUNTERSIGN_SECRET_KEY is not set", id="no-key"),
        pytest.param("COUNTERSIGN_PUBLIC_URL", "https://", id="no-https"),
    ],
)
def test_production_refuses_to_start_without(removed, named):
    environ = {name: value for name, value in PRODUCTION.items() if name != removed}
    with pytest.raises(SettingsError, match=named):
        Settings.load(environ)


def test_a_level_is_taken_in_any_case():
    assert Settings.load({"COUNTERSIGN_LOG_LEVEL": "warning"}).log_level == "WARNING"


def test_production_starts_when_all_is_there(tmp_path):
    settings = Settings.load({**PRODUCTION, "COUNTERSIGN_DATA_DIR": str(tmp_path / "data")})
    assert settings.secret_key == "k" * 48
    assert not (tmp_path / "data").exists(), "production never makes up a key on disk"


def test_secrets_may_come_from_files(tmp_path):
    path = tmp_path / "key"
    path.write_text("f" * 40 + "\n")
    settings = Settings.load({**PRODUCTION, "COUNTERSIGN_SECRET_KEY": "", "COUNTERSIGN_SECRET_KEY_FILE": str(path)})
    assert settings.secret_key == "f" * 40


def test_a_missing_secret_file_is_named():
    environ = {"COUNTERSIGN_SECRET_KEY_FILE": "/nowhere/key"}
    with pytest.raises(SettingsError, match=r"COUNTERSIGN_SECRET_KEY_FILE=/nowhere/key: No such file"):
        Settings.load(environ)


def test_the_development_key_is_random_kept_and_private(tmp_path):
    environ = {"COUNTERSIGN_DATA_DIR": str(tmp_path / "a")}
    first, again = Settings.load(environ), Settings.load(environ)
    other = Settings.load({"COUNTERSIGN_DATA_DIR": str(tmp_path / "b")})
    assert first.secret_key == again.secret_key != other.secret_key
    assert len(first.secret_key) >= 32
    (path,) = first.keys_dir.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_portal_and_worker_starting_together_share_one_development_key(tmp_path, monkeypatch):
    """One of them must not read the file between its making and its first byte."""
    looked = threading.Barrier(4)
    real = Settings._with_development_key

    def together(self):
        looked.wait(10)
        return real(self)

    monkeypatch.setattr(Settings, "_with_development_key", together)
    for attempt in range(20):
        environ = {"COUNTERSIGN_DATA_DIR": str(tmp_path / str(attempt))}
        found = at_once(*[lambda environ=environ: Settings.load(environ).secret_key] * 4)
        assert len(set(found)) == 1
        assert len(found[0]) >= 32


@pytest.mark.parametrize("spec", fields(Settings), ids=lambda spec: spec.name)
def test_every_setting_says_what_it_is_for(spec):
    assert spec.metadata["help"].endswith(".")
