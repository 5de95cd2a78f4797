"""What both transports offer: health, metadata, the repository index, and inference on a route."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from formats.manifest import Manifest, Model
from formats.signature import Signature
from serving import __version__
from serving.access import Call
from serving.admission import Door
from serving.batching import Batcher
from serving.errors import Forbidden, NotFound, ServingError, TooLarge, Unavailable
from serving.messages import InferResponse, Request
from serving.metrics import Metrics
from serving.predictor import Batch
from serving.routing import Route, Version
from serving.tensors import Tensor

NAME = "countersign"
Observer = Callable[[Call, str | None, Batch, Sequence[Tensor]], None]
"""Told of every answer: the call, its routing key, rows and outputs. It must not raise, nor take long."""
EXTENSIONS = ("binary_tensor_data", "model_repository")


class Service:
    """The routes of one manifest over the predictors of its models, by ref."""

    def __init__(
        self,
        manifest: Manifest,
        routes: Mapping[str, Route],
        batchers: Mapping[str, Batcher],
        *,
        door: Door,
        metrics: Metrics,
        max_rows: int,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.manifest = manifest
        self.door = door
        self.metrics = metrics
        self.started = False  # set once every model has answered its sealed rows as approved
        self._routes = routes
        self._batchers = batchers
        self._max_rows = max_rows
        self._observers = observers
        self._counters = {
            (version.route, version.name): metrics.version(version)
            for route in routes.values()
            for version in route.versions.values()
        }

    # --- Health and metadata

    @property
    def only_route(self) -> str:
        """The route of a bundle that has one, for addresses that name none.

        :raises NotFound: it has several.
        """
        if len(self._routes) > 1:
            known = ", ".join(f"/v2/models/{name}/invocations" for name in self._routes)
            raise NotFound(f"this server has several models: ask one of {known}")
        return next(iter(self._routes))

    @property
    def ready(self) -> bool:
        return (
            self.started
            and not self.door.draining
            and self._able(version for route in self._routes.values() for version in route.versions.values())
        )

    def version_ready(self, route: str, version: str) -> bool:
        """Of one version, or of all of a route when ``version`` is empty; revoked ones count where nothing else is left."""
        versions = [self._route(route).named(version)] if version else list(self._route(route).versions.values())
        return self.started and not self.door.draining and self._able(versions)

    def server_metadata(self) -> dict[str, Any]:
        return {
            "name": NAME,
            "version": __version__,
            "extensions": list(EXTENSIONS),
            "bundle": self.manifest.bundle,
        }

    def model_metadata(self, route: str, version: str) -> dict[str, Any]:
        """Of the version named, else of the route's first: the one a reader of the manifest sees first."""
        found = self._route(route)
        chosen = found.named(version) if version else next(iter(found.versions.values()))
        revoked = [item.name for item in found.every.values() if item.revoked]
        shadows = {item.name: item.weight for item in found.shadows.values()}
        return {
            "name": route,
            "versions": list(found.versions),
            "platform": _platform(chosen.model),
            **_tensors(chosen.model.signature),
            "parameters": {
                "version": chosen.name,
                "release_digest": chosen.model.release_digest,
                "weights": found.weights,
                **({"shadows": shadows} if shadows else {}),
                "bounds": {item.name: list(item.bounds) for item in found.every.values()},
                **({"revoked": revoked} if revoked else {}),
            },
        }

    def index(self, *, ready_only: bool) -> list[dict[str, str]]:
        """The repository index: every version of every route."""
        entries = []
        for route in self._routes.values():
            for version in route.versions.values():
                ready = self.version_ready(route.name, version.name)
                if ready or not ready_only:
                    unready = "revoked" if version.revoked else "starting, draining, or being restarted"
                    state, reason = ("READY", "") if ready else ("UNAVAILABLE", unready)
                    entries.append({"name": route.name, "version": version.name, "state": state, "reason": reason})
        return entries

    def refuse_change(self) -> Forbidden:
        """The answer to load and unload."""
        return Forbidden(
            "this server serves what was approved and sealed into its image; models are not loaded or unloaded at run time"
        )

    def withdraw(self, refs: Collection[str]) -> None:
        """Let the models ``refs`` answer no more: they were revoked."""
        for route in self._routes.values():
            route.revoke(refs)
        self.metrics.show(self._routes)

    # --- Inference

    async def infer(self, route: str, version: str, request: Request, *, key: str | None, call: Call) -> InferResponse:
        """Answer ``request`` with ``version``, or when that is empty with the version that weights and ``key`` choose.

        :raises ServingError: see `errors.py`.
        """
        if not self.started:
            raise Unavailable("this server is starting: its models are not checked yet")
        found = self._route(route)
        chosen = call.version = found.asked(version) if version else found.choose(key)
        counters = self._counters[chosen.route, chosen.name]
        counters.exposure["version" if version else "chance" if key is None else "key"] += 1
        try:
            batch = await request.bind(chosen.model.signature)
            rows = call.rows = batch.rows
            if rows > self._max_rows:
                raise TooLarge(f"{rows} rows came, at most {self._max_rows} are taken at once")
            outputs = await self._batchers[chosen.model.ref].predict(batch)
            counters.rows += rows
        except ServingError as error:
            counters.errors[error.status] += 1
            raise
        finally:
            counters.answered(time.perf_counter() - call.started)
        for observe in self._observers:
            observe(call, key, batch, outputs)
        return InferResponse(route, chosen.name, chosen.model.release_digest, request.id, outputs)

    def _route(self, name: str) -> Route:
        try:
            return self._routes[name]
        except KeyError:
            raise NotFound(f'no model "{name}" here; there is {", ".join(self._routes)}') from None

    def _able(self, versions: Iterable[Version]) -> bool:
        """Some of ``versions`` may answer, and each that may is ready to."""
        refs = {version.model.ref for version in versions if not version.revoked}
        return bool(refs) and all(self._batchers[ref].predictor.ready for ref in refs)


def _platform(model: Model) -> str:
    """What answers, in the protocol's words: project and format."""
    return f"countersign_{model.compiled.engine}" if model.compiled else f"python_{model.format}"


def _tensors(signature: Signature) -> dict[str, Any]:
    """Inputs and outputs as metadata, with what the protocol has no word for in their parameters."""
    inputs = []
    for item in signature.inputs:
        parameters: dict[str, Any] = {"nullable": item.nullable}
        if item.categories is not None:
            parameters["categories"] = list(item.categories)
        if item.content_type is not None:
            parameters |= {"content_type": item.content_type, "unit": "us", "zone": item.zone}
        if item.columns is not None:
            parameters["columns"] = list(item.columns)
        inputs.append(
            {"name": item.name, "datatype": item.datatype, "shape": list(item.shape), "parameters": parameters}
        )
    outputs: list[dict[str, Any]] = []
    for output in signature.outputs:
        outputs.append({"name": output.name, "datatype": output.datatype, "shape": list(output.shape)})
        if output.labels is not None:
            outputs[-1]["parameters"] = {"labels": list(output.labels)}
    return {"inputs": inputs, "outputs": outputs}
