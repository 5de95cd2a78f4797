"""Ask every model version of a running server its approved rows, over REST as a consumer would, and compare the answers."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from serving.approved import Approved, sealed
from serving.errors import Refusal
from serving.routing import Version, routes
from serving.sealed import Sealed

TIMEOUT = 60  # seconds for one answer


def smoke(image: Sealed, address: str, given: Mapping[str, Approved]) -> dict[str, Any]:
    """The report: ``ok`` only when every version on every route answered as approved.

    :param address: of the REST side, such as `http://127.0.0.1:8080`.
    :param given: ref to rows from outside, for versions whose sample may not travel; they take precedence.
    """
    found = routes(image.manifest)
    reports = [
        _ask(address, version, given.get(version.model.ref) or sealed(image.root / version.model.path, version.model))
        for route in found.values()
        for version in route.versions.values()
    ]
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


def _ask(address: str, version: Version, approved: Approved | None) -> dict[str, Any]:
    report = {"ref": version.model.ref, "route": version.route, "version": version.name, "rows": 0}
    if approved is None:
        problem = "no rows are sealed with it and none were given: pass them with --rows"
        return {**report, "outcome": "failed", "problems": [problem]}
    report["rows"] = len(approved.rows)
    path = f"/v2/models/{version.route}/versions/{version.name}/infer"
    try:
        answer = _post(address, path, approved.request(version.model.signature))
        digest = answer["parameters"]["release_digest"]
        problems = approved.differences({item["name"]: item["data"] for item in answer["outputs"]})
        if digest != version.model.release_digest:
            problems.append(f"{digest} answered, the manifest says {version.model.release_digest}")
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    return {**report, "outcome": "failed" if problems else "passed", "problems": problems}


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
