"""Routes of the REST side: which request means what. Whatever they mean is the service's business."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

import orjson

from serving import messages
from serving import metrics as metrics_module
from serving.errors import BadEncoding, BadRequest, NotFound, Unavailable, WrongMethod
from serving.helper import Helper, is_far
from serving.http_messages import Request, Response
from serving.messages import LARGE
from serving.oip_json import Form, parse_options
from serving.service import Service
from serving.settings import Settings
from serving.wire import ARROW, BINARY, JSON, MEDIA, Wanted, parse, render

LONGEST_NUMBER = 18  # digits
ADDRESSES = 64  # that are kept taken apart, with the headers that matter: clients ask the same few


@dataclass(frozen=True, slots=True)
class Asked:
    """An inference: ``route`` is None for the only one there is, ``version`` empty where the weights choose."""

    route: str | None
    version: str
    wanted: Wanted


class Rest:
    """A `Handler` over a service."""

    def __init__(self, service: Service, helper: Helper, settings: Settings) -> None:
        self._service = service
        self._helper = helper
        self._settings = settings

    async def __call__(self, request: Request) -> Response:
        headers, most = request.headers, (self._settings.max_rows, self._settings.max_body)
        asked = _inference(request.target, headers.get(b"content-type", JSON), headers.get(b"accept", b""), *most)
        if asked is None:
            return self._tell(request)
        _expect(request, "POST")
        route = self._service.only_route if asked.route is None else asked.route
        wanted = asked.wanted
        if (length := headers.get(b"inference-header-content-length")) is not None and wanted.kind == "oip":
            wanted = replace(wanted, head_length=_head_length(length))
        if is_far(wanted, request.body):
            async with self._helper.read(wanted, request.body) as (far, form):
                return await self._answer(request, route, asked, far, form)
        message, form = parse(wanted, request.body)
        return await self._answer(request, route, asked, message, form)

    async def _answer(
        self, request: Request, route: str, asked: Asked, message: messages.Request, form: Form
    ) -> Response:
        key = routing_key(request.headers.get(b"x-routing-key"), message.parameters)
        answer = await self._service.infer(route, asked.version, message, key=key, call=request.call)
        kind = asked.wanted.answer
        large = sum([len(output.data) for output in answer.outputs if not form.is_binary(output.name)]) > LARGE
        write = self._helper.render(kind, answer, form) if large or kind == "arrow" else None
        head_length, body = await write if write is not None else render(kind, answer, form)
        if head_length is None:
            return Response(200, body, _head(answer.version, ARROW if kind == "arrow" else JSON))
        length = b"inference-header-content-length: %d\r\n" % head_length
        return Response(200, body, _head(answer.version, BINARY) + length)

    def _tell(self, request: Request) -> Response:
        """Whatever is no inference."""
        path, _ = _address(request.target)
        match path:
            case ["v2", "repository", "index"]:
                _expect(request, "POST")
                return _json(self._service.index(ready_only=parse_options(request.body).get("ready") is True))
            case ["v2", "repository", "models", _, "load" | "unload"]:
                _expect(request, "POST")
                raise self._service.refuse_change()
        answer = self._page(path)
        _expect(request, "GET")
        return answer()

    def _page(self, path: Sequence[str]) -> Callable[[], Response]:
        """What answers a GET of ``path``."""
        service = self._service
        match path:
            case ["v2"]:
                return lambda: _json(service.server_metadata())
            case ["v2", "health", "live"]:
                return lambda: _json({"live": True})
            case ["v2", "health", "ready"] | ["ping"] | ["health"]:  # the last two are MLflow's
                return lambda: _json({"ready": service.ready}, 200 if service.ready else 503)
            case ["v2", "models", route]:
                return lambda: _json(service.model_metadata(route, ""))
            case ["v2", "models", route, "versions", version]:
                return lambda: _json(service.model_metadata(route, version))
            case ["v2", "models", route, "ready"]:
                return lambda: self._model_ready(route, "")
            case ["v2", "models", route, "versions", version, "ready"]:
                return lambda: self._model_ready(route, version)
            case ["metrics"]:
                return self._metrics
        raise NotFound("no such path; the Open Inference Protocol starts at /v2")

    def _metrics(self) -> Response:
        self._service.metrics.active.set(self._service.door.active)
        head = b"content-type: %s\r\n" % metrics_module.CONTENT_TYPE.encode()
        return Response(200, [self._service.metrics.render()], head)

    def _model_ready(self, route: str, version: str) -> Response:
        ready = self._service.version_ready(route, version)
        return _json({"name": route, "ready": ready}, 200 if ready else Unavailable.status)


def _address(target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts of a path, decoded, and the outputs that its query names."""
    path, _, query = target.partition("?")
    outputs = ",".join(parse_qs(query).get("outputs", ()))
    return tuple(unquote(part) for part in path.strip("/").split("/")), tuple(filter(None, outputs.split(",")))


@functools.lru_cache(ADDRESSES)
def _inference(target: str, content_type: bytes, accept: bytes, max_rows: int, max_body: int) -> Asked | None:
    """What a request for an inference asks for; None: it asks for something else."""
    path, outputs = _address(target)
    route: str | None
    match path:
        case ["v2", "models", route, ("infer" | "invocations") as form]:
            version = ""
        case ["v2", "models", route, "versions", version, ("infer" | "invocations") as form]:
            pass
        case ["invocations" as form]:
            route, version = None, ""
        case _:
            return None
    kind: Literal["oip", "mlflow"] = "oip" if form == "infer" else "mlflow"
    given = content_type.partition(b";")[0].strip().lower()
    if kind == "mlflow" and given not in (JSON, *MEDIA):
        known = ", ".join(name.decode() for name in (JSON, *MEDIA))
        raise BadEncoding(f"Content-Type {given.decode('latin-1')!r} is unknown here; {known} are taken")
    wanted = Wanted(
        MEDIA.get(given, kind),
        "arrow" if ARROW in accept.lower() else kind,
        outputs=("predict",) if kind == "mlflow" else outputs,
        max_rows=max_rows,
        max_bytes=max_body,
    )
    return Asked(route, version, wanted)


@functools.lru_cache(ADDRESSES)
def _head(version: str, content_type: bytes) -> bytes:
    return b"x-model-version: %s\r\ncontent-type: %s\r\n" % (version.encode(), content_type)


def routing_key(header: bytes | str | None, parameters: dict[str, Any]) -> str | None:
    """What keeps a caller on one version: the header, else the request's parameter.

    :raises BadRequest: the parameter is neither text nor a whole number.
    """
    if header:
        return header if isinstance(header, str) else header.decode(errors="replace")
    key = parameters.get("routing_key")
    if key is None or isinstance(key, str):
        return key or None
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise BadRequest("the parameter routing_key is neither a string nor an integer")


def _head_length(text: bytes) -> int:
    if not text.isdigit() or len(text) > LONGEST_NUMBER:
        raise BadRequest("the header Inference-Header-Content-Length is not a number of bytes")
    return int(text)


def _expect(request: Request, method: str) -> None:
    """HEAD asks for what GET answers, without its body."""
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        raise WrongMethod(request.method, method)


def _json(value: Any, status: int = 200) -> Response:
    return Response(status, [orjson.dumps(value)])
