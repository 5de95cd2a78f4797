"""Images and jobs as JSON."""

from typing import Any, Literal

from portal.api.documents.account import TargetDocument
from portal.api.documents.base import Digest, Document, FullName, Link, Moment, Page, page
from registry.orm.image import Image
from registry.orm.job import Job


class ImageSummary(Document):
    """An image as lists show it."""

    digest: Digest
    """Of the OCI manifest over uncompressed layers: names exactly what runs."""
    engine_id: Digest
    """What a container engine reports as its ID."""
    bundle: FullName
    versions: list[str]
    """What it holds, `team/model:3`."""
    isolation: Literal["container", "process"]
    """`process`: built for the host and run there, never offered for `docker load`."""
    base: str
    """Digest of the base image, or `host`."""
    target: TargetDocument
    size: int
    """Bytes of all layers, uncompressed."""
    key_fingerprint: Digest
    """Of the key that sealed the manifest."""
    created_at: Moment
    url: Link


class LayerDocument(Document):
    """A layer by the digest of its uncompressed bytes."""

    diff_id: Digest
    size: int


class SmokeDocument(Document):
    """How the image answered before it was released."""

    outcome: str
    summary: str


class ImageDocument(ImageSummary):
    """An image with its layers."""

    layers: list[LayerDocument]
    smoke: SmokeDocument


class ImagePage(Page[ImageSummary]):
    """Images, newest first."""


def image_summary(image: Image) -> ImageSummary:
    """From a row with bundle and members."""
    return ImageSummary(**_common(image))


def image_document(image: Image) -> ImageDocument:
    """From a row with everything."""
    smoke = SmokeDocument(outcome=str(image.smoke.get("outcome", "")), summary=str(image.smoke.get("summary", "")))
    layers = [LayerDocument(diff_id=layer["diff_id"], size=layer["size"]) for layer in image.layers]
    return ImageDocument(**_common(image), layers=layers, smoke=smoke)


def _common(image: Image) -> dict[str, Any]:
    held = [f"{member.version.model.full_name}:{member.version.number}" for member in image.members]
    return {
        "digest": image.digest,
        "engine_id": image.engine_id,
        "bundle": image.bundle.full_name,
        "versions": sorted(held),
        "isolation": image.isolation,
        "base": image.base,
        "target": image.target,
        "size": image.size,
        "key_fingerprint": image.key_fingerprint,
        "created_at": image.created_at,
        "url": page(f"/images/{image.digest}"),
    }


class JobDocument(Document):
    """A piece of work in the queue."""

    id: str
    kind: Literal["check", "bake", "rescan"]
    subject: str
    """API path of the version or build it works on."""
    state: Literal["queued", "running", "done", "failed"]
    attempts: int
    error: dict[str, Any] | None
    """Of the last attempt: `code`, `message` and `hint`."""
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None

    @classmethod
    def of(cls, job: Job, subject: str) -> "JobDocument":
        """From a row."""
        return cls(
            id=str(job.id),
            kind=job.kind.value,
            subject=subject,
            state=job.state.value,
            attempts=job.attempts,
            error=job.error,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )
