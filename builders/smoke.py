"""The last check before release: the image starts, hardened and without network, and answers as approved."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builders import unpack
from builders.containers import Container, Hardened
from builders.engine import Engine
from builders.jobs import Job
from builders.plan import REST_PORT, START, BuildPlan
from builders.platform import Platform
from builders.tarball import Layer
from registry import faults

READY_SECONDS = 120
ASK_SECONDS = 120
MAX_REPORT = 4 << 20
ANSWERS_DIFFER = 4  # exit code of serving.errors.AnswersDiffer
_WAIT = f"""
import http.client, sys, time
end = time.monotonic() + {READY_SECONDS}
while time.monotonic() < end:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", {REST_PORT}, timeout=2)
        connection.request("GET", "/v2/health/ready")
        if connection.getresponse().status == 200:
            sys.exit(0)
    except OSError:
        pass
    time.sleep(0.05)
sys.exit(1)
"""


def test(job: Job, platform: Platform, built: BuildPlan, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Start the image, ask every version its approved rows, stop it.

    :param rows: for versions whose sample may not travel in the image, ``{ref: {"rows", "answers"}}``.
    :returns: a report ``{"outcome", "isolation", "summary", "differs", "models"}``; ``differs``: it answers, but otherwise.
    """
    try:
        if platform.engine:
            said = _in_container(job, platform.engine, platform, built, rows)
        else:
            said = _in_process(job, platform, built, rows)
    except NotReady as error:
        return {
            "outcome": "failed",
            "isolation": platform.isolation,
            "summary": str(error),
            "differs": error.differs,
            "models": [],
        }
    problems = [f"{model['ref']}: {problem}" for model in said["models"] for problem in model["problems"]]
    count = sum(model["rows"] for model in said["models"])
    summary = (
        f"The image started and answered {count} approved rows of {len(said['models'])} versions as approved."
        if said["ok"]
        else f"The image does not answer as approved: {'; '.join(problems)[:1500]}"
    )
    return {
        "outcome": "passed" if said["ok"] else "failed",
        "isolation": platform.isolation,
        "summary": summary,
        "differs": not said["ok"],
        "models": said["models"],
    }


class NotReady(Exception):
    """The image did not become ready, or its smoke command did not report."""

    def __init__(self, message: str, *, differs: bool = False) -> None:
        """:param differs: it refused to start because a model does not answer its sealed rows as approved."""
        super().__init__(message)
        self.differs = differs


def _in_container(
    job: Job, engine: Engine, platform: Platform, built: BuildPlan, rows: Mapping[str, Any]
) -> dict[str, Any]:
    image_id = engine.load(built.image, platform.layers)
    faults.reach("engine-load")
    job.log(f"loaded as {image_id}")
    with engine.start(hardened(image_id, job.name, platform.release_key.fingerprint)) as container:
        faults.reach("engine-start")
        if container.exec(["python3", "-I", "-c", _WAIT], timeout=READY_SECONDS + 10).exit_code != 0:
            raise _not_ready(container.logs(), container.state().exit_code)
        command = ["python3", "-I", START, "smoke", *(["--rows", "-"] if rows else [])]
        outcome = container.exec(
            command, stdin=json.dumps(rows).encode() if rows else b"", timeout=ASK_SECONDS, limit=MAX_REPORT
        )
        return _report(outcome.stdout, outcome.stderr)


def hardened(image_id: str, name: str, fingerprint: str, *, ports: Sequence[int] = ()) -> Hardened:
    """How a serving container runs: it knows the key that must have sealed it, and nothing else of the worker."""
    return Hardened(image_id, name, environment={"COUNTERSIGN_KEY_FINGERPRINT": fingerprint}, ports=ports)


def _in_process(job: Job, platform: Platform, built: BuildPlan, rows: Mapping[str, Any]) -> dict[str, Any]:
    root = platform.scratch_root() / job.name
    with running(built.image.layers, platform, root) as address:
        command = [
            sys.executable,
            "-I",
            str(root / START.lstrip("/")),
            "smoke",
            "--root",
            str(root),
            "--rest",
            address["rest_url"],
        ]
        done = subprocess.run(
            [*command, *(["--rows", "-"] if rows else [])],
            input=json.dumps(rows).encode(),
            capture_output=True,
            env=process_environment(platform),
            timeout=ASK_SECONDS,
            check=False,
        )
        return _report(done.stdout, done.stderr)


def process_environment(platform: Platform) -> dict[str, str]:
    """What a model process may know: nothing of the worker's environment but the path."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "LANG": "C.UTF-8",
        "COUNTERSIGN_KEY_FINGERPRINT": platform.release_key.fingerprint,
    }


@contextmanager
def running(layers: Sequence[Layer], platform: Platform, root: Path) -> Iterator[dict[str, str]]:
    """Unpack an image for the host into ``root`` and run it on loopback; yields ``rest_url`` and ``grpc_target``."""
    root.mkdir(parents=True)
    unpack.unpack(layers, platform.layers, root)
    ports = root.parent / f"{root.name}.ports"
    ports.unlink(missing_ok=True)
    command = [sys.executable, "-I", str(root / START.lstrip("/")), "serve", "--root", str(root), "--host", "127.0.0.1"]
    command += ["--rest-port", "0", "--grpc-port", "0", "--port-file", str(ports)]
    log = root.parent / f"{root.name}.log"
    with log.open("ab") as sink:
        server = subprocess.Popen(
            command, env=process_environment(platform), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    try:
        yield _wait(server, ports, log)
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        ports.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)


def wait_until_ready(port: int, container: Container) -> None:
    """Wait until a container with published ports is ready.

    :raises NotReady: it ended, or the time is up; the message holds its last words.
    """
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and container.state().running:
        if _is_ready(port):
            return
        time.sleep(0.05)
    raise _not_ready(container.logs(), container.state().exit_code)


def _wait(server: subprocess.Popen[bytes], ports: Path, log: Path) -> dict[str, str]:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        if ports.exists():
            found = json.loads(ports.read_text())
            if _is_ready(found["rest"]):
                return {"rest_url": f"http://127.0.0.1:{found['rest']}", "grpc_target": f"127.0.0.1:{found['grpc']}"}
        time.sleep(0.05)
    raise _not_ready(log.read_text(errors="replace"), server.poll())


def _not_ready(log: str, exit_code: int | None) -> NotReady:
    return NotReady(f"The image did not become ready: {_last(log)}", differs=exit_code == ANSWERS_DIFFER)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _report(stdout: bytes, stderr: bytes) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(stdout)
    except ValueError as error:
        raise NotReady(f"The smoke test did not report: {_last(stderr.decode(errors='replace'))}") from error
    return report


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-3:])[:800] or "it said nothing"
