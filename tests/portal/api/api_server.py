"""The portal behind its real server, in a process of its own."""

import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry import schema, tokens
from registry.access import ALL_SCOPES
from registry.db import Database
from registry.settings import Settings
from registry.store import LocalStore
from tests import factories

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Server:
    """A running portal with a company in it."""

    url: str
    world: factories.World
    folder: Path
    settings: Settings

    def token(self, name: str = "ana") -> str:
        """A new token of somebody, with every scope."""
        with self.world.write() as session:
            _, token = tokens.create(session, actor=self.world.actors[name], name="test", scopes=ALL_SCOPES, days=1)
        return token

    def incoming(self) -> list[Path]:
        """Uploads under way."""
        return list((self.settings.store_dir / "incoming").iterdir())


@contextmanager
def serving(folder: Path, *, largest_file: int | None = None, **settings: str) -> Iterator[Server]:
    """Start gunicorn on a free port; stop it at the end.

    :param largest_file: bytes that one file of this process may have: a disk that is full behind them.
    """
    chosen = Settings(data_dir=folder, secret_key="k" * 48)
    database = Database(chosen.url)
    schema.upgrade(database)
    factories.build_world(database)
    world = factories.World.load(database, LocalStore(chosen.store_dir))
    environ = {**os.environ, "COUNTERSIGN_DATA_DIR": str(folder), "COUNTERSIGN_SECRET_KEY": chosen.secret_key}

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    arguments = ["-b", "127.0.0.1:0", "-k", "gthread", "--threads", "4", "--no-control-socket", "wsgi:app"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *arguments],
        cwd=ROOT,
        env=environ | settings,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit,  # noqa: PLW1509 - a limit that only the child is to have
    )
    try:
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Listening at: (http://\S+)", line):
                break
        else:
            raise AssertionError("".join(said))
        reader = threading.Thread(target=process.stderr.read)  # a full pipe would stop the server
        reader.start()
        yield Server(found[1], world, folder, chosen)
        process.terminate()
        reader.join(timeout=30)
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()
        database.close()
