"""How long an image takes to be ready, and what it holds in memory."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.figures import Figure, Result, Target
from bench.processes import MB
from bench.serving import ours, servers
from bench.serving.answers import Check
from bench.serving.cases import Case
from bench.serving.load import run
from bench.serving.rest_client import RestConnection
from bench.serving.rounds import Plan
from bench.serving.sides import Side

COMPILED = ("logistic", "forest", "text")
STARTS = 5
ASKED_SECONDS = 0.5
READY = "/v2/health/ready"
LIBRARIES = "import uvloop, httptools, orjson, numpy, grpc, onnxruntime, cryptography, prometheus_client"


def life(cases: Sequence[Case], prepared: dict[str, Any], sides: Sequence[Side], plan: Plan) -> Result:
    """An image of three compiled models, started again and again; what the others took and hold stands beside."""
    result = Result()
    asked = {case.name: case for case in cases}
    image = ours.build({name: prepared[name] for name in COMPILED}, "three-compiled")
    seconds, bare, resident, alone, together = [], [], [], [], []
    for number in range(STARTS):
        plan.say(f"starting an image of {len(COMPILED)} compiled models, {number + 1} of {STARTS}")
        bare.append(_bare_seconds())
        with servers.all_stopped() as started:
            for name in ("first", "second"):
                started.append(ours.serve(image, f"{ours.NAME} {name}").wait_ready(READY))
                _ask([asked[case] for case in COMPILED], started[-1])
                if name == "first":
                    seconds.append(started[0].ready_seconds)
                    held = started[0].memory()
                    resident.append(held.rss / MB)
                    alone.append(held.pss / MB)
            together.append(sum(server.memory().pss for server in started) / MB)
    peers = {side.name: next(iter(side.servers.values())) for side in sides if side.name != ours.NAME}
    ready = "; ".join(f"{name} {server.ready_seconds:.1f} s" for name, server in peers.items())
    memory = {name: server.memory().rss / MB for name, server in peers.items()}
    result.figures = [
        Figure(
            f"ready, image of {len(COMPILED)} compiled models",
            statistics.median(seconds),
            "s",
            statistics.median(bare),
            "bare Python imports its libraries",
            Target(0.7),
            f"{min(seconds):.2f} to {max(seconds):.2f} s; {ready}",
        ),
        Figure(
            f"resident memory, {len(COMPILED)} compiled models",
            statistics.median(resident),
            "MB",
            min(memory.values()),
            min(memory, key=lambda name: memory[name]),
            Target(100),
            "; ".join(f"{name} {value:,.0f} MB" for name, value in memory.items()),
        ),
        Figure(
            "memory of two such processes, shared pages once",
            statistics.median(together),
            "MB",
            statistics.median(alone),
            "one process",
            None,
            "large arrays of the models are in it once, mapped from their files; what ONNX Runtime builds of trees twice",
        ),
    ]
    return result


def _bare_seconds() -> float:
    """Seconds in which Python imports what the runtime is made of, with nothing of ours."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", LIBRARIES], check=True, env={**os.environ}, timeout=60)
    return time.perf_counter() - began


def _ask(cases: Sequence[Case], server: servers.Server) -> None:
    """Have every model answer for a while: memory that only grows with the first requests counts, too."""
    for case in cases:
        side = ours.side([case], server)
        check = Check(ours.NAME, side.read, [[label] for label in case.expected])
        run(RestConnection, server.port, side.requests(case), check, connections=16, seconds=ASKED_SECONDS)
