"""Images, and what proves where they come from."""

import json
from typing import Any

from flask import Response

from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import Media, operation
from portal.api.documents.base import Listing, Nothing
from portal.api.documents.images import ImageDocument, ImagePage, RebuildDocument, image_document, image_summary
from registry import advisories, builds, rebuilds
from registry.access import Permission

CYCLONEDX = "application/vnd.cyclonedx+json"


@operation("GET", "/images", answers={200: ImagePage})
def list_images(call: Call, query: Listing) -> Answer:
    """List images, newest first."""
    found = builds.list_images(call.session, query.place(), actor=call.actor)
    return Answer(ImagePage(items=[image_summary(image) for image in found.items], next=found.next))


@operation("GET", "/images/<digest>", answers={200: ImageDocument})
def show_image(call: Call, digest: str) -> Answer:
    """Show an image."""
    image = builds.get_image(call.session, digest, actor=call.actor)
    return Answer(
        image_document(image, rebuilds.of_image(call.session, image), advisories.of_image(call.session, image))
    )


@operation("POST", "/images/<digest>/rebuild", answers={202: RebuildDocument}, needs=Permission.REBUILD)
def rebuild(call: Call, digest: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """Bake an image anew from what was recorded, and compare.

    A rebuild of the same image that waits or runs already serves instead.
    """
    image = builds.get_image(call.session, digest, actor=call.actor)
    asked = rebuilds.request(call.session, image, actor=call.actor)
    location = f"/api/v1/images/{digest}/rebuilds/{asked.id}"
    return Answer(RebuildDocument.of(asked, image), 202, location=location)


@operation("GET", "/images/<digest>/rebuilds/<rebuild_id>", answers={200: RebuildDocument})
def show_rebuild(call: Call, digest: str, rebuild_id: str) -> Answer:
    """Show a rebuild: whether the same bytes came out."""
    image = builds.get_image(call.session, digest, actor=call.actor)
    return Answer(RebuildDocument.of(rebuilds.get(call.session, image, ident(rebuild_id, "rebuild")), image))


@operation("GET", "/images/<digest>/sbom", answers={200: Media(CYCLONEDX, "CycloneDX bill of materials.")})
def sbom(call: Call, digest: str) -> Response:
    """Download the bill of materials."""
    image = builds.get_image(call.session, digest, actor=call.actor)
    return _download(image.sbom, f"{_short(digest)}.cdx.json", CYCLONEDX)


@operation("GET", "/images/<digest>/provenance", answers={200: Media("application/json", "DSSE envelope, SLSA v1.")})
def provenance(call: Call, digest: str) -> Response:
    """Download the signed provenance."""
    image = builds.get_image(call.session, digest, actor=call.actor)
    return _download(image.provenance, f"{_short(digest)}.provenance.json")


@operation("GET", "/images/<digest>/manifest", answers={200: Media("application/json", "DSSE envelope.")})
def manifest(call: Call, digest: str) -> Response:
    """Download the sealed manifest that the container checks itself against."""
    image = builds.get_image(call.session, digest, actor=call.actor)
    return _download(image.sealed, f"{_short(digest)}.manifest.json")


@operation(
    "GET",
    "/images/<digest>/model-signatures",
    answers={
        200: Media("application/json", "OpenSSF model signatures by version, and the public key to check them with.")
    },
)
def model_signatures(call: Call, digest: str) -> Response:
    """Download the signatures of the models' files."""
    image = builds.get_image(call.session, digest, actor=call.actor)
    return _download(image.model_signatures, f"{_short(digest)}.models.json")


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def _download(document: Any, filename: str, kind: str = "application/json") -> Response:
    response = Response(json.dumps(document, ensure_ascii=False, indent=1) + "\n", content_type=kind)
    response.headers.set("Content-Disposition", "attachment", filename=filename)
    return response
