"""Servers under measurement: started, waited for, watched, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from bench.figures import NotMeasured
from bench.serving import THREADS
from tools.stack import ROOT

HOME = ROOT / "var" / "bench" / "serving"
START_SECONDS = 180
LOOK_EVERY = 0.01
# These choose another, slower kernel of the numeric libraries, for machines on which the chosen one is broken.
NOT_PASSED_ON = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass
class Server:
    """One process, with all that came of it."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    grpc_port: int = 0
    ready_seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def cpu(self) -> float:
        """Seconds its processes have worked."""
        return processes.cpu_seconds(processes.family(self.process.pid))

    def memory(self) -> processes.Memory:
        """What its processes hold."""
        held = processes.Memory(0, 0, 0)
        for pid in processes.family(self.process.pid):
            with contextlib.suppress(OSError, KeyError):  # some start short helpers, which may just have ended
                held += processes.memory([pid])
        return held

    def wait_ready(self, path: str) -> "Server":
        """Until ``path`` answers 200; notes how long it took.

        :raises NotMeasured: it ended, or is not ready in time.
        """
        end = time.perf_counter() + START_SECONDS
        while time.perf_counter() < end:
            if self.process.poll() is not None:
                raise NotMeasured(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")
            with contextlib.suppress(OSError, urllib.error.URLError):
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                    answer.read()
                self.ready_seconds = time.perf_counter() - self.began
                return self
            time.sleep(LOOK_EVERY)
        raise NotMeasured(f"{self.name} was not ready after {START_SECONDS} s: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, in one line."""
        return " ".join(self.log.read_text(errors="replace").split())[-400:]

    def stop(self) -> None:
        """End it, and all that came of it."""
        family = processes.family(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def start(
    name: str, command: Sequence[str | Path], *, port: int, grpc_port: int = 0, environ: dict[str, str] | None = None
) -> Server:
    """Start a server; it is not ready yet."""
    log = HOME / "logs" / f"{name.replace(' ', '-').lower()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if key not in NOT_PASSED_ON}
    with log.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=HOME,
            env=kept | THREADS | (environ or {}),
        )
    return Server(name, process, port, log, grpc_port, began=began)


@contextlib.contextmanager
def all_stopped() -> Iterator[list[Server]]:
    """A list of servers, which are ended with the block."""
    servers: list[Server] = []
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


def pin(server: Server, cores: set[int]) -> None:
    """Keep a server, with every thread it has so far and those to come, on some cores."""
    for pid in processes.family(server.process.pid):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread.name), cores)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
