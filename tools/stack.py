"""Starts a portal and a worker as child processes, waits until they answer, and stops what it started."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Trouble(Exception):
    """A part did not start, or ended by itself; the message says which, and where its log is."""


class Stack:
    """The processes of one installation in ``data_dir``; logs go to ``data_dir/logs``."""

    def __init__(self, data_dir: Path, environ: dict[str, str] | None = None) -> None:
        """Prepare folders; nothing is started yet."""
        self.data_dir = data_dir
        self.logs = data_dir / "logs"
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environ = {**os.environ, "COUNTERSIGN_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", **(environ or {})}
        self.environ["PYTHONPATH"] = str(ROOT)
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.url = ""

    def start_portal(self, port: int = 0) -> str:
        """Start the portal on loopback and return its address, once it answers."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.environ.setdefault("COUNTERSIGN_PUBLIC_URL", self.url)
        handle = listener.fileno()
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            f"fd://{handle}",
            "--worker-class",
            "gthread",
            "--threads",
            "8",
        ]
        command += ["--no-control-socket", "--graceful-timeout", "5", "--timeout", "0", "--log-level", "warning"]
        if self.environ.get("COUNTERSIGN_RELOAD"):
            command.append("--reload")
        self.start("portal", [*command, "wsgi:app"], keep=(handle,))
        listener.close()
        self.wait_for("portal", f"{self.url}/healthz", seconds=30)
        return self.url

    def start_worker(self) -> None:
        """Start a worker; it reports itself to the portal."""
        self.start("worker", [sys.executable, "-m", "builders"])

    def start(
        self, name: str, command: list[str], *, keep: tuple[int, ...] = (), environ: dict[str, str] | None = None
    ) -> None:
        """Start a child under ``name``; its output goes to a log file of that name."""
        with (self.logs / f"{name}.log").open("ab") as log:
            self.children[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=keep,
                start_new_session=True,
            )

    def wait_for(self, name: str, url: str, *, seconds: float) -> None:
        """Wait until ``url`` answers 200, or the child ended, or the time is up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check(name)
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise Trouble(f"the {name} did not answer at {url} within {seconds:.0f} s; see {self.logs / (name + '.log')}")

    def check(self, name: str) -> None:
        """Raise if the child ended by itself."""
        code = self.children[name].poll()
        if code is not None:
            tail = (self.logs / f"{name}.log").read_text(errors="replace").strip().splitlines()[-5:]
            raise Trouble(f"the {name} ended with code {code}: " + " | ".join(tail))

    def stop_one(self, name: str) -> None:
        """Stop one child, politely first."""
        child = self.children.pop(name)
        if child.poll() is None:
            _signal(child, signal.SIGTERM)
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL)
            child.wait()

    def stop(self) -> None:
        """Stop every child, newest first."""
        for name in reversed(list(self.children)):
            self.stop_one(name)


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def fresh(folder: Path, *, keep: frozenset[str]) -> None:
    """Empty ``folder`` except for the entries named."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in folder.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def exit_on_signals() -> None:
    """Turn SIGTERM into the same orderly stop as Ctrl-C, also where a shell started us with SIGINT ignored."""

    def stop(_number: int, _frame: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # make hands a SIGTERM on once more: stopping must not be stopped
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
