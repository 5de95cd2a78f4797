"""What processes cost, read from Linux's /proc."""

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import NotMeasured

PROC = Path("/proc")
KB = 1024
MB = 1e6


@dataclass(frozen=True)
class Memory:
    """Bytes. ``rss`` counts shared pages in each process, ``pss`` shares them out; ``peak`` is the largest rss so far."""

    rss: int
    pss: int
    peak: int

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.rss + other.rss, self.pss + other.pss, self.peak + other.peak)


def need_proc() -> None:
    """Refuse where there is no /proc.

    :raises NotMeasured: this is not Linux.
    """
    if not (PROC / "self" / "smaps_rollup").exists():
        raise NotMeasured("memory of other processes is read from /proc, which only Linux has")


def family(root: int) -> list[int]:
    """A process and all that came of it, as ids."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(_parent(entry), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def command(pid: int) -> str:
    """Its command line; empty when it has ended."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def memory(pids: Iterable[int]) -> Memory:
    """The sum over processes."""
    return sum((_memory(pid) for pid in pids), Memory(0, 0, 0))


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time that processes, and children of theirs that have ended, have used so far."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has just ended: its parent has its time now
            after_name = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in after_name[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


class Watch:
    """Wall and CPU seconds since it was made; CPU of this process and of all that it started."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), self._all()

    def wall(self) -> float:
        """Seconds that went by."""
        return time.perf_counter() - self._wall

    def cpu(self) -> float:
        """Seconds that processors worked."""
        return self._all() - self._cpu

    @staticmethod
    def _all() -> float:
        return cpu_seconds(family(os.getpid()))


def _parent(entry: Path) -> int:
    return int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def _memory(pid: int) -> Memory:
    rollup = _fields(PROC / str(pid) / "smaps_rollup")
    return Memory(rollup["Rss"], rollup["Pss"], _fields(PROC / str(pid) / "status")["VmHWM"])


def _fields(path: Path) -> dict[str, int]:
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words[1:] == ["kB"]:
            found[name] = int(words[0]) * KB
    return found
