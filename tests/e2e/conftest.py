"""An installation with a real store, real wheels and a real worker, whose database can be set back."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sqlalchemy import select

from registry import clock, schema, vault
from registry.db import Database
from registry.orm.job import Job, JobState
from registry.settings import Settings
from registry.store import LocalStore
from tests import factories
from tests.support import require

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "var" / "test"
"""Store and layers outlive the run: wheels are fetched once per machine."""
UNFINISHED = shutil.ignore_patterns("incoming", "trees")
SECRET_KEY = "k" * 40
CARD = factories.card(purpose="Says whether a message is a complaint.", sample_kind="synthetic")


@dataclass
class Installation:
    """Folders, settings and processes of one installation."""

    folder: Path
    database: Database
    store: LocalStore
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "countersign.db"

    def keep(self, name: str) -> None:
        """Set the database aside under a name."""
        self.database.close()
        shutil.copyfile(self.file, self.folder / f"{name}.aside")

    def set_back(self, name: str) -> None:
        """Make the database what it was when it was set aside."""
        self.database.close()
        for suffix in ("-wal", "-shm"):
            self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(self.folder / f"{name}.aside", self.file)

    def run(
        self, *command: str, fault: str = "", environ: dict[str, str] | None = None, before: Sequence[str] = ()
    ) -> tuple[int, list[str], str]:
        """Run a process of this installation; its exit code, the fault points it reached, and what it said.

        :param before: a command that runs it, e.g. ``unshare --net``.
        """
        log = self.folder / "faults.log"
        log.unlink(missing_ok=True)
        self.database.close()
        environ = {
            **os.environ,
            **self.environ,
            **(environ or {}),
            "PYTHONPATH": str(ROOT),
            "COUNTERSIGN_FAULT_LOG": str(log),
            "COUNTERSIGN_FAULT": fault,
        }
        done = subprocess.run(
            [*before, sys.executable, *command],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        return done.returncode, log.read_text().split() if log.exists() else [], done.stderr[-4000:]

    def let_leases_run_out(self) -> None:
        """What an hour does to the jobs of a killed worker; a short lease would add heartbeats to every run's commits."""
        with self.database.write() as session:
            for job in session.scalars(select(Job).where(Job.state == JobState.RUNNING)):
                job.lease_until = clock.now()

    def work(self, *, fault: str = "") -> tuple[int, list[str], str]:
        """Let a worker work until the queue is empty."""
        return self.run("-m", "tests.e2e.one_job", fault=fault)

    def act(self, name: str, given: dict, *, fault: str = "") -> tuple[int, list[str], str]:
        """Let the portal handle one act."""
        return self.run("-m", "tests.e2e.portal_act", name, json.dumps(given), fault=fault)


def chosen(points: list[str]) -> list[str]:
    """The points to die at: all of them in a soak, else the last of each kind."""
    if os.environ.get("COUNTERSIGN_SOAK"):
        return points
    return sorted({_kind(point): point for point in points}.values())


def _link(source: str, target: str) -> None:
    with suppress(FileNotFoundError):  # another test may just have removed it
        os.link(source, target)


def _kind(point: str) -> str:
    """Steps of a check are of one kind: each is kept by the same commit."""
    return "step" if point.startswith("step-") else point.partition(":")[0]


@pytest.fixture(scope="session")
def model_files(tmp_path_factory) -> list[Path]:
    """A small real model as a push folder: model.joblib, sample.jsonl, requirements.txt."""
    folder = tmp_path_factory.mktemp("model")
    texts = ["I want my money back", "thank you, very quick", "this is a scandal", "great help at the desk"] * 5
    estimator = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["complaint", "praise"] * 10)
    joblib.dump(estimator, folder / "model.joblib")
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts[:4])
    (folder / "sample.jsonl").write_text(rows)
    (folder / "requirements.txt").write_text("scikit-learn==1.9.1\njoblib==1.6.0\nnumpy==2.4.6\nscipy==1.17.1\n")
    return sorted(folder.iterdir())


@contextmanager
def opened(folder, isolation="process", *, alone=False):
    """An installation in ``folder`` with an empty, migrated database.

    Its store and layers are the ones all tests share; ``alone``, links to their files, which no other test changes
    (``folder`` is then in ``CACHE``, on the same file system).
    """
    for name in ("store", "layers", "keys"):
        (CACHE / name).mkdir(parents=True, exist_ok=True)
        if alone:
            shutil.copytree(CACHE / name, folder / name, copy_function=_link, ignore=UNFINISHED)
        else:
            (folder / name).symlink_to(CACHE / name)
    environ = {
        "COUNTERSIGN_DATA_DIR": str(folder),
        "COUNTERSIGN_DATABASE_URL": f"sqlite:///{folder / 'countersign.db'}",
        "COUNTERSIGN_ISOLATION": isolation,
        "COUNTERSIGN_SECRET_KEY": SECRET_KEY,
        "COUNTERSIGN_JOB_LEASE_SECONDS": "3600",
    }
    settings = Settings.load(environ)
    database = Database(settings.url)
    schema.upgrade(database)
    yield Installation(folder, database, LocalStore(settings.store_dir), environ)
    database.close()


@pytest.fixture
def installation(tmp_path):
    """An installation in process isolation with an empty, migrated database."""
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def index_there():
    """Fails or skips when no package index answers."""
    uv = Path(sys.executable).with_name("uv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = subprocess.run(
            [str(uv), "pip", "compile", "-q", "--no-deps", "-"],
            input="six==1.17.0\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    if done.returncode:
        require("index", done.stderr.strip()[-300:])


@pytest.fixture
def keys() -> vault.Vault:
    """The vault of the installation's secret key."""
    return vault.Vault(SECRET_KEY)
