"""A seam where a test can kill the process: at every commit, fsync and call to the engine.

Nothing happens unless ``COUNTERSIGN_FAULT`` is set. ``COUNTERSIGN_FAULT=commit:3`` kills this process with SIGKILL
when the point ``commit`` is reached for the third time; ``COUNTERSIGN_FAULT_LOG=FILE`` appends the name of each
point reached, which is how the tests enumerate them.
"""

import os
import signal
from collections import Counter
from pathlib import Path

_plan = os.environ.get("COUNTERSIGN_FAULT", "")
_log = os.environ.get("COUNTERSIGN_FAULT_LOG", "")
_seen: Counter[str] = Counter()


def reach(point: str) -> None:
    """Note that ``point`` was reached; die here if the test asked for it."""
    if not _plan and not _log:
        return
    _seen[point] += 1
    if _log:
        with Path(_log).open("a") as log:
            log.write(f"{point}:{_seen[point]}\n")
    if _plan == f"{point}:{_seen[point]}":
        os.kill(os.getpid(), signal.SIGKILL)
