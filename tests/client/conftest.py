"""A clean home, a fake portal, and a folder that can be pushed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from client_folder import fill
from fake_portal import TOKEN, Portal

import countersign
from countersign import transport


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No setting of the machine reaches a test, and no test reaches the machine's."""
    for variable in ("CI", "NO_COLOR", "GITHUB_SHA", "CI_COMMIT_SHA", "CI_JOB_URL"):
        monkeypatch.delenv(variable, raising=False)
    for key in ("URL", "TOKEN", "TOKEN_FILE", "PROFILE", "CONFIG", "OUTPUT", "TIMEOUT", "CACHE_DIR", "CA_BUNDLE"):
        monkeypatch.delenv(f"COUNTERSIGN_{key}", raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    (work / ".git").mkdir()
    monkeypatch.chdir(work)
    return folder


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds the client wanted to sleep; it does not."""
    asked: list[float] = []
    monkeypatch.setattr(transport, "pause", asked.append)
    return asked


@pytest.fixture
def portal() -> Iterator[Portal]:
    served = Portal()
    yield served
    served.close()


@pytest.fixture
def client(portal: Portal) -> "countersign.Client":
    return countersign.Client(portal.url, TOKEN, timeout=5)


@pytest.fixture
def signed_in(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Portal:
    """The portal, with the command's environment pointing at it."""
    monkeypatch.setenv("COUNTERSIGN_URL", portal.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", TOKEN)
    monkeypatch.setenv("COUNTERSIGN_TIMEOUT", "5")
    return portal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small model, its sample and its card; the model is a pickle of plain values."""
    made = tmp_path / "work" / "model"
    made.mkdir()
    fill(made)
    return made
