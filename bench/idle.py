"""`make run` as a user starts it: how long until it answers, and what portal and worker hold when nobody asks."""

import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.figures import Figure, NotMeasured, Options, Result, Target
from bench.installation import HOME, base_environ, containers_missing
from bench.processes import MB, Watch
from tools.stack import ROOT, fresh

START_SECONDS = 120
SETTLE_SECONDS = 5
LOOK_EVERY = 0.01
PYTHON = ROOT / ".venv-run" / "bin" / "python"
BARE = "import flask\napp = flask.Flask('bare')\napp.get('/healthz')(lambda: 'ok')\n"
SERVER = ("-m", "gunicorn", "--worker-class", "gthread", "--threads", "8", "--no-control-socket")
PAGES = ("/login", "/healthz", "/readyz", "/metrics", "/.well-known/countersign.json")
PARTS = {"portal": re.compile(r"gunicorn"), "worker": re.compile(r"-m builders")}


@dataclass(frozen=True)
class Start:
    """Seconds to the first answer, and of processors until then."""

    wall: float
    cpu: float


def measure(options: Options) -> Result:
    """Both isolations where an engine answers."""
    processes.need_proc()
    if not PYTHON.exists():
        raise NotMeasured(".venv-run is not there; `make run` or `make bench` installs it")
    result = Result()
    bare_seconds, bare_memory = _bare(options)
    isolations = ["process"]
    if missing := containers_missing():
        result.notes.append(f"container isolation was not measured: {missing}")
    else:
        isolations.append("container")
    for isolation in isolations:
        fresh_starts, starts = [], []
        folder = HOME / f"idle-{isolation}"
        for number in range(options.repeats):
            options.say(f"make run, {isolation} isolation, {number + 1} of {options.repeats}")
            fresh(folder, keep=frozenset({"layers"}))
            with _make_run(folder, isolation) as (_, start):
                fresh_starts.append(start)
            with _make_run(folder, isolation) as (pid, start):
                starts.append(start)
                if number == options.repeats - 1:
                    memory = _settled(pid, folder)
        for what, taken in (("empty data folder", fresh_starts), ("again", starts)):
            result.figures.append(
                Figure(
                    f"make run to first 200, {what}, {isolation}",
                    statistics.median(each.wall for each in taken),
                    "s",
                    bare_seconds,
                    "gunicorn with a bare Flask app",
                    Target(3),
                    _spread(taken),
                )
            )
        total = memory["portal"] + memory["worker"]
        each = ", ".join(f"{part} {memory[part].rss / MB:.0f} / {memory[part].pss / MB:.0f}" for part in PARTS)
        result.figures.append(
            Figure(
                f"portal and worker idle, {isolation}",
                total.rss / MB,
                "MB",
                bare_memory.rss / MB,
                "gunicorn with a bare Flask app",
                Target(300),
                f"RSS / PSS: {each}, together {total.rss / MB:.0f} / {total.pss / MB:.0f}",
            )
        )
        result.notes.append(
            f"{isolation}: `tools/run.py`, which only watches the two, holds {memory['watcher'].rss / MB:.0f} MB more"
        )
    return result


def _spread(taken: Sequence[Start]) -> str:
    walls = [each.wall for each in taken]
    cpu = statistics.median(each.cpu for each in taken)
    return f"median of {len(walls)}, {min(walls):.1f} to {max(walls):.1f} s; CPU {cpu:.1f} s"


@contextmanager
def _make_run(folder: Path, isolation: str) -> Iterator[tuple[int, Start]]:
    """``make run`` in ``folder``; yields its process id and the time to the first 200 on /healthz."""
    port = _free_port()
    environ = {**os.environ, **base_environ(isolation), "COUNTERSIGN_DATA_DIR": str(folder), "PORT": str(port)}
    log = folder / "make-run.log"
    watch = Watch()
    with _started(["make", "run"], environ, log) as child:
        start = _first_answer(child, port, watch, log)
        _wait_for_line(log, "Stop")  # stopped in mid-start, it would not be what the next one finds
        yield child.pid, start


def _bare(options: Options) -> tuple[float, processes.Memory]:
    """The same server with nothing of ours: seconds to the first 200, and memory."""
    folder = HOME / "idle-bare"
    fresh(folder, keep=frozenset())
    (folder / "bare.py").write_text(BARE)
    taken, log = [], folder / "bare.log"
    memory = processes.Memory(0, 0, 0)
    for _ in range(options.repeats):
        port = _free_port()
        command = [str(PYTHON), *SERVER, "--bind", f"127.0.0.1:{port}", "--chdir", str(folder), "bare:app"]
        watch = Watch()
        with _started(command, dict(os.environ), log) as child:
            taken.append(_first_answer(child, port, watch, log))
            memory = processes.memory(processes.family(child.pid))
    return statistics.median(each.wall for each in taken), memory


@contextmanager
def _started(command: list[str], environ: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A child in a group of its own, stopped as Ctrl-C would."""
    with log.open("wb") as sink:
        child = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=60)


def _first_answer(child: "subprocess.Popen[bytes]", port: int, watch: Watch, log: Path) -> Start:
    """Time from the start of ``watch`` to the first 200 on /healthz."""
    while watch.wall() < START_SECONDS and child.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                if answer.status == 200:
                    return Start(watch.wall(), watch.cpu())
        except OSError:
            time.sleep(LOOK_EVERY)
    raise NotMeasured(f"no answer from {child.args}: {log.read_text(errors='replace')[-500:]}")


def _settled(pid: int, folder: Path) -> dict[str, processes.Memory]:
    """Memory of portal and worker after a first round of requests and a rest."""
    log = (folder / "make-run.log").read_text()
    url = next(line.split()[1] for line in log.splitlines() if line.startswith("Portal"))
    for path in PAGES:
        with urllib.request.urlopen(url + path, timeout=30) as answer:
            answer.read()
    _wait_for_line(folder / "logs" / "worker.log", "isolation: ")
    time.sleep(SETTLE_SECONDS)
    everybody = processes.family(pid)
    found = {
        part: processes.memory(each for each in everybody if pattern.search(processes.command(each)))
        for part, pattern in PARTS.items()
    }
    if not all(memory.rss for memory in found.values()):
        raise NotMeasured(f"portal or worker was not found among {[processes.command(each) for each in everybody]}")
    return found | {"watcher": processes.memory(each for each in everybody if "run.py" in processes.command(each))}


def _wait_for_line(log: Path, start: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if log.exists() and any(start in line for line in log.read_text(errors="replace").splitlines()):
            return
        time.sleep(0.05)
    raise NotMeasured(f"{log} does not say {start!r} after {START_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
