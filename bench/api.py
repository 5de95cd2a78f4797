"""Measures calls of the API at many models, on SQLite and (COUNTERSIGN_TEST_POSTGRES) PostgreSQL, against our limits.

    python -m bench.api --models 1000 100000 --calls 300

Each figure is the median of a whole WSGI call: token check, access filter, JSON, and for writes the commit with its
audit entry. PostgreSQL databases are made beside the one of the URL and dropped.
"""

import argparse
import io
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from werkzeug.test import EnvironBuilder, run_wsgi_app

from bench import seeding
from portal import create_app, logs
from registry import schema
from registry.db import Database
from registry.settings import Settings

LIMITS = {"version by reference": 2.0, "page of 100 models": 6.0, "a later page of 100": 6.0, "create version": 6.0}
"""Milliseconds, median."""
CARD = "---\npurpose: Routes feedback\ntask: classification\nowner: payments\ncontact: '#voice'\n---\n# Model {}\n"


@dataclass
class Figure:
    """One line of the table."""

    database: str
    models: int
    call: str
    milliseconds: float

    @property
    def limit(self) -> float:
        return LIMITS[self.call]


def measure(app: Any, token: str, models: int, calls: int) -> Iterator[tuple[str, float]]:
    """Median milliseconds of each call."""
    middle = seeding.model_name(models // 2)

    def get(path: str) -> Callable[[], Any]:
        return lambda: EnvironBuilder(path=path, headers={"Authorization": f"Bearer {token}"}).get_environ()

    numbers = itertools.count()

    def create() -> Any:
        number = next(numbers)
        body = {
            "files": [
                {"path": "model.joblib", "digest": seeding.MODEL_FILE},
                {"path": "sample.jsonl", "digest": seeding.SAMPLE},
            ],
            "format": "joblib",
            "card": CARD.format(number),
            "metrics": [{"name": "accuracy", "value": 0.9, "dataset": "october", "higher_is_better": True}],
            "params": {"C": 1.0},
            "environment": {"python": "3.11.7", "distributions": {"scikit-learn": "1.9.1"}},
        }
        path = f"/api/v1/models/{seeding.model_name(number % models)}/versions"
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid4())}
        return EnvironBuilder(path=path, method="POST", json=body, headers=headers).get_environ()

    cursor = _deep_cursor(app, token, models)
    yield "version by reference", _median(app, get(f"/api/v1/models/{middle}/versions/champion"), calls)
    yield "page of 100 models", _median(app, get("/api/v1/models?limit=100"), calls)
    yield "a later page of 100", _median(app, get(f"/api/v1/models?limit=100&cursor={cursor}"), calls)
    yield "create version", _median(app, create, calls)


def _deep_cursor(app: Any, token: str, models: int) -> str:
    """A cursor half-way down the list."""
    cursor = ""
    for _ in range(models // 200 // 2):
        path = f"/api/v1/models?limit=200&cursor={cursor}"
        environ = EnvironBuilder(path=path, headers={"Authorization": f"Bearer {token}"}).get_environ()
        cursor = json.loads(_call(app, environ))["next"]
    return cursor


def _median(app: Any, make: Callable[[], Any], calls: int) -> float:
    times = []
    for place in range(calls + 20):
        environ = make()
        began = time.perf_counter()
        _call(app, environ)
        if place >= 20:
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _call(app: Any, environ: Any) -> bytes:
    body, status, _ = run_wsgi_app(app, environ)
    answer = b"".join(body)
    if int(status[:3]) >= 300:
        raise SystemExit(f"{environ['PATH_INFO']}: {status} {answer.decode()}")
    return answer


@contextmanager
def sqlite(folder: Path) -> Iterator[Database]:
    """A database file."""
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    yield database
    database.close()


@contextmanager
def postgres(url: str) -> Iterator[Database]:
    """A database beside the one of ``url``, dropped at the end."""
    name = f"countersign_bench_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        database = Database(sa.make_url(url).set(database=name).render_as_string(hide_password=False))
        try:
            yield database
        finally:
            database.close()
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def run(opened: Any, kind: str, models: int, calls: int, folder: Path) -> list[Figure]:
    """Seed one database and measure."""
    with opened as database:
        schema.upgrade(database)
        token = seeding.seed(database, models)
        settings = Settings(data_dir=folder, secret_key="b" * 48, log_level="WARNING")
        app = create_app(settings, database)
        return [Figure(kind, models, call, spent) for call, spent in measure(app, token, models, calls)]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--calls", type=int, default=300)
    chosen = parser.parse_args(arguments)
    logs.configure("WARNING")
    figures: list[Figure] = []
    for models in chosen.models:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            figures += run(sqlite(folder), "SQLite", models, chosen.calls, folder)
            if url := os.environ.get("COUNTERSIGN_TEST_POSTGRES"):
                figures += run(postgres(url), "PostgreSQL", models, chosen.calls, folder)
    out = io.StringIO()
    print(f"{'database':<12}{'models':>9}  {'call':<22}{'p50 ms':>8}{'limit':>7}{'of limit':>10}", file=out)
    for figure in figures:
        share = figure.milliseconds / figure.limit
        print(
            f"{figure.database:<12}{figure.models:>9,}  {figure.call:<22}{figure.milliseconds:>8.2f}{figure.limit:>7.1f}{share:>9.0%}",
            file=out,
        )
    sys.stdout.write(out.getvalue())
    return int(any(figure.milliseconds > figure.limit for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
