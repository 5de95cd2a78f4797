"""``python -m bench.serving [names...]``: serving beside its peers; ``--write`` puts the tables into docs/benchmarks.md."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime

from bench import document, machine, processes
from bench.figures import Figure, NotMeasured, Result, as_text
from bench.serving import environments, frames, life, ours, rows, servers, sides
from bench.serving.cases import Case
from bench.serving.rounds import Plan, shared_cores

NAMES = ("life", "rest", "grpc", "frames", "beside")
FRAME_CASE = "logistic"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m bench.serving", description="Measure serving beside its peers.")
    made.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(NAMES)}; all if none")
    made.add_argument("--models", nargs="+", help="only these models, such as logistic and forest")
    made.add_argument("--seconds", type=float, default=1.0, help="of each round (1)")
    made.add_argument("--rounds", type=int, default=5, help="of each side, by turns (5)")
    made.add_argument("--quick", action="store_true", help="one short round: whether it works")
    made.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure. Returns 1 when something of ours could not be measured; a missed target is no failure."""
    made = parser()
    chosen = made.parse_args(arguments)
    if unknown := sorted(set(chosen.names) - set(NAMES)):
        made.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    processes.need_proc()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are ended on the way out
    plan = Plan(0.4, 1, _say) if chosen.quick else Plan(chosen.seconds, chosen.rounds, _say)
    servers.HOME.mkdir(parents=True, exist_ok=True)
    every_case, prepared = ours.trained(_say)
    cases = [case for case in every_case if case.name in (chosen.models or [case.name])]
    with servers.all_stopped() as started:
        image = ours.build({case.name: prepared[case.name] for case in cases}, "all")
        started.append(ours.serve(image).wait_ready(life.READY))
        others, notes = sides.peers(cases, ours.save(cases, servers.HOME / "models"), _say, started)
        echo = rows.start_echo(started)  # before cores are shared: what is started later has the client's
        everyone = [ours.side(cases, started[0]), *others]
        # Frames come last: a batching peer goes on waiting for rows as long as its last large ones took.
        measurements: dict[str, Callable[[], Result]] = {
            "life": lambda: life.life(every_case, prepared, everyone, plan),
            "rest": lambda: rows.rest(cases, everyone, echo, plan),
            "grpc": lambda: rows.grpc([case for case in cases if case.compiles], everyone, echo, plan),
            "frames": lambda: frames.frames(_named(cases, FRAME_CASE), everyone, plan),
            "beside": lambda: frames.beside_frames(_named(cases, FRAME_CASE), everyone, plan),
        }
        figures: list[Figure] = []
        failed = False
        for name, measure in measurements.items():
            if name not in (chosen.names or NAMES):
                continue
            cores = shared_cores(started) if name in ("rest", "grpc") else nullcontext("nothing is pinned to a core")
            crowded = machine.crowding()
            try:
                with cores as on_cores:
                    found = measure()
            except NotMeasured as error:
                failed = True
                notes.append(f"{name} was not measured: {error}")
                continue
            crowded = max(crowded, machine.crowding())
            found.notes[:0] = [f"{on_cores}; {plan.rounds} rounds of {plan.seconds:g} s", *notes]
            figures += found.figures
            if chosen.write:
                document.write(f"serving-{name}", found, _circumstances(crowded))
            _say("\n".join([found.details, *found.notes]))
    return _report(figures, notes, failed=failed)


def _named(cases: Sequence[Case], name: str) -> Case:
    for case in cases:
        if case.name == name:
            return case
    raise NotMeasured(f"{name} is not among the models chosen")


def _circumstances(crowded: float) -> str:
    where = f"{machine.describe(None)}, {environments.describe()}"
    said = f"a second of computing took up to {crowded:.1f} s: the rest was others'"
    return f"{datetime.now(UTC):%d %B %Y}, {where}, niceness {os.nice(0)}; {said}"


def _report(figures: Sequence[Figure], notes: Sequence[str], *, failed: bool) -> int:
    print(f"{environments.describe()}\n\n{as_text(figures)}\n\n" + "\n".join(notes))
    return int(failed)


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
