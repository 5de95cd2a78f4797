"""``python -m bench [names...]``: measure, print one table; ``--write`` puts it into docs/benchmarks.md."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import FrameType

from bench import api, databases, document, idle, machine, pages, road, upload
from bench.figures import Figure, NotMeasured, Options, Result, as_text
from tools.browser import FormTrouble
from tools.stack import Trouble

MEASUREMENTS: dict[str, Callable[[Options], Result]] = {
    "upload": upload.measure,
    "api": api.measure,
    "idle": idle.measure,
    "pages": pages.measure,
    "road": road.measure,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench", description="Measure Countersign beside limits of this machine."
    )
    made.add_argument(
        "names", nargs="*", metavar="name", help=f"what to measure: {', '.join(MEASUREMENTS)}; all if none"
    )
    made.add_argument("--upload-mib", type=int, default=1024, help="size of the upload (1024)")
    made.add_argument("--models", type=int, nargs="+", default=[1_000, 100_000], help="sizes of the catalogue")
    made.add_argument("--calls", type=int, default=300, help="calls of each kind (300)")
    made.add_argument("--repeats", type=int, default=5, help="repetitions of what takes seconds (5)")
    made.add_argument("--quick", action="store_true", help="128 MiB, 1,000 models, 100 calls, once: whether it works")
    made.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    return made


def options_of(chosen: argparse.Namespace) -> Options:
    """How much to measure."""
    if chosen.quick:
        return Options(upload_bytes=128 << 20, models=(1_000,), calls=100, repeats=1, say=_say)
    return Options(chosen.upload_mib << 20, tuple(chosen.models), chosen.calls, chosen.repeats, _say)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one after the other. Returns 1 when something could not be measured; a missed target is no failure."""
    made = parser()
    chosen = made.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(MEASUREMENTS)):
        made.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(MEASUREMENTS)}")
    signal.signal(signal.SIGTERM, _stop)
    options = options_of(chosen)
    where = machine.describe(databases.postgres_url())
    failed = False
    figures: list[Figure] = []
    notes: list[str] = []
    for name in chosen.names or MEASUREMENTS:
        crowded, began = machine.crowding(), time.monotonic()
        try:
            found = MEASUREMENTS[name](options)
        except (NotMeasured, Trouble, FormTrouble) as error:
            failed = True
            notes.append(f"{name} was not measured: {error}")
            continue
        crowded = max(crowded, machine.crowding())
        _say(f"{name} took {time.monotonic() - began:.0f} s")
        said = f"a second of computing took up to {crowded:.1f} s: the rest was others'"
        figures += found.figures
        notes += [f"{name}: {said}", *(f"{name}: {note}" for note in found.notes)]
        if chosen.write:
            document.write(name, found, f"{datetime.now(UTC):%d %B %Y}, {where}; {said}")
    print(f"{where}\n\n{as_text(figures)}\n\n" + "\n".join(notes))
    return int(failed)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
