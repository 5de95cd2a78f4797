"""One version by itself, in a server that listens nowhere: for tables, and for versions that answer no caller."""

import json
from dataclasses import replace
from typing import Any

from formats.manifest import PRIMARY, Route
from serving import oip_json, tensors
from serving.access import Call
from serving.logs import Log
from serving.routing import Version
from serving.sealed import Sealed
from serving.server import Server
from serving.settings import Settings

UNUSED: dict[str, Any] = dict.fromkeys(
    ("weights_file", "prediction_log", "otlp_endpoint", "tokens_file", "tls_cert_file", "tls_key_file")
)
"""Settings of what only a server that listens has."""


async def start(image: Sealed, version: Version, settings: Settings) -> tuple[Server, str]:
    """The server, started and checked against the sealed rows of ``version``, and the version's name in it.

    :raises Refusal: it does not start, or does not answer as approved.
    """
    manifest = image.manifest
    (member,) = (
        member for route in manifest.routes if route.name == version.route for member in route.members
        if member.ref == version.model.ref
    )  # fmt: skip
    only = replace(member, weight=100, bounds=(0, 100), role=PRIMARY)
    alone = replace(manifest, models=(version.model,), routes=(Route(version.route, (only,)),))
    server = Server(replace(image, manifest=alone), replace(settings, **UNUSED), Log("error"))
    try:
        await server.start_models()
    except ExceptionGroup as group:
        await server.close()
        raise group.exceptions[0] from None  # one model starts, and refuses once
    except BaseException:
        await server.close()
        raise
    (name,) = server.service.model_metadata(version.route, "")["versions"]
    return server, name


async def ask(image: Sealed, version: Version, settings: Settings, message: dict[str, Any]) -> dict[str, Any]:
    """One inference request, as JSON of the protocol, to the version by itself; and its answer.

    :raises Refusal: it does not start.
    :raises ServingError: it does not answer.
    """
    server, name = await start(image, version, settings)
    try:
        request, _ = oip_json.parse(json.dumps(message).encode(), None)
        answer = await server.service.infer(version.route, name, request, key=None, call=Call("smoke", "batch"))
    finally:
        await server.close()
    outputs = [{"name": output.name, "data": tensors.to_values(output)} for output in answer.outputs]
    return {"parameters": {"release_digest": answer.release_digest}, "outputs": outputs}
