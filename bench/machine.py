"""On what it was measured: machine, versions, and how much of the machine others were using."""

import contextlib
import os
import platform
import sqlite3
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import psycopg

SPIN_SECONDS = 0.5
PACKAGES = ("flask", "gunicorn", "sqlalchemy", "psycopg")


def describe(postgres: str | None) -> str:
    """One sentence: processor, cores, memory, system, versions.

    :param postgres: URL of the server that was used, if one was.
    """
    parts = [
        f"{os.cpu_count()} cores of {_processor()}, {_memory()}",
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
    ]
    if postgres:
        with psycopg.connect(postgres) as server:
            synced = server.execute("SHOW fsync").fetchone() == ("on",)
            parts.append(f"PostgreSQL {server.info.server_version // 10_000}, fsync {'on' if synced else 'off'}")
    if docker := _docker():
        parts.append(f"Docker {docker}")
    return ", ".join(parts + [f"{name} {version(name)}" for name in PACKAGES])


def crowding() -> float:
    """Wall seconds that a second of pure computing takes: 1.0 on a quiet machine, 2.0 when half of it is others'."""
    wall, cpu = time.perf_counter(), time.process_time()
    while time.process_time() - cpu < SPIN_SECONDS:
        sum(range(1_000))
    return (time.perf_counter() - wall) / (time.process_time() - cpu)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / 1e9:.0f} GB"


def _docker() -> str:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["docker", "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
