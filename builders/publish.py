"""Push an image to a registry, and attach its bill of materials and provenance to it.

What is there already is not sent again, and every manifest is read back, so that a push that was cut off is done again
safely. Registries that know OCI 1.1 list what refers to an image by themselves; for others the list is a tag of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from builders import distribution
from builders.distribution import Repository
from builders.image import INDEX_TYPE, MANIFEST_TYPE, Image
from builders.layers import LayerStore
from formats import canonical, digest

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Attachment:
    """A document about an image: its media type, e.g. ``application/vnd.cyclonedx+json``, and the name of its file."""

    kind: str
    title: str
    data: bytes


def push(
    image: Image,
    store: LayerStore,
    repository: Repository,
    attachments: Sequence[Attachment],
    log: Callable[[str], None],
) -> str:
    """Push the image under its digest and a tag of the digest's first twelve digits; return ``registry/name@sha256:...``.

    :raises RegistryRefused: the registry refuses, does not answer, or does not hold afterwards what was sent.
    """
    sent = 0
    for layer in image.layers:
        if repository.put_blob(layer.diff_id, layer.size, _opener(store, layer.diff_id)):
            sent += layer.size
    repository.put_blob(image.image_id, len(image.config), distribution.small(image.config))
    repository.put_manifest(image.manifest, MANIFEST_TYPE, tag=digest.parse(image.image_digest)[:12])
    for attachment in attachments:
        _attach(image, attachment, repository)
    reference = f"{repository.place}@{image.image_digest}"
    log(f"pushed {reference}, {sent / 1e6:.1f} MB were not there yet")
    return reference


def _opener(store: LayerStore, diff_id: str) -> Callable[[], BinaryIO]:
    return lambda: store.open(diff_id)


def _attach(image: Image, attachment: Attachment, repository: Repository) -> None:
    of = digest.of_bytes(attachment.data)
    repository.put_blob(of, len(attachment.data), distribution.small(attachment.data))
    repository.put_blob(digest.of_bytes(EMPTY), len(EMPTY), distribution.small(EMPTY))
    manifest = canonical.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": attachment.kind,
            "config": {"mediaType": EMPTY_TYPE, "digest": digest.of_bytes(EMPTY), "size": len(EMPTY)},
            "layers": [{"mediaType": attachment.kind, "digest": of, "size": len(attachment.data)}],
            "subject": {"mediaType": MANIFEST_TYPE, "digest": image.image_digest, "size": len(image.manifest)},
            "annotations": {TITLE: attachment.title},
        }
    )
    if not repository.put_manifest(manifest, MANIFEST_TYPE):
        _list(image, attachment, manifest, repository)


def _list(image: Image, attachment: Attachment, manifest: bytes, repository: Repository) -> None:
    """Add to the image's list of referrers, OCI 1.1's tag schema; a former document of that name gives way."""
    tag = image.image_digest.replace(":", "-")
    there = repository.get_manifest(tag)
    listed: list[Mapping[str, Any]] = distribution.document(there)["manifests"] if there else []
    ours = {
        "mediaType": MANIFEST_TYPE,
        "artifactType": attachment.kind,
        "digest": digest.of_bytes(manifest),
        "size": len(manifest),
        "annotations": {TITLE: attachment.title},
    }
    others = [item for item in listed if item.get("annotations") != ours["annotations"]]
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*others, ours]}
    repository.put_manifest(canonical.dumps(index), INDEX_TYPE, tag=tag)
