"""Asking a Countersign container over REST: the Open Inference Protocol with one text in and a category out."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import quote

import urllib3

OUTPUTS = ("predict", "predict_proba")
TIMEOUT_SECONDS = 10.0


class InferenceError(Exception):
    """The container could not be asked, or did not answer; the message is one sentence for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one message.

    ``digest`` is the release digest of the version that answered, ``sha256:<hex>``, or empty where a server names none.
    ``milliseconds`` is the whole way there and back, measured here.
    """

    category: str
    confidence: float
    version: str
    digest: str
    milliseconds: float


class Asker(Protocol):
    """A way to ask: REST here, gRPC in inference_grpc.py."""

    name: str

    def ask(self, text: str, routing_key: str) -> Answer:
        """The category of ``text``; the same ``routing_key`` is always answered by the same version.

        :raises InferenceError: no answer, a refusal, or an answer without category, probability or version.
        """
        ...

    def close(self) -> None: ...


def read_answer(version: str, digest: str, outputs: Mapping[str, Sequence[Any]], seconds: float) -> Answer:
    """An Answer from the decoded outputs of one row, ``predict`` (text or bytes) and ``predict_proba`` (numbers)."""
    missing = [name for name in OUTPUTS if not outputs.get(name)]
    if missing or not version:
        lacks = " and ".join([*missing, *([] if version else ["a version"])])
        raise InferenceError(f"the answer lacks {lacks}; is this the route of The Voice?")
    category = outputs["predict"][0]
    return Answer(
        category=category.decode("utf-8", "replace") if isinstance(category, bytes) else str(category),
        confidence=max(float(value) for value in outputs["predict_proba"]),
        version=version,
        digest=digest,
        milliseconds=seconds * 1000,
    )


class RestAsker:
    """Asks ``POST <url>/v2/models/<route>/infer``. Safe to share between threads."""

    name = "REST"

    def __init__(self, url: str, route: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """:param url: of the container, e.g. ``http://127.0.0.1:8080``; :param timeout: seconds for one answer.

        :raises InferenceError: ``url`` is not one.
        """
        if not re.match(r"https?://[^/]", url):
            raise InferenceError(f"{url!r} is not the URL of a container; give one such as http://127.0.0.1:8080")
        self._endpoint = f"{url.rstrip('/')}/v2/models/{quote(route, safe='')}/infer"
        # Asking changes nothing, so a connection that the server closed meanwhile may be tried once more.
        retry = urllib3.Retry(1, allowed_methods=None, redirect=0)
        self._pool = urllib3.PoolManager(maxsize=8, timeout=urllib3.Timeout(timeout), retries=retry)

    def ask(self, text: str, routing_key: str) -> Answer:
        body = {
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}],
            "outputs": [{"name": name} for name in OUTPUTS],
        }
        headers = {"Content-Type": "application/json", "X-Routing-Key": routing_key}
        start = time.perf_counter()
        try:
            response = self._pool.request("POST", self._endpoint, body=json.dumps(body).encode(), headers=headers)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise InferenceError(f"no answer from {self._endpoint}: {_reason(error)}; is the container up?") from error
        seconds = time.perf_counter() - start
        if response.status != 200:
            raise InferenceError(f"{self._endpoint} answered {response.status}: {_refusal(response.data)}")
        try:
            answer = json.loads(response.data)
            outputs = {output["name"]: _flat(output["data"]) for output in answer["outputs"]}
            version, digest = answer.get("model_version", ""), answer.get("parameters", {}).get("release_digest", "")
            return read_answer(str(version), str(digest), outputs, seconds)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InferenceError(
                f"{self._endpoint} answered something else than the Open Inference Protocol"
            ) from error

    def close(self) -> None:
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _flat(data: Any) -> list[Any]:
    """Row-major data, which the protocol allows flat or nested."""
    return [leaf for item in data for leaf in _flat(item)] if isinstance(data, list) else [data]


def _reason(error: Exception) -> str:
    """The innermost cause, without the library's address of an object in memory."""
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "the host's name is unknown"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return "nothing listens there"
    if isinstance(cause, urllib3.exceptions.TimeoutError):
        return "it took too long"
    return str(cause).rpartition(": ")[2] or type(cause).__name__


def _refusal(body: bytes) -> str:
    """The ``error`` of a refusal; other bodies are not for people."""
    try:
        message = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
    return str(message)[:500]
