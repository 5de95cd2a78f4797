"""A server's life: check, listen, start the models, check their answers, serve, drain."""

import asyncio
import json
import os
import signal
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from formats import manifest
from formats.manifest import Model
from serving import approved, grpc_server, memory, mounted, oip_json, predictions, process, tensors, tracing
from serving.access import Access
from serving.admission import Door
from serving.batching import Batcher
from serving.compiled import CompiledModel
from serving.errors import AnswersDiffer, Refusal, ServingError
from serving.helper import Helper
from serving.http1 import Http
from serving.logs import Log
from serving.messages import bind
from serving.metrics import Metrics, ModelMetrics
from serving.outbox import Outbox
from serving.predictions import PredictionLog
from serving.predictor import Predictor
from serving.process import ModelProcess
from serving.rest import Rest
from serving.revocations import RevocationFile
from serving.routing import answering, routes
from serving.sealed import Sealed
from serving.service import Observer, Service
from serving.settings import Settings
from serving.shadows import Predict, Shadows
from serving.tls import Tls
from serving.tokens import Tokens
from serving.tracing import Tracer
from serving.weights import WeightsFile

Mounted = TypeVar("Mounted", WeightsFile, Tokens, Tls)

BACKLOG = 1024
CLOSE_SECONDS = 2  # for answers that are written but not read yet


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one, and ``port_file`` then says which."""

    host: str
    rest_port: int
    grpc_port: int
    port_file: Path | None


async def run(image: Sealed, settings: Settings, address: Address, log: Log) -> None:
    """Serve ``image`` until SIGTERM or SIGINT.

    :raises Refusal: it cannot be served as it was approved.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _log_fault(log, context))
    log.let_wait(loop.call_later)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(image, settings, log)
    try:
        await server.listen(address)
        starting = asyncio.create_task(server.start_models())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting  # raises what kept the models from starting
            await stopping
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        await server.drain()
    finally:
        try:
            await server.close()
        finally:
            log.flush()
    log.info("stopped")


class Server:
    """Both transports over one service, and what answers for its models."""

    def __init__(self, image: Sealed, settings: Settings, log: Log) -> None:
        self._image = image
        self._settings = settings
        self._log = log
        metrics = Metrics()
        metrics.image.labels(image.manifest.bundle, image.fingerprint).set(1)
        found = routes(image.manifest)
        metrics.show(found)
        self._models = answering(image.manifest)
        self._predictors = {model.ref: _predictor(image, model, settings, log, metrics) for model in self._models}
        self._batchers = {ref: Batcher(predictor) for ref, predictor in self._predictors.items()}
        self._door = Door(settings)
        self._outboxes: list[Outbox[Any]] = []
        observers: list[Observer] = []
        if settings.prediction_log is not None:
            lines = Outbox("predictions", predictions.writer(settings.prediction_log), metrics, log)
            self._outboxes.append(lines)
            observers.append(PredictionLog(settings, lines.put).observe)
        self._shadows = Shadows(image, found, settings, metrics, log)
        if any(route.shadows for route in found.values()):
            observers.append(self._shadows.observe)
        self.service = Service(
            image.manifest,
            found,
            self._batchers,
            door=self._door,
            metrics=metrics,
            max_rows=settings.max_rows,
            observers=observers,
        )
        tracer = None
        if settings.otlp_endpoint is not None:
            deliver = tracing.exporter(settings.otlp_endpoint, image.manifest.bundle)
            spans = Outbox("spans", deliver, metrics, log)
            self._outboxes.append(spans)
            tracer = Tracer(settings.trace_share, spans.put)
        access = Access(metrics, log, tracer)
        self._looks: list[Callable[[], None]] = []
        if settings.weights_file:
            self._look_at(WeightsFile(settings.weights_file, found, metrics, log)).look()  # before the first request
        self._revocations = self._read_revocations(metrics) if settings.revocations_file else None
        self._background: list[asyncio.Task[None]] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._helper = Helper(settings, log)
        tokens = self._look_at(Tokens(settings.tokens_file, log)) if settings.tokens_file else None
        self._tls: Tls | None = None
        if settings.tls_cert_file and settings.tls_key_file:
            self._tls = self._look_at(Tls(settings.tls_cert_file, settings.tls_key_file, log))
        elif tokens is not None:
            log.warning("tokens without TLS", hint="let only a proxy that ends TLS reach these ports")
        self._http = Http(Rest(self.service, self._helper, settings), self._door, access, settings, tokens)
        self._grpc = grpc_server.create(self.service, access, settings, tokens)
        self._listener: asyncio.Server | None = None

    async def listen(self, address: Address) -> None:
        """Open both ports: from here on the server is live, and says that it is not ready."""
        loop = asyncio.get_running_loop()
        if self._looks:
            self._background.append(loop.create_task(mounted.watch(self._looks)))
        self._background += [loop.create_task(outbox.run()) for outbox in self._outboxes]
        try:
            self._listener = await loop.create_server(
                self._http.connect,
                address.host,
                address.rest_port,
                backlog=BACKLOG,
                ssl=self._tls.context if self._tls else None,
            )
            rest_port = self._listener.sockets[0].getsockname()[1]
            host = f"[{address.host}]" if ":" in address.host else address.host
            grpc_address = f"{host}:{address.grpc_port}"
            if self._tls:
                grpc_port = self._grpc.add_secure_port(grpc_address, self._tls.grpc_credentials())
            else:
                grpc_port = self._grpc.add_insecure_port(grpc_address)
            await self._grpc.start()
        except (OSError, RuntimeError) as error:
            ports = f"{address.rest_port} and {address.grpc_port}"
            raise Refusal(f"cannot listen on {address.host}, ports {ports}: {error}") from None
        if address.port_file is not None:
            _write_atomically(address.port_file, {"rest": rest_port, "grpc": grpc_port})
        self._log.info(
            "listening", host=address.host, rest_port=rest_port, grpc_port=grpc_port, tls=self._tls is not None
        )

    async def start_models(self) -> None:
        """Start every model and ask it its sealed rows; ready when all have answered as approved.

        What is revoked is not even loaded.

        :raises Refusal: one does not start, or answers something else, or all are revoked.
        """
        revoked = self._revocations.revoked if self._revocations else ()
        models = [model for model in self._models if model.ref not in revoked]
        if not models:
            raise Refusal(f"all that this image serves was revoked: {', '.join(sorted(revoked))}")
        cores = asyncio.Semaphore(
            os.cpu_count() or 1
        )  # importing libraries is work for a core; more at once only thrash

        async def start(model: Model) -> None:
            async with cores:
                await self._predictors[model.ref].start()
                await self._check_answers(model, self._batchers[model.ref].predict)

        async with asyncio.TaskGroup() as group:
            for model in models:
                group.create_task(start(model))
        memory.give_back()
        self.service.started = True
        self._shadows.start(self._check_answers)
        self._log.info("ready", bundle=self._image.manifest.bundle, models=len(models))

    async def drain(self) -> None:
        """Take nothing new, and finish what is under way."""
        self._door.draining = True
        self._log.info("draining", active=self._door.active)
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.drain_seconds
        # Who has just connected is told 503 and goes elsewhere; closing the port now would be an answer lost.
        await self._http.settled(self._settings.drain_seconds)
        if not await self._door.emptied(max(0, end - loop.time())):
            self._log.warning("drain time is over", unanswered=self._door.active)

    async def close(self) -> None:
        """Close both ports and every connection after what is written to it, and end the models."""
        for task in self._background:
            task.cancel()
        if self._listener is not None:
            self._listener.close()
            # Only a server that was started can be stopped: grpc would wait for it without an end.
            await asyncio.gather(self._http.close(CLOSE_SECONDS), self._grpc.stop(CLOSE_SECONDS))
        await asyncio.gather(
            self._helper.stop(), self._shadows.stop(), *(predictor.stop() for predictor in self._predictors.values())
        )
        for outbox in self._outboxes:
            await outbox.flush()

    def _look_at(self, file: Mounted) -> Mounted:
        """Let ``file`` see, from when the ports are open, whether it changed."""
        self._looks.append(file.look)
        return file

    def _read_revocations(self, metrics: Metrics) -> RevocationFile:
        """The list that is mounted, already obeyed, and looked at from now on.

        :raises Refusal: it cannot be trusted.
        """
        assert self._settings.revocations_file is not None
        found = RevocationFile(
            self._settings.revocations_file,
            fingerprint=self._settings.revocations_key or self._image.fingerprint,
            image_digest=self._settings.image_digest,
            models=self._image.manifest.models,
            metrics=metrics,
            log=self._log,
        )
        self.service.withdraw(found.revoked)
        self._looks.append(lambda: found.look(self._withdraw))
        return found

    def _withdraw(self, refs: Collection[str]) -> None:
        self.service.withdraw(refs)
        for ending in (*(self._retire(ref) for ref in refs if ref in self._predictors), self._shadows.retire(refs)):
            task = asyncio.create_task(ending)
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _retire(self, ref: str) -> None:
        """End what answered for a revoked model, after the requests that it had taken before."""
        await self._batchers[ref].emptied()
        await self._predictors[ref].stop()

    async def _check_answers(self, model: Model, predict: Predict) -> None:
        rows = approved.sealed(self._image.root / model.path, model)
        if rows is None:
            self._log.info("answers not checked", model=model.ref, reason="no rows are sealed with it")
            return
        # Through the same reading and checking as a client's request.
        request, _ = oip_json.parse(orjson.dumps(rows.request(model.signature)), None)
        try:
            outputs = await predict(bind(model.signature, request))
        except ServingError as error:
            raise AnswersDiffer(f"{model.ref} does not answer its sealed rows: {error}") from None
        differences = rows.differences({output.name: tensors.to_values(output) for output in outputs})
        if differences:
            raise AnswersDiffer(f"{model.ref} does not answer as approved: {'; '.join(differences)}")
        self._log.info("answers as approved", model=model.ref, rows=len(rows.rows))


def _log_fault(log: Log, context: Mapping[str, Any]) -> None:
    """A fault of ours, with where it happened; not its message, which may quote what a client sent."""
    fault = context.get("exception")
    told: dict[str, Any] = {"reason": context["message"]}
    if fault is not None:
        told |= {"exception": type(fault).__name__, "where": traceback.format_tb(fault.__traceback__)}
    log.write("error", "fault", told)


def _predictor(image: Sealed, model: Model, settings: Settings, log: Log, metrics: Metrics) -> Predictor:
    """The compiled form where there is one; else a process with the model's own library."""
    if model.artifact is None:
        of_text = model.signature.layout == "text"
        folder = image.root / model.path / manifest.COMPILED
        return CompiledModel(model.ref, folder, of_text=of_text, log=log)
    life = ModelMetrics(metrics.up.labels(model.ref), metrics.ended.labels(model.ref))
    return ModelProcess(process.program(image, model), settings.predict_seconds, log, life)


def _write_atomically(path: Path, value: Mapping[str, int]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(value))
    scratch.replace(path)
