"""A model's way from push to serving in an installation, as seconds between what people notice."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bench.figures import NotMeasured
from bench.installation import HOME, TEAM, Installation
from bench.processes import Watch
from builders.engine import connect
from builders.layers import LayerStore
from registry import approvals, clock, decisions, references
from registry.orm.approval import Outcome
from registry.orm.image import Build, BuildState, Bundle, Image
from registry.orm.job import Job
from tools.stack import ROOT

VOICE = ROOT / "examples" / "the_voice"
MODEL = f"{TEAM}/the-voice"
PATIENCE_SECONDS = 600
LOOK_EVERY = 0.05
LOAD = """
import json, sys, joblib
model = joblib.load(sys.argv[1])
model.predict([json.loads(line)["text"] for line in open(sys.argv[2])])
"""


@dataclass(frozen=True)
class Pushed:
    """Seconds until the client came back with the checks done, and the version's number."""

    total: float
    cpu: float
    number: int


@dataclass(frozen=True)
class Served:
    """Seconds from the last signature to the first 200 of the image that came of it, and what they went into."""

    total: float
    cpu: float
    waited: float
    baked: float
    started: float


def trained() -> Path:
    """A push folder with The Voice's first version, made once."""
    folder = HOME / "model"
    if not (folder / "model.joblib").is_file():
        partial = folder.with_suffix(".new")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _run([str(VOICE / "train.py"), "--version", "1", "--out", str(partial)], {})
        partial.rename(folder)
    return folder


def bare_load(folder: Path) -> float:
    """Seconds in which Python, with nothing of ours, loads the model and predicts the sample once."""
    watch = Watch()
    _run(["-c", LOAD, str(folder / "model.joblib"), str(folder / "sample.jsonl")], {})
    return watch.wall()


def push(place: Installation, folder: Path, number: int) -> Pushed:
    """Push the model with another card, and wait for its checks, as a scientist at a shell does."""
    card = place.folder / "card.md"
    card.write_text((folder / "card.md").read_text() + f"\nMeasurement {number} of {clock.rfc3339(clock.now())}.\n")
    command = ["-m", "countersign", "push", str(folder), "--card", str(card), "--name", MODEL, "--wait", "-o", "name"]
    environ = {"COUNTERSIGN_URL": place.stack.url, "COUNTERSIGN_TOKEN": place.token, "NO_COLOR": "1"}
    watch = Watch()
    said = _run(command, environ | {"PYTHONPATH": str(ROOT / "client")})
    return Pushed(watch.wall(), watch.cpu(), int(said.strip().splitlines()[-1].rpartition(":")[2]))


def check_seconds(place: Installation, number: int) -> tuple[float, float]:
    """How long the version's checks waited for the worker, and how long they took."""
    with place.database.read() as session:
        version = references.get_version(session, MODEL, number, actor=place.actor("sara"))
        return _job_seconds(session, version.id)


@contextmanager
def approved_and_served(place: Installation, number: int) -> Iterator[Served]:
    """Submit, sign twice, wait for the image, run it as the demo does; it is served until the block ends."""
    request = submit(place, number)
    _sign(place, request, "victor")
    _sign(place, request, "cora")
    watch = Watch()
    build = _baked(place, number)
    baked = watch.wall()
    summary = place.folder / "serving.json"
    summary.unlink(missing_ok=True)
    place.stack.start("serving", [sys.executable, "-m", "builders", "run", MODEL, "--summary", str(summary)])
    try:
        _ready(place, summary)
        ready, cpu = watch.wall(), watch.cpu()
        with place.database.read() as session:
            waited, _ = _job_seconds(session, build)
        yield Served(ready, cpu, waited, baked - waited, ready - baked)
    finally:
        child = place.stack.children.pop("serving")
        child.terminate()
        child.wait(timeout=60)


def submit(place: Installation, number: int) -> Any:
    """Ask for the version's release; the id of the request."""
    actor = place.actor("sara")
    terms = approvals.Terms(["Routing customer feedback"], ["production"])
    with place.database.write() as session:
        version = references.get_version(session, MODEL, number, actor=actor)
        request = approvals.submit(session, version, actor=actor, note="For measuring.", terms=terms)
        text = "No bundle of advisories is imported where this is measured."
        approvals.answer(session, request, actor=actor, about="advisories-unknown", text=text)
        return request.id


def _sign(place: Installation, request_id: Any, username: str) -> None:
    actor = place.actor(username)
    with place.database.write() as session:
        request = approvals.get_request(session, request_id, actor=actor)
        decisions.decide(
            session,
            request,
            actor=actor,
            decision_id=clock.new_id(),
            outcome=Outcome.APPROVE,
            reason="Measured; fit for measuring.",
            seen_release=request.release_digest,
            seen_dossier=request.dossier_digest,
            method="password+totp",
        )


def _baked(place: Installation, number: int) -> Any:
    """Wait for the build that holds the version; returns the id of the build."""
    end = time.monotonic() + PATIENCE_SECONDS
    newest = select(Build).join(Bundle, Bundle.id == Build.bundle_id).where(Bundle.full_name == MODEL)
    while time.monotonic() < end:
        place.stack.check("worker")
        with place.database.read() as session:
            build = session.scalars(newest.order_by(Build.created_at.desc()).limit(1)).one()
            if build.state is BuildState.FAILED:
                raise NotMeasured(f"the build of version {number} failed: {build.error}")
            if build.state is BuildState.DONE:
                return build.id
        time.sleep(LOOK_EVERY)
    raise NotMeasured(f"version {number} was not baked within {PATIENCE_SECONDS} s")


def _ready(place: Installation, summary: Path) -> None:
    """Wait for the first 200 on /v2/health/ready."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not summary.exists():
        place.stack.check("serving")
        if time.monotonic() > end:
            raise NotMeasured(f"the image did not start within {PATIENCE_SECONDS} s")
        time.sleep(LOOK_EVERY)
    address = json.loads(summary.read_text())["rest_url"]
    with urllib.request.urlopen(f"{address}/v2/health/ready", timeout=30) as answer:
        answer.read()


def cool(place: Installation) -> None:
    """As a worker that has baked nothing yet: no layers, none of the images made here. Wheels stay, and the engine's base."""
    place.stack.stop_one("worker")
    shutil.rmtree(place.folder / "layers")
    if place.settings.isolation == "container":
        engine = connect(os.environ)
        with place.database.read() as session:
            for image in session.scalars(select(Image)):
                engine.remove_image(image.engine_id)
        engine.close()
    place.stack.start_worker()


def image_sizes(place: Installation) -> tuple[int, int, int]:
    """Bytes of the newest image's base, of what it adds to that, and of that compressed as registries keep it."""
    layers = LayerStore(place.folder / "layers")
    with place.database.read() as session:
        told = session.scalars(select(Image.layers).order_by(Image.created_at.desc()).limit(1)).one()
    added = [layer for layer in told if layer["role"] != "base"]
    compressed = sum(_gzipped(layers.path(layer["diff_id"])) for layer in added)
    base = sum(layer["size"] for layer in told) - sum(layer["size"] for layer in added)
    return base, sum(layer["size"] for layer in added), compressed


def _gzipped(path: Path) -> int:
    squeezed, size = zlib.compressobj(6, wbits=31), 0
    with path.open("rb") as layer:
        while part := layer.read(1 << 20):
            size += len(squeezed.compress(part))
    return size + len(squeezed.flush())


def _job_seconds(session: Session, subject_id: Any) -> tuple[float, float]:
    """Seconds in the queue, and at work."""
    job = session.scalars(select(Job).where(Job.subject_id == subject_id)).one()
    if job.started_at is None or job.finished_at is None:
        raise NotMeasured(f"the {job.kind} job did not finish: it is {job.state}")
    return (job.started_at - job.created_at).total_seconds(), (job.finished_at - job.started_at).total_seconds()


def _run(command: list[str], environ: dict[str, str]) -> str:
    """Run Python; its output.

    :raises NotMeasured: it failed, with its last words.
    """
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    if done.returncode:
        raise NotMeasured(f"{' '.join(command[:4])} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
