"""Shadow traffic: a share of a route's requests is asked of another version as well, whose answers nobody gets.

A request that was answered leaves its rows and answers in a queue, and that is all it has to do with a shadow. The queue is
bounded: what does not fit is dropped and counted. A shadow answers in a process of its own at low priority, also where it is
compiled: what it raises, how long it takes and how it ends is counted here and is nobody else's business.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from formats import manifest
from formats.manifest import Model
from formats.signature import Signature
from serving import approved, process, shadow_process, tensors
from serving.access import Call
from serving.errors import Refusal, ServingError, Unavailable
from serving.logs import Log
from serving.metrics import Metrics, ModelMetrics, ShadowMetrics
from serving.predictor import Batch
from serving.process import ModelProcess, Startable
from serving.routing import Route, Version
from serving.sealed import Sealed
from serving.settings import Settings
from serving.tensors import Tensor, TensorError

MOST_REQUESTS = 256  # that wait for one shadow
MOST_BYTES = 4 << 20  # of their rows and answers together
ROWS_HERE = 256  # more are compared beside the event loop
COMPARED = "predict"  # the output whose rows agree or differ

Predict = Callable[[Batch], Awaitable[list[Tensor]]]
Check = Callable[[Model, Predict], Awaitable[None]]


class Unfit(ValueError):
    """What was asked is nothing that the shadow takes or answers."""


@dataclass(frozen=True, slots=True)
class CompiledProgram:
    """What the process of a compiled shadow runs."""

    ref: str
    folder: Path

    def arguments(self, descriptor: int) -> list[str]:
        return process.own(shadow_process.COMMAND, str(self.folder), str(descriptor))


class Shadow:
    """One version in the shadow of one route."""

    def __init__(self, version: Version, predictor: ModelProcess, metrics: ShadowMetrics, log: Log) -> None:
        self.version = version
        self._predictor = predictor
        self._metrics = metrics
        self._log = log
        self._queue: asyncio.Queue[tuple[Batch, Sequence[Tensor]]] = asyncio.Queue(MOST_REQUESTS)
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    def put(self, batch: Batch, outputs: Sequence[Tensor]) -> None:
        """Leave a copy of what was asked and answered; never waits, never raises."""
        size = _size(batch, outputs)
        if self._task is None or self._task.done() or self._queue.full() or self._bytes + size > MOST_BYTES:
            self._metrics.outcome("dropped").inc()
            return
        self._bytes += size
        self._queue.put_nowait((batch, outputs))

    def start(self, check: Check) -> None:
        """Start it in the background: a server is ready without its shadows."""
        self._task = asyncio.create_task(self._run(check))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._predictor.stop()

    async def _run(self, check: Check) -> None:
        try:
            await self._predictor.start()
            await check(self.version.model, self._answer)
        except Refusal as refusal:
            self._log.error("shadow is off", route=self.version.route, version=self.version.name, reason=str(refusal))
            await self._predictor.stop()
            return
        while True:
            batch, outputs = await self._queue.get()
            self._bytes -= _size(batch, outputs)
            outcome = await self._ask(batch, outputs)
            self._metrics.outcome(outcome).inc()

    async def _answer(self, batch: Batch) -> list[Tensor]:
        """What it answers as soon as its process lives long enough to: that it ended is not another answer."""
        while True:
            try:
                return await self._predictor.predict(batch)
            except Unavailable:  # it is started again, after a pause that grows
                await asyncio.sleep(0)

    async def _ask(self, batch: Batch, outputs: Sequence[Tensor]) -> str:
        """What became of one request, as its counter names it."""
        try:
            asked = fitted(batch, self.version.model.signature)
            with self._metrics.seconds.time():
                answers = await self._predictor.predict(asked)
            if batch.rows > ROWS_HERE:
                agreed = await asyncio.to_thread(agreement, outputs, answers)
            else:
                agreed = agreement(outputs, answers)
        except (Unfit, TensorError):
            return "unfit"
        except ServingError:
            return "failed"
        except Exception as error:  # noqa: BLE001  # the next request is another; and this one was answered long ago
            asyncio.get_running_loop().call_exception_handler({"message": "shadow failed", "exception": error})
            return "failed"
        if agreed is not None:
            self._metrics.agreed.inc(agreed)
            self._metrics.differed.inc(batch.rows - agreed)
        return "answered"


class Shadows:
    """The shadows of all routes of a server."""

    def __init__(
        self, image: Sealed, routes: Mapping[str, Route], settings: Settings, metrics: Metrics, log: Log
    ) -> None:
        self._of_route: dict[str, list[Shadow]] = {}
        for route in routes.values():
            for version in route.shadows.values():
                shadow = Shadow(
                    version,
                    _predictor(image, version, settings, metrics, log),
                    ShadowMetrics(metrics, version),
                    log,
                )
                self._of_route.setdefault(route.name, []).append(shadow)

    def observe(self, call: Call, key: str | None, batch: Batch, outputs: Sequence[Tensor]) -> None:  # noqa: ARG002 - a `service.Observer`
        """Give the shadows of the route that was asked their share."""
        assert call.version is not None
        for shadow in self._of_route.get(call.version.route, ()):
            if random.random() * 100 < shadow.version.weight:  # noqa: S311  # a share of the traffic, not a secret
                shadow.put(batch, outputs)

    def start(self, check: Check) -> None:
        """Start those that were not revoked."""
        for shadow in self._all():
            if not shadow.version.revoked:
                shadow.start(check)

    async def retire(self, refs: Collection[str]) -> None:
        """End the shadows of models that were revoked."""
        await asyncio.gather(*(shadow.stop() for shadow in self._all() if shadow.version.model.ref in refs))

    async def stop(self) -> None:
        await asyncio.gather(*(shadow.stop() for shadow in self._all()))

    def _all(self) -> Iterable[Shadow]:
        return (shadow for shadows in self._of_route.values() for shadow in shadows)


def fitted(batch: Batch, signature: Signature) -> Batch:
    """What was asked of another version as a batch of this one: its columns by name, and the outputs that both have.

    :raises Unfit: a column is missing or has no value where one is needed, or no output was wanted that this version has.
    :raises TensorError: a column is of a datatype that does not widen to this version's.
    """
    given = {tensor.name: tensor for tensor in batch.inputs}
    inputs = []
    for expected in signature.inputs:
        found = given.get(expected.name)
        if found is None or found.shape[1:] != tuple(expected.shape[1:]):
            raise Unfit(f"no input {expected.name!r} of that shape was asked")
        tensor = tensors.convert(found, expected.datatype)
        if not expected.nullable and (tensor.nulls or tensors.first_nan(tensor) is not None):
            raise Unfit(f"input {expected.name!r} has missing values")
        inputs.append(tensor)
    known = {output.name for output in signature.outputs}
    outputs = tuple(name for name in batch.outputs if name in known)
    if not outputs:
        raise Unfit("no output was asked that it has")
    return Batch(tuple(inputs), outputs)


def agreement(answers: Sequence[Tensor], others: Sequence[Tensor]) -> int | None:
    """In how many rows two versions predict the same: equal labels, or numbers within the tolerance of approved answers.

    :returns: None where the two cannot be compared: not asked, or of another datatype or shape.
    """
    one, other = (next((item for item in group if item.name == COMPARED), None) for group in (answers, others))
    if one is None or other is None or (one.datatype, one.shape) != (other.datatype, other.shape):
        return None
    if one.datatype == "BYTES":
        same = np.array([a == b for a, b in zip(tensors.to_strings(one), tensors.to_strings(other), strict=True)])
    elif one.datatype.startswith("FP"):
        tolerance = approved.TOLERANCE
        same = np.isclose(
            tensors.to_array(one), tensors.to_array(other), rtol=tolerance, atol=tolerance, equal_nan=True
        )
    else:
        same = tensors.to_array(one) == tensors.to_array(other)
    return int(same.reshape(one.shape[0], -1).all(axis=1).sum())


def _size(batch: Batch, outputs: Sequence[Tensor]) -> int:
    return sum(len(tensor.data) for tensor in (*batch.inputs, *outputs))


def _predictor(image: Sealed, version: Version, settings: Settings, metrics: Metrics, log: Log) -> ModelProcess:
    model = version.model
    own: Startable = (
        CompiledProgram(model.ref, image.root / model.path / manifest.COMPILED)
        if model.compiled
        else process.program(image, model)
    )
    labels = (version.route, version.name)
    life = ModelMetrics(metrics.shadow_up.labels(*labels), metrics.shadow_ended.labels(*labels))
    return ModelProcess(own, settings.predict_seconds, log, life, background=True)
