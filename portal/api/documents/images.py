"""Images and jobs as JSON."""

from collections.abc import Sequence
from typing import Any, Literal

from portal.api.documents.account import TargetDocument
from portal.api.documents.advisories import StandingDocument
from portal.api.documents.base import Digest, Document, FullName, Link, Moment, Page, page
from registry.advisories import Standing
from registry.orm.image import Image, ImageRebuild
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
    reference: str | None
    """`registry/repository@sha256:...`, where it was pushed; deploy by this."""
    base: str
    """Digest of the base image, or `host`."""
    target: TargetDocument
    platform: str | None
    """Digest of what it stands on beside its models; null: baked before platforms were kept."""
    size: int
    """Bytes of all layers, uncompressed."""
    key_fingerprint: Digest
    """Of the key that sealed the manifest."""
    freed_at: Moment | None
    """Since when its layers are not kept; a rebuild brings them back."""
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


class DifferenceDocument(Document):
    """The first layer, from the lowest, that did not come out as released."""

    role: str
    """`base`, `environment`, `runtime`, `app`, `model`, `manifest`; `config` when all layers are equal."""
    path: str
    expected: str
    found: str


class RebuildDocument(Document):
    """A baking anew of a released image, to compare."""

    id: str
    image_digest: Digest
    state: Literal["queued", "equal", "differs", "failed"]
    found_digest: Digest | None
    difference: DifferenceDocument | None
    error: dict[str, Any] | None
    """Why nothing came out: `code`, `message` and `hint`."""
    created_at: Moment
    finished_at: Moment | None
    url: Link

    @classmethod
    def of(cls, rebuild: ImageRebuild, image: Image) -> "RebuildDocument":
        """From a row and its image."""
        return cls(
            id=str(rebuild.id),
            image_digest=image.digest,
            state=rebuild.state.value,
            found_digest=rebuild.found_digest,
            difference=DifferenceDocument(**rebuild.difference) if rebuild.difference else None,
            error=rebuild.error,
            created_at=rebuild.created_at,
            finished_at=rebuild.finished_at,
            url=page(f"/images/{image.digest}"),
        )


class ImageDocument(ImageSummary):
    """An image with its layers."""

    layers: list[LayerDocument]
    smoke: SmokeDocument
    advisories: StandingDocument
    rebuilds: list[RebuildDocument]
    """The last ten, newest first."""


class ImagePage(Page[ImageSummary]):
    """Images, newest first."""


def image_summary(image: Image) -> ImageSummary:
    """From a row with bundle and members."""
    return ImageSummary(**_common(image))


def image_document(image: Image, rebuilt: Sequence[ImageRebuild], standing: Standing) -> ImageDocument:
    """From a row with everything."""
    smoke = SmokeDocument(outcome=str(image.smoke.get("outcome", "")), summary=str(image.smoke.get("summary", "")))
    layers = [LayerDocument(diff_id=layer["diff_id"], size=layer["size"]) for layer in image.layers]
    rebuilds = [RebuildDocument.of(rebuild, image) for rebuild in rebuilt]
    return ImageDocument(
        **_common(image), layers=layers, smoke=smoke, advisories=StandingDocument.of(standing), rebuilds=rebuilds
    )


def _common(image: Image) -> dict[str, Any]:
    held = [f"{member.version.model.full_name}:{member.version.number}" for member in image.members]
    return {
        "digest": image.digest,
        "engine_id": image.engine_id,
        "bundle": image.bundle.full_name,
        "versions": sorted(held),
        "isolation": image.isolation,
        "reference": image.reference,
        "base": image.base,
        "target": image.target,
        "platform": image.platform,
        "size": image.size,
        "key_fingerprint": image.key_fingerprint,
        "freed_at": image.freed_at,
        "created_at": image.created_at,
        "url": page(f"/images/{image.digest}"),
    }


class JobDocument(Document):
    """A piece of work in the queue."""

    id: str
    kind: Literal["check", "bake", "rebuild", "rescan", "advisories", "move"]
    subject: str
    """API path of the version, build, rebuild, bundle of advisories or platform change it works on."""
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
