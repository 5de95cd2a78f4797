"""The main job on a warm installation: a push until its checks are done, the last signature until the image answers."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import journey
from bench.figures import Figure, Options, Result, Target
from bench.installation import containers_missing, installed

LIMIT_IS = "bare Python loads the model and predicts"


def measure(options: Options) -> Result:
    """Both isolations where an engine answers. The first round warms wheels and layers and is not counted; the last has no layers."""
    result = Result()
    isolations = ["process"]
    if missing := containers_missing():
        result.notes.append(f"container isolation was not measured: {missing}")
    else:
        isolations.append("container")
    folder = journey.trained()
    for isolation in isolations:
        _on(isolation, folder, options, result)
    return result


def _on(isolation: str, folder: Path, options: Options, result: Result) -> None:
    bare, pushes, checks, served = [], [], [], []
    with installed(isolation, isolation=isolation) as place:
        place.stack.start_portal()
        place.stack.start_worker()
        for number in range(options.repeats + 1):
            options.say(f"push, check, sign, bake, serve: {isolation}, {number or 'warming'}")
            bare.append(journey.bare_load(folder))
            pushes.append(journey.push(place, folder, number))
            checks.append(journey.check_seconds(place, pushes[-1].number))
            with journey.approved_and_served(place, pushes[-1].number) as found:
                served.append(found)
        sizes = journey.image_sizes(place)
        options.say(f"push, check; then sign, bake, serve with wheels, but no layer: {isolation}")
        cold = journey.push(place, folder, options.repeats + 1)
        journey.cool(place)
        with journey.approved_and_served(place, cold.number) as found:
            cold_served = found
    result.notes.append(f"{isolation}: the first round took {pushes[0].total:.1f} s and {served[0].total:.1f} s")
    del bare[0], pushes[0], checks[0], served[0]
    limit = statistics.median(bare)
    parts = f"{_middle(checks, lambda each: each[0])} in the queue, {_middle(checks, lambda each: each[1])} of checks"
    result.figures.append(_figure(f"push to checks done, {isolation}", pushes, limit, Target(30), parts))
    parts = ", ".join(
        (
            f"{_middle(served, lambda each: each.waited)} in the queue",
            f"{_middle(served, lambda each: each.baked)} to the image",
            f"{_middle(served, lambda each: each.started)} from `builders run` to 200",
        )
    )
    result.figures.append(_figure(f"last approval to first 200, {isolation}", served, limit, Target(4), parts))
    what = f"last approval to first 200, cold with wheels in the store, {isolation}"
    result.figures.append(_figure(what, [cold_served], limit, Target(30), "the worker's start in it"))
    if isolation == "container":  # a process's image stands on the host's own files
        base, added, compressed = (size / 1e6 for size in sizes)
        for what, size, most in (("unpacked", added, 250), ("compressed", compressed, 90)):
            result.figures.append(
                Figure(f"compiled image adds, {what}", size, "MB", base, "base, unpacked", Target(most))
            )


def _figure(
    name: str, found: Sequence[journey.Pushed] | Sequence[journey.Served], limit: float, target: Target, parts: str
) -> Figure:
    totals = [each.total for each in found]
    spread = f"median of {len(totals)}, {min(totals):.1f} to {max(totals):.1f} s"
    cpu = f"CPU of our processes {statistics.median(each.cpu for each in found):.1f} s"
    return Figure(name, statistics.median(totals), "s", limit, LIMIT_IS, target, f"{spread}; {cpu}; {parts}")


def _middle(items: Sequence[object], read: Callable[..., float]) -> str:
    return f"{statistics.median(read(item) for item in items):.1f} s"
