"""A large file by raw PUT to the real portal, beside a loop that hashes, writes and syncs the same bytes."""

import hashlib
import http.client
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.figures import Figure, NotMeasured, Options, Result, Target
from bench.installation import Installation, installed
from registry.store import LocalStore

PIECE = 1 << 20
WARM_UP_BYTES = 8 << 20
MB = processes.MB


@dataclass(frozen=True)
class Trip:
    """The same bytes, both ways. Seconds; ``cpu`` is that of the portal's processes, and of the loop."""

    digest: str
    local: float
    local_cpu: float
    sent: float
    sent_cpu: float


def measure(options: Options) -> Result:
    """Throughput as a share of what the disk and the hash allow, and how much the portal grew."""
    processes.need_proc()
    size = options.upload_bytes
    with installed("upload", keep=frozenset()) as place:
        place.stack.start_portal()
        portal = processes.family(place.stack.children["portal"].pid)
        source = place.folder / "source"
        _trip(place, portal, source, WARM_UP_BYTES)
        before = processes.memory(portal)
        trips = []
        for number in range(options.repeats):
            trips.append(_trip(place, portal, source, size, sent_first=number % 2 == 1))
            options.say(f"upload {number + 1}: {size / trips[-1].sent / MB:,.0f} MB/s")
        after = processes.memory(portal)
        place.stack.stop()
        for trip in trips:
            LocalStore(place.settings.store_dir).path(trip.digest).unlink()
        source.unlink()
    # Neighbours come and go within seconds: each trip is compared with the loop beside it.
    middle = sorted(trips, key=lambda trip: trip.local / trip.sent)[len(trips) // 2]
    cpu = statistics.median(trip.sent_cpu for trip in trips)
    growth = after.peak - before.peak
    what = f"upload of {size >> 20:,} MiB"
    return Result(
        figures=[
            Figure(
                what,
                size / middle.sent / MB,
                "MB/s",
                size / middle.local / MB,
                "hash, write and sync the same bytes",
                Target(0.65, at_least=True, of_ratio=True),
                f"median of {len(trips)}; ratios {_each(trip.local / trip.sent for trip in trips)}",
            ),
            Figure(
                f"{what}, portal's CPU",
                cpu,
                "s",
                statistics.median(trip.local_cpu for trip in trips),
                "CPU of that loop",
                None,
                "neighbours matter less here",
            ),
            Figure(
                f"{what}, portal's growth",
                growth / MB,
                "MB",
                size / MB,
                "the upload",
                Target(20),
                f"largest RSS of its {len(portal)} processes {before.peak / MB:.1f} → {after.peak / MB:.1f} MB",
            ),
        ]
    )


def _each(ratios: Iterable[float]) -> str:
    return " ".join(f"{ratio:.2f}" for ratio in ratios)


def _trip(place: Installation, portal: list[int], source: Path, size: int, *, sent_first: bool = False) -> Trip:
    """Make bytes nobody has seen; copy them in this process and send them to the portal, in either order."""
    digest = _make(source, size)
    ways = [lambda: _timed(lambda: _copy(source), [os.getpid()])]
    ways.insert(0 if sent_first else 1, lambda: _timed(lambda: _put(place, source, digest, size), portal))
    taken = [way() for way in ways]
    sent, local = taken if sent_first else reversed(taken)
    return Trip(digest, *local, *sent)


def _make(source: Path, size: int) -> str:
    block, hasher = os.urandom(PIECE), hashlib.sha256()
    with source.open("wb") as file:
        for number in range(size // PIECE):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def _timed(act: Callable[[], None], pids: Sequence[int]) -> tuple[float, float]:
    """Wall seconds of ``act``, and CPU seconds that ``pids`` spent in it."""
    os.sync()  # what was written before must not be flushed on its time
    wall, cpu = time.perf_counter(), processes.cpu_seconds(pids)
    act()
    return time.perf_counter() - wall, processes.cpu_seconds(pids) - cpu


def _copy(source: Path) -> None:
    """What a store cannot do without: read, hash, write, sync."""
    copy, hasher = source.with_name("copy"), hashlib.sha256()
    with source.open("rb", buffering=0) as reader, copy.open("xb", buffering=0) as writer:
        while piece := reader.read(PIECE):
            hasher.update(piece)
            writer.write(piece)
        os.fsync(writer.fileno())
    copy.unlink()


def _put(place: Installation, source: Path, digest: str, size: int) -> None:
    """Send without spending processor time in this process: what is measured is the portal."""
    connection = http.client.HTTPConnection(place.stack.url.removeprefix("http://"), timeout=600)
    connection.putrequest("PUT", f"/api/v1/blobs/{digest}")
    connection.putheader("Authorization", f"Bearer {place.token}")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    with source.open("rb") as file:
        connection.sock.sendfile(file)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    if answer.status != 201:
        raise NotMeasured(f"the portal answered {answer.status} to the upload: {said}")
