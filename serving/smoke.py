"""Ask every model version of a running server its approved rows, over REST as a consumer would, and compare the answers.

Shadows, which answer no consumer, are asked in a server of their own that listens nowhere.
"""

import asyncio
import http.client
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from serving.approved import Approved, sealed
from serving.errors import Refusal, ServingError
from serving.routing import Version, routes
from serving.sealed import Sealed
from serving.settings import Settings

TIMEOUT = 60  # seconds for one answer

Infer = Callable[[dict[str, Any]], dict[str, Any]]
"""An inference request of the protocol, as JSON, to its answer."""


def smoke(image: Sealed, settings: Settings, address: str, given: Mapping[str, Approved]) -> dict[str, Any]:
    """The report: ``ok`` only when every version on every route answered as approved.

    :param address: of the REST side, such as `http://127.0.0.1:8080`.
    :param given: ref to rows from outside, for versions whose sample may not travel; they take precedence.
    """

    def rows_of(version: Version) -> Approved | None:
        return given.get(version.model.ref) or sealed(image.root / version.model.path, version.model)

    asking: list[tuple[Version, Infer]] = []
    for route in routes(image.manifest).values():
        for version in route.versions.values():
            path = f"/v2/models/{version.route}/versions/{version.name}/infer"
            asking.append((version, partial(_post, address, path)))
        asking += [(version, partial(_ask_alone, image, settings, version)) for version in route.shadows.values()]
    reports = [_ask(version, rows_of(version), infer) for version, infer in asking]
    asked = {report["ref"] for report in reports}
    reports += [
        {
            "ref": model.ref,
            "route": None,
            "version": None,
            "outcome": "failed",
            "rows": 0,
            "problems": ["it is on no route"],
        }
        for model in image.manifest.models
        if model.ref not in asked
    ]
    return {"ok": all(report["outcome"] == "passed" for report in reports), "models": reports}


def read_rows(text: str) -> dict[str, Approved]:
    """Rows from outside: `{"<ref>": {"rows": [...], "answers": {...}}}`.

    :raises Refusal: the text is something else.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Refusal(f"--rows: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal("--rows: expected an object with a key for each model version")
    return {ref: Approved.from_dict(item, f"--rows: {ref}") for ref, item in value.items()}


def _ask(version: Version, approved: Approved | None, infer: Infer) -> dict[str, Any]:
    report = {"ref": version.model.ref, "route": version.route, "version": version.name, "rows": 0}
    if approved is None:
        problem = "no rows are sealed with it and none were given: pass them with --rows"
        return {**report, "outcome": "failed", "problems": [problem]}
    report["rows"] = len(approved.rows)
    try:
        answer = infer(approved.request(version.model.signature))
        digest = answer["parameters"]["release_digest"]
        problems = approved.differences({item["name"]: item["data"] for item in answer["outputs"]})
        if digest != version.model.release_digest:
            problems.append(f"{digest} answered, the manifest says {version.model.release_digest}")
    except (OSError, http.client.HTTPException, ValueError, KeyError, ServingError, Refusal) as error:
        problems = [f"{type(error).__name__}: {error}"]
    return {**report, "outcome": "failed" if problems else "passed", "problems": problems}


def _ask_alone(image: Sealed, settings: Settings, version: Version, message: dict[str, Any]) -> dict[str, Any]:
    from serving import alone  # noqa: PLC0415 - the whole server; most images have no shadow

    return asyncio.run(alone.ask(image, version, settings, message))


def _post(address: str, path: str, message: dict[str, Any]) -> dict[str, Any]:
    """:raises ValueError: the server refused; the message is its own."""
    parts = urlsplit(address)
    # Straight to the address: a proxy of the environment is for the outside, and we ask ourselves.
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=TIMEOUT)
    try:
        connection.request("POST", path, json.dumps(message), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise ValueError(f"{response.status}: {answer.get('error')}")
    return answer
