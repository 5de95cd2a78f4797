"""Countersign's side: an image sealed as the builder seals it, served by the runtime in it."""

import hashlib
import pickle
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib

from bench.serving import cases as models
from bench.serving import payloads
from bench.serving.cases import Case
from bench.serving.servers import HOME, Server, free_port, start
from bench.serving.sides import Side, infer
from tests.serving import serving_image
from tools.stack import ROOT

NAME = "Countersign"
# What decides how a model is trained and compiled: while it is unchanged, so are the models.
SOURCES = ("bench/serving/cases.py", "builders/compile/*.py", "serving/estimators.py", "serving/introspection.py")


def trained(say: Callable[[str], None]) -> tuple[list[Case], dict[str, Any]]:
    """The cases and what an image holds of each; made once, since comparing a forest on its edges takes a minute."""
    seen = hashlib.sha256()
    for path in (path for pattern in SOURCES for path in sorted(ROOT.glob(pattern))):
        seen.update(path.read_bytes())
    kept = HOME / "cases" / f"{seen.hexdigest()[:16]}.pickle"
    if not kept.is_file():
        say("training and compiling the models (once)")
        cases = models.make()
        found = {case.name: _prepared(case) for case in cases}
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps((cases, found)))
    made: tuple[list[Case], dict[str, Any]] = pickle.loads(kept.read_bytes())
    return made


def save(cases: Sequence[Case], folder: Path) -> Path:
    """The models as files, which all sides load."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for case in cases:
        joblib.dump(case.estimator, folder / f"{case.name}.joblib")
    return folder


def build(prepared: dict[str, Any], name: str) -> serving_image.Image:
    """An image of these models, each on a route of its name."""
    root = HOME / "images" / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    members = {f"bench/{case}:1": found for case, found in prepared.items()}
    return serving_image.build(root, members, {case: {f"bench/{case}:1": 100} for case in prepared})


def serve(image: serving_image.Image, name: str = NAME, log_level: str = "info") -> Server:
    """Start it as the image's entry point does; it is not ready yet. Requests are logged, as by default."""
    port, grpc_port = free_port(), free_port()
    ports = ["--host", "127.0.0.1", "--rest-port", str(port), "--grpc-port", str(grpc_port)]
    command = [sys.executable, "-I", image.path("app", "start.py"), "serve", "--root", image.root, *ports]
    environ = {"COUNTERSIGN_KEY_FINGERPRINT": image.signer.fingerprint, "COUNTERSIGN_LOG_LEVEL": log_level}
    return start(name, command, port=port, grpc_port=grpc_port, environ=environ)


def side(cases: Sequence[Case], server: Server) -> Side:
    """What it is asked."""
    return Side(NAME, {case.name: server for case in cases}, infer, payloads.oip, payloads.read_oip)


def _prepared(case: Case) -> Any:
    folder = HOME / "training" / case.name
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # of scikit-learn, about the rows at the edges of what it takes
        found = serving_image.train(case.estimator, case.sample, folder)
        return serving_image.compiled(found) if case.compiles else found
