"""Calls of the API at many models, on both databases: whole WSGI calls with token check, access filter and JSON."""

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from bench import databases, registry_peer, seeding
from bench.figures import Figure, NotMeasured, Options, Result, Target
from bench.installation import HOME
from portal import create_app, logs
from registry.db import Database
from registry.settings import Settings

WARM_UP_CALLS = 20
CARD = "---\npurpose: Routes feedback\ntask: classification\nowner: payments\ncontact: '#voice'\n---\n# Model {}\n"
Environ = dict[str, Any]


@dataclass(frozen=True)
class Spent:
    """Milliseconds of a call: median, 99th percentile, and the median of this process's CPU time."""

    p50: float
    p99: float
    cpu: float


def measure(options: Options) -> Result:
    """Every call on every database at every size."""
    logs.configure("WARNING")
    result = Result()
    url = databases.postgres_url()
    for models in options.models:
        try:
            peer = registry_peer.mlflow(models, options)
        except NotMeasured as error:
            peer = {}
            result.notes.append(f"beside no peer at {models:,} models: {error}")
        result.figures += _on("SQLite", databases.sqlite(HOME / "api"), models, options, peer)
        if url:
            result.figures += _on("PostgreSQL", databases.postgres(url), models, options)
    if not url:
        result.notes.append(f"PostgreSQL was not measured: {databases.POSTGRES} is not set (tools/postgres sets it)")
    return result


def _on(
    kind: str,
    opened: AbstractContextManager[Database],
    models: int,
    options: Options,
    peer: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Figure]:
    """Seed one database, then measure. ``peer``: what MLflow takes for a call, in words."""
    with opened as database, tempfile.TemporaryDirectory() as folder:
        options.say(f"seeding {models:,} models on {kind}")
        owner = seeding.owner(database)
        seeding.models(database, owner, models)
        settings = Settings(data_dir=Path(folder), secret_key="b" * 48, log_level="WARNING")
        app, bare = create_app(settings, database), _bare(database)
        reading = _spent(bare, lambda: EnvironBuilder("/read").get_environ(), options.calls)
        writing = _spent(bare, lambda: EnvironBuilder("/write", method="POST").get_environ(), options.calls)
        for call, most, make in _calls(app, owner.token, models):
            options.say(f"{call}, {models:,} models, {kind}")
            spent = _spent(app, make, options.calls)
            writes = call == "create version"
            yield Figure(
                f"{call}, {models:,} models, {kind}",
                spent.p50,
                "ms",
                (writing if writes else reading).p50,
                "bare Flask, INSERT and COMMIT" if writes else "bare Flask, SELECT 1",
                Target(most),
                "; ".join(filter(None, (f"p99 {spent.p99:.1f} ms, CPU {spent.cpu:.1f} ms", peer.get(call)))),
            )


def _calls(app: Flask, token: str, models: int) -> Iterator[tuple[str, float, Callable[[], Environ]]]:
    """Each call, the most milliseconds its median may take, and what makes its requests."""
    headers = {"Authorization": f"Bearer {token}"}

    def get(path: str) -> Callable[[], Environ]:
        return lambda: EnvironBuilder(path=path, headers=headers).get_environ()

    numbers = itertools.count()

    def create() -> Environ:
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
        keyed = headers | {"Idempotency-Key": str(uuid4())}
        return EnvironBuilder(path=path, method="POST", json=body, headers=keyed).get_environ()

    middle = seeding.model_name(models // 2)
    yield "version by reference", 2.0, get(f"/api/v1/models/{middle}/versions/champion")
    yield "first page of 100 models", 6.0, get("/api/v1/models?limit=100")
    yield "page of 100 models half-way", 6.0, get(f"/api/v1/models?limit=100&cursor={_deep_cursor(app, get, models)}")
    yield "create version", 6.0, create


def _deep_cursor(app: Flask, get: Callable[[str], Callable[[], Environ]], models: int) -> str:
    """A cursor half-way down the list."""
    cursor = ""
    for _ in range(models // 200 // 2):
        cursor = json.loads(_call(app, get(f"/api/v1/models?limit=200&cursor={cursor}")()))["next"]
    return cursor


def _bare(database: Database) -> Flask:
    """What Flask and the same database take with nothing of ours: one statement, and one row stored."""
    app = Flask("bare")
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE bare (id INTEGER)"))
    insert = sa.text("INSERT INTO bare VALUES (1)")

    @app.get("/read")
    def read() -> str:
        with database.engine.connect() as connection:
            return str(connection.execute(sa.text("SELECT 1")).scalar())

    @app.post("/write")
    def write() -> str:
        with database.engine.begin() as connection:
            connection.execute(insert)
        return "1"

    return app


def _spent(app: Flask, make: Callable[[], Environ], calls: int) -> Spent:
    wall, cpu = [], []
    for place in range(calls + WARM_UP_CALLS):
        environ = make()
        began, computed = time.perf_counter(), time.process_time()
        _call(app, environ)
        if place >= WARM_UP_CALLS:
            cpu.append((time.process_time() - computed) * 1000)
            wall.append((time.perf_counter() - began) * 1000)
    return Spent(statistics.median(wall), statistics.quantiles(wall, n=100)[98], statistics.median(cpu))


def _call(app: Flask, environ: Environ) -> bytes:
    body, status, _ = run_wsgi_app(app, environ)
    answer = b"".join(body)
    if int(status[:3]) >= 300:
        raise NotMeasured(f"{environ['PATH_INFO']}: {status} {answer.decode()}")
    return answer
