"""Run a program that may be hostile: bounded output, bounded time, and everything it started ends with it."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.02  # seconds between looks at a program that is silent
_CHUNK = 1 << 16
_STDERR_KEPT = 16 << 10
_SWEEPS = 100
_DRAIN = 1.0  # seconds for the pipes to empty once the program has ended


@dataclass(frozen=True)
class Finished:
    """How a program ended. ``returncode`` is negative for a signal; ``stderr`` is its last 16 KiB."""

    returncode: int
    stdout: bytes
    stderr: bytes
    timed_out: bool = False
    flooded: bool = False


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    output_cap: int,
    env: Mapping[str, str],
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run ``argv`` in a session of its own, with no input and no inherited files.

    :param timeout: seconds of wall time.
    :param output_cap: bytes of standard output; a program that writes more is killed and marked ``flooded``.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=pass_fds,
    )
    with process:
        try:
            return _watch(process, time.monotonic() + timeout, output_cap)
        except BaseException:
            _kill_group(process.pid)
            raise


def _watch(process: subprocess.Popen[bytes], deadline: float, output_cap: int) -> Finished:
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = bytearray(), bytearray()
    timed_out = flooded = False
    with selectors.DefaultSelector() as selector:
        for pipe, sink in ((process.stdout, output), (process.stderr, errors)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, sink)
        while not _has_ended(process):
            if time.monotonic() > deadline:
                timed_out = True
                break
            _read(selector, _POLL, output_cap, errors)
            if len(output) > output_cap:
                flooded = True
                break
        # Before the leader is reaped, so that its number still means this group.
        _kill_group(process.pid)
        end = time.monotonic() + _DRAIN
        while selector.get_map() and time.monotonic() < end and len(output) <= output_cap:
            _read(selector, _POLL, output_cap, errors)
    return Finished(
        returncode=process.wait(),
        stdout=bytes(output[:output_cap]),
        stderr=bytes(errors),
        timed_out=timed_out,
        flooded=flooded or len(output) > output_cap,
    )


def _read(selector: selectors.BaseSelector, wait: float, output_cap: int, errors: bytearray) -> None:
    if not selector.get_map():
        time.sleep(wait)
        return
    for key, _ in selector.select(wait):
        data = os.read(key.fd, _CHUNK)
        if not data:
            selector.unregister(key.fileobj)
        elif len(key.data) <= output_cap or key.data is errors:
            key.data.extend(data)
    del errors[:-_STDERR_KEPT]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return process.poll() is not None
    # Left unreaped: while it is a zombie, nobody else can get its number, which is also its group's.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_marked(mark: str) -> None:
    """Kill every process of this user whose environment holds ``mark`` (`NAME=value`): those that left the session, on Linux.

    Looks until none is left, because one that forks faster than this looks is found by its children.
    """
    for _ in range(_SWEEPS):
        found = [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _has_mark(folder, mark.encode())]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _has_mark(folder: Path, mark: bytes) -> bool:
    try:
        return mark in (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
