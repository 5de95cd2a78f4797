"""An image as documents and layers: config, OCI manifest, archive; knows no engine.

One archive serves old and new tools: the OCI layout (``oci-layout``, ``index.json``, ``blobs/``) with Docker's
``manifest.json`` beside it, over *uncompressed* layers, so that every digest is known before a byte is written.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from builders import tarball
from builders.layers import LayerStore
from builders.tarball import Layer
from formats import canonical, digest

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

CREATED = "1970-01-01T00:00:00Z"
"""Every image says it was made then: a real time would give the same inputs another digest."""

_GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


def go_architecture(machine: str) -> str:
    """Return the name engines use for ``machine`` (``x86_64`` is ``amd64``)."""
    return _GO_ARCH.get(machine, machine)


@dataclass(frozen=True)
class Image:
    """An image before it exists anywhere: canonical config bytes and the layers from the base upwards."""

    config: bytes
    layers: tuple[Layer, ...]

    @property
    def image_id(self) -> str:
        """Digest of the config: what engines with the classic image store call the image's ID."""
        return digest.of_bytes(self.config)

    @cached_property
    def manifest(self) -> bytes:
        """The OCI manifest, canonical JSON."""
        return canonical.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": {"mediaType": CONFIG_TYPE, "digest": self.image_id, "size": len(self.config)},
                "layers": [
                    {"mediaType": LAYER_TYPE, "digest": layer.diff_id, "size": layer.size} for layer in self.layers
                ],
            }
        )

    @property
    def image_digest(self) -> str:
        """Digest of the OCI manifest: the name of this image everywhere in Countersign."""
        return digest.of_bytes(self.manifest)


def assemble(os_name: str, architecture: str, settings: Mapping[str, Any], layers: Sequence[Layer]) -> Image:
    """Write the config of an image.

    :param architecture: as engines name it, e.g. ``amd64``; ``os_name`` too, e.g. ``linux``.
    :param settings: the OCI ``config`` object: ``Entrypoint``, ``Env``, ``User``, ``Labels`` ...
    """
    document = {
        "architecture": architecture,
        "os": os_name,
        "created": CREATED,
        "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": "countersign"} for _ in layers],
    }
    return Image(canonical.dumps(document), tuple(layers))


def archive_stream(
    image: Image, store: LayerStore, *, omit: Collection[str] = (), loadable: bool = True
) -> Iterator[bytes]:
    """Yield the bytes of the image's OCI archive; the same image gives the same bytes.

    :param omit: digests of layers to leave out. Only for an engine that holds them already; such an archive is no OCI layout.
    :param loadable: False leaves out ``manifest.json``, so that ``docker load`` refuses what holds no system to run on.
    :raises LayerMissing: before the first byte, when the store lacks a layer. A damaged one raises when it is copied.
    """
    manifest = {"mediaType": MANIFEST_TYPE, "digest": image.image_digest, "size": len(image.manifest)}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest]}
    docker = [
        {"Config": _blob(image.image_id), "RepoTags": None, "Layers": [_blob(layer.diff_id) for layer in image.layers]}
    ]
    entries = [
        tarball.file("oci-layout", canonical.dumps({"imageLayoutVersion": "1.0.0"})),
        tarball.file("index.json", canonical.dumps(index)),
        *([tarball.file("manifest.json", canonical.dumps(docker))] if loadable else []),
        tarball.file(_blob(image.image_id), image.config),
        tarball.file(_blob(image.image_digest), image.manifest),
        *(store.entry(_blob(diff_id), diff_id) for diff_id in {layer.diff_id for layer in image.layers} - set(omit)),
    ]
    return tarball.tar_stream(entries)


def write_archive(image: Image, store: LayerStore, sink: BinaryIO, *, loadable: bool = True) -> Layer:
    """Write the OCI archive to ``sink``; return digest and size of the archive itself. See :func:`archive_stream`."""
    return tarball.write_chunks(archive_stream(image, store, loadable=loadable), sink)


def _blob(of: str) -> str:
    return f"blobs/sha256/{of.removeprefix('sha256:')}"
