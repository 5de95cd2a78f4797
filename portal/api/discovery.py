"""What a client asks before it has a token: where the API is, and what it understands."""

from flask import Response

from portal.api.answers import Answer
from portal.api.calls import Call
from portal.api.contract import Media, operation
from portal.api.documents.account import DiscoveryDocument, TargetDocument
from portal.api.documents.base import page
from portal.installation import VERSION
from registry import jobs, versions

CLIENT_MINIMUM = "0.1.0"


@operation("GET", "/.well-known/countersign.json", answers={200: DiscoveryDocument}, public=True, prefix="")
def server(call: Call) -> Answer:
    """What this server is."""
    targets = {tuple(sorted(worker.target.items())): worker.target for worker in jobs.alive_workers(call.session)}
    return Answer(
        DiscoveryDocument(
            api=page("/api/v1"),
            version=VERSION,
            client_minimum=CLIENT_MINIMUM,
            max_upload_bytes=call.settings.max_upload_bytes,
            targets=[TargetDocument(**target) for _, target in sorted(targets.items())],
            formats=list(versions.EXTENSIONS),
        )
    )


@operation("GET", "/openapi.json", answers={200: Media("application/json", "OpenAPI 3.1.")}, public=True)
def document(_call: Call) -> Response:
    """Describe the API."""
    from portal.api import openapi  # noqa: PLC0415 - it describes the operations, this one among them

    return Response(openapi.text(), mimetype="application/json", headers={"Cache-Control": "no-cache"})
