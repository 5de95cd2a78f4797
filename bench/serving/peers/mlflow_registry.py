"""MLflow's own registry: the calls that bench/api.py measures of the portal, as whole WSGI calls on SQLite.

    python mlflow_registry.py MODELS CALLS, with the database in _MLFLOW_SERVER_FILE_STORE

Prints {"call": [median in ms, 99th percentile in ms]} as JSON. As many models as asked for, each with one version.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from mlflow.server import app
from werkzeug.test import EnvironBuilder, run_wsgi_app

WARM_UP_CALLS = 20
API = "/api/2.0/mlflow"


def call(path: str, *, method: str = "GET", body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call, through all of MLflow's middleware."""
    builder = EnvironBuilder(path=f"{API}/{path}", method=method, json=body, base_url="http://localhost:5000")
    answer, status, _ = run_wsgi_app(app, builder.get_environ())
    said = b"".join(answer)
    if int(status[:3]) >= 300:
        raise SystemExit(f"{path}: {status} {said.decode()}")
    found: dict[str, Any] = json.loads(said)
    return found


def name(number: int) -> str:
    return f"model-{number:06}"


def create(number: int) -> None:
    body = {"name": name(number), "source": "s3://bucket/model", "tags": [{"key": "purpose", "value": "feedback"}]}
    call("model-versions/create", method="POST", body=body)


def seed(models: int) -> None:
    for number in range(models):
        call("registered-models/create", method="POST", body={"name": name(number)})
        create(number)
    alias = {"name": name(models // 2), "alias": "champion", "version": "1"}
    call("registered-models/alias", method="POST", body=alias)


def spent(ask: Callable[[int], object], calls: int) -> list[float]:
    wall = []
    for place in range(calls + WARM_UP_CALLS):
        began = time.perf_counter()
        ask(place)
        if place >= WARM_UP_CALLS:
            wall.append((time.perf_counter() - began) * 1000)
    return [statistics.median(wall), statistics.quantiles(wall, n=100)[98]]


def main(models: int, calls: int) -> None:
    seed(models)
    reference = f"registered-models/alias?name={name(models // 2)}&alias=champion"
    found = {
        "version by reference": spent(lambda _: call(reference), calls),
        "first page of 100 models": spent(lambda _: call("registered-models/search?max_results=100"), calls),
        "create version": spent(lambda place: create(place % models), calls),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
