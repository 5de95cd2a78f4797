"""Who is measured: each server with the addresses, the bodies and the answers it has for a model."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import NotMeasured
from bench.serving import environments, payloads
from bench.serving.cases import Case
from bench.serving.servers import HOME, Server, free_port, start

SCRIPTS = environments.FOLDER
Say = Callable[[str], None]


@dataclass(frozen=True)
class Side:
    """One way to have models answered. ``servers`` by the name of the case."""

    name: str
    servers: Mapping[str, Server]
    path: Callable[[Case], str]
    body: Callable[[Case, Sequence[Any]], bytes]
    read: Callable[[bytes], Any]
    typed: bool = False
    """Whether its tensors say what is in them, as MLServer wants it."""

    def requests(self, case: Case) -> list[bytes]:
        """One request for each row."""
        return payloads.requests(self.path(case), [self.body(case, [row]) for row in case.rows])


def peers(cases: Sequence[Case], models: Path, say: Say, started: list[Server]) -> tuple[list[Side], list[str]]:
    """Every peer that could be installed and started, and why the others were not.

    :param started: gets each server, so that it is ended whatever happens.
    """
    sides: list[Side] = []
    notes: list[str] = []
    for make in (_mlserver, _bentoml, _mlflow, _fastapi):
        try:
            sides += make(cases, models, say, started)
        except NotMeasured as error:
            notes.append(f"{make.__name__[1:]} was not measured: {error}")
    return sides, notes


def _fastapi(cases: Sequence[Case], models: Path, say: Say, started: list[Server]) -> list[Side]:
    programs = environments.ensure("fastapi", say)
    port = free_port()
    server = start("FastAPI", [programs / "python", SCRIPTS / "fastapi_server.py", models, str(port)], port=port)
    started.append(server)
    server.wait_ready("/ready")
    kinds = {"matrix": "numbers", "text": "text", "frame": "mixed"}

    def path(case: Case) -> str:
        return f"/{kinds[case.layout]}/{case.name}"

    servers = {case.name: server for case in cases}
    return [Side("FastAPI", servers, path, payloads.rows, payloads.read_predictions)]


def _mlserver(cases: Sequence[Case], models: Path, say: Say, started: list[Server]) -> list[Side]:
    """Models in the server's own process, which is its faster setting for models as small as these."""
    programs = environments.ensure("mlserver", say)
    port, grpc_port, folder = free_port(), free_port(), HOME / "mlserver"
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": grpc_port, "metrics_port": free_port()}
    settings |= {"parallel_workers": 0, "debug": False, "grpc_max_message_length": -1}
    for case in cases:
        (folder / case.name).mkdir(parents=True, exist_ok=True)
        told = {"name": case.name, "implementation": "mlserver_sklearn.SKLearnModel"}
        uri = {"parameters": {"uri": str(models / f"{case.name}.joblib")}}
        (folder / case.name / "model-settings.json").write_text(json.dumps(told | uri))
    (folder / "settings.json").write_text(json.dumps(settings))
    server = start("MLServer", [programs / "mlserver", "start", folder], port=port, grpc_port=grpc_port)
    started.append(server)
    server.wait_ready("/v2/health/ready")

    def body(case: Case, rows: Sequence[Any]) -> bytes:
        return payloads.oip(case, rows, typed=True)

    servers = {case.name: server for case in cases}
    return [Side("MLServer", servers, infer, body, payloads.read_oip, typed=True)]


def _bentoml(cases: Sequence[Case], models: Path, say: Say, started: list[Server]) -> list[Side]:
    programs = environments.ensure("bentoml", say)
    port = free_port()
    command: list[str | Path] = [programs / "bentoml", "serve", "bentoml_server:Models", "--working-dir", SCRIPTS]
    environ = {"BENCH_MODELS": str(models), "BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(HOME / "bentoml")}
    listen = ["--host", "127.0.0.1", "--port", str(port)]
    server = start("BentoML", [*command, *listen], port=port, environ=environ)
    started.append(server)
    server.wait_ready("/readyz")
    servers = {case.name: server for case in cases}

    def plain(case: Case) -> str:
        return f"/{case.name}"

    def batching(case: Case) -> str:
        return f"/{case.name}-batching"

    return [
        Side("BentoML", servers, plain, payloads.rows, _read_list),
        Side("BentoML batching", servers, batching, payloads.rows, _read_list),
    ]


def _mlflow(cases: Sequence[Case], models: Path, say: Say, started: list[Server]) -> list[Side]:
    """A server of its own for each model, as MLflow has it."""
    programs = environments.ensure("mlflow", say)
    environ = {"PATH": f"{programs}:/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY": "true"}
    servers = {}
    for case in cases:
        folder = HOME / "mlflow" / case.name
        if not (folder / "MLmodel").is_file():
            saving = [programs / "python", SCRIPTS / "mlflow_save.py", models / f"{case.name}.joblib", folder]
            saved = start(f"mlflow save {case.name}", saving, port=0, environ=environ)
            if saved.process.wait(180):
                raise NotMeasured(f"{case.name} cannot be saved: {saved.last_words()}")
        port = free_port()
        command: list[str | Path] = [programs / "mlflow", "models", "serve", "-m", folder, "--env-manager", "local"]
        listen = ["--host", "127.0.0.1", "--port", str(port)]
        servers[case.name] = start(f"MLflow {case.name}", [*command, *listen], port=port, environ=environ)
        started.append(servers[case.name])
        servers[case.name].wait_ready("/ping")  # one after the other: starting takes seconds of a core

    def path(_case: Case) -> str:
        return "/invocations"

    return [Side("MLflow", servers, path, payloads.mlflow, payloads.read_predictions)]


def infer(case: Case) -> str:
    """The protocol's address of a model."""
    return f"/v2/models/{case.name}/infer"


def _read_list(body: bytes) -> Any:
    return json.loads(body)
