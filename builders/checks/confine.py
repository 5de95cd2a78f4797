"""Start a program with limits: `python -I -S -B confine.py '{"memory": ..., ...}' program argument...`.

A file of its own, run as one: limits set between fork and exec by a thread of the worker could deadlock it. Standard library
only. Where the system allows it, the program also gets a network of its own, in which nothing else is.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_GRACE = 10  # seconds after which a program is ended whose worker died and can no longer stop it


def main(settings: str, program: list[str]) -> None:
    """Apply ``settings`` to this process and become ``program``.

    :param settings: JSON: `memory`, `file_size` in bytes; `cpu_seconds`, `wall_seconds`; `processes`; `status_fd`, where one
        line is written: `none` when the program has no network, else `open`.
    """
    asked = json.loads(settings)
    os.umask(0o077)
    network = "none" if _leave_network() else "open"
    # Kept through exec: if the worker is killed, nobody else ends the program. Its default action is to end it.
    signal.alarm(int(asked["wall_seconds"]) + _GRACE)
    _limit(resource.RLIMIT_CORE, 0)
    # The soft limit sends a signal that says which limit it was, the hard one a second later simply kills.
    _limit(resource.RLIMIT_CPU, asked["cpu_seconds"], asked["cpu_seconds"] + 1)
    _limit(resource.RLIMIT_FSIZE, asked["file_size"])
    _limit(resource.RLIMIT_NOFILE, 256)
    _limit(resource.RLIMIT_NPROC, _running() + asked["processes"])
    _limit(resource.RLIMIT_AS, asked["memory"])
    os.write(asked["status_fd"], network.encode())
    os.close(asked["status_fd"])
    os.execv(program[0], program)  # noqa: S606  # no shell is wanted


def _leave_network() -> bool:
    """Move to an empty network namespace; False where this user or this system cannot."""
    if sys.platform != "linux":
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # Be the same user inside: without a map this process would be nobody.
    with contextlib.suppress(OSError):
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123  # pathlib is slow to import
                file.write(text)
    return True


def _running() -> int:
    """Threads of this user, which the limit on processes counts too; 0 where that cannot be known."""
    count = 0
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit():
                with contextlib.suppress(OSError):
                    if os.stat(f"/proc/{name}").st_uid == os.getuid():  # noqa: PTH116
                        count += len(os.listdir(f"/proc/{name}/task"))  # noqa: PTH208
    return count


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    # macOS refuses some; there the wall clock and the cap on output are what is left.
    with contextlib.suppress(ValueError, OSError):
        _, ceiling = resource.getrlimit(kind)
        wanted = [soft, soft if hard is None else hard]
        if ceiling != resource.RLIM_INFINITY:
            wanted = [min(value, ceiling) for value in wanted]
        resource.setrlimit(kind, (wanted[0], wanted[1]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
