"""Weights from a mounted file, within the bounds that were approved: a split moves without a bake.

    {"feedback": {"1": 80, "2": 20}}

A route or version that is not named keeps the weight of the manifest. A weight is within its bounds, or 0, which takes a
version out of the route and is always allowed; unless one is 0, those of a route add up to 100. Shadows are named beside
the versions; their weights are no shares of the answers, and add up to nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from serving.logs import Log
from serving.metrics import Metrics
from serving.mounted import MountedFile
from serving.routing import Route


class BadWeights(ValueError):
    """The file is not taken; the message says which weight, and what is allowed."""


class WeightsFile:
    """Keeps the weights of ``routes`` as the file says, from its first reading on."""

    def __init__(self, path: Path, routes: Mapping[str, Route], metrics: Metrics, log: Log) -> None:
        self._file = MountedFile(path)
        self._routes = routes
        self._metrics = metrics
        self._log = log

    def look(self) -> None:
        """Read the file if it is another one than last time. One that is refused leaves the weights as they are."""
        if not self._file.changed():
            return
        text = b"{}" if self._file.text is None else self._file.text  # gone: the manifest's weights hold again
        try:
            wanted = read(text, self._routes)
        except BadWeights as error:
            self._log.error("weights refused", file=str(self._file.path), reason=str(error))
            return
        for name, route in self._routes.items():
            route.reweigh(wanted.get(name, {}))
        self._metrics.show(self._routes)
        self._log.info("weights taken", weights=_held(self._routes))


def _held(routes: Mapping[str, Route]) -> dict[str, dict[str, int]]:
    return {route.name: {version.name: version.weight for version in route.every.values()} for route in routes.values()}


def read(text: bytes, routes: Mapping[str, Route]) -> dict[str, dict[str, int]]:
    """The weights that ``text`` gives, by route and version.

    :raises BadWeights: not of the form above, a name that is not there, or a weight that was not approved.
    """
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadWeights(f"not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadWeights("expected an object with routes")
    for name, weights in given.items():
        if name not in routes:
            raise BadWeights(f"no route {name!r}; there is {', '.join(routes)}")
        _check(routes[name], weights)
    return given


def _check(route: Route, weights: Any) -> None:
    if not isinstance(weights, dict):
        raise BadWeights(f"route {route.name}: expected an object with versions")
    known = route.every
    for name, weight in weights.items():
        if name not in known:
            raise BadWeights(f"route {route.name} has no version {name!r}; it has {', '.join(known)}")
        low, high = known[name].bounds
        if type(weight) is not int or (weight != 0 and not low <= weight <= high):
            raise BadWeights(f"route {route.name}, version {name}: {weight!r} is neither 0 nor from {low} to {high}")
    every = [weights.get(version.name, version.sealed_weight) for version in route.versions.values()]
    if not any(every):
        raise BadWeights(f"route {route.name}: every weight is 0, so no version would answer")
    if 0 not in (weights.get(name) for name in route.versions) and sum(every) != 100:
        raise BadWeights(f"route {route.name}: the weights add up to {sum(every)}, expected 100")
