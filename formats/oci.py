"""Read an image archive (OCI layout in a tar) and recompute every digest and size in it, in a stream."""

import gzip
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import canonical
from . import digest as digests
from .shapes import Node, ShapeError

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
TAR_TYPE = "application/vnd.oci.image.layer.v1.tar"
GZIP_TYPE = TAR_TYPE + "+gzip"
# Docker wrote these before it wrote the OCI ones; the formats are the same.
_MANIFEST_TYPES = (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json")
_CONFIG_TYPES = (CONFIG_TYPE, "application/vnd.docker.container.image.v1+json")
_TAR_TYPES = (TAR_TYPE, "application/vnd.docker.image.rootfs.diff.tar")
_GZIP_TYPES = (GZIP_TYPE, "application/vnd.docker.image.rootfs.diff.tar.gzip")

MAX_DOCUMENT = 4 << 20  # bytes: the largest index, manifest or config read into memory

_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")


class BadArchive(ValueError):
    """The archive is not an OCI image archive, or its content is not what it says."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. ``digest`` and ``size`` (bytes) are of the blob as stored; ``diff_id`` is of the tar inside it."""

    digest: str
    size: int
    media_type: str
    diff_id: str


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image whose every digest was recomputed. ``config`` is the whole image configuration."""

    manifest_digest: str
    config_digest: str
    layers: tuple[Layer, ...]
    labels: Mapping[str, str]
    config: Mapping[str, Any]


def read(path: str | Path) -> OciImage:
    """Read and verify the one image in the archive at ``path``.

    Every blob is hashed and must be what its name says; every descriptor must state the size and digest found; every layer
    must unpack to the diff_id the config states; a `manifest.json` for `docker load` must name the same config and layers.

    :raises BadArchive: anything of this does not hold, or the archive is not a plain tar with exactly one image.
    :raises OSError: the file cannot be read.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            return _Archive(archive).image()
    except tarfile.TarError as error:
        raise BadArchive(f"{path}: not an uncompressed tar archive: {error}") from None
    except (ShapeError, canonical.CanonicalError) as error:
        raise BadArchive(f"{path}: {error}") from None


class _Archive:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members: dict[str, tarfile.TarInfo] = {}
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise BadArchive(f"{name}: neither a plain file nor a folder")
            if name in self._members:
                raise BadArchive(f"{name}: appears twice, so two readers could see two images")
            self._members[name] = member

    def image(self) -> OciImage:
        if self._json("oci-layout").members(("imageLayoutVersion",))["imageLayoutVersion"].value != "1.0.0":
            raise BadArchive("oci-layout: only version 1.0.0 is known")
        for name in self._members:
            self._check_blob(name)
        listed = self._json("index.json").members(("manifests",))["manifests"].items()
        if len(listed) != 1:
            raise BadArchive(f"index.json: expected exactly one image, got {len(listed)}: export one platform")
        manifest_digest, _ = self._descriptor(listed[0], _MANIFEST_TYPES)
        manifest = self._blob_json(manifest_digest).members(("config", "layers"))
        config_digest, _ = self._descriptor(manifest["config"], _CONFIG_TYPES)
        config = self._blob_json(config_digest)
        layers = self._layers(manifest["layers"], config)
        self._check_docker_manifest(config_digest, layers)
        return OciImage(manifest_digest, config_digest, layers, _labels(config), config.value)

    def _layers(self, listed: Node, config: Node) -> tuple[Layer, ...]:
        stated = config.members(("rootfs",))["rootfs"].members(("diff_ids",))["diff_ids"].items()
        descriptors = listed.items()
        if len(stated) != len(descriptors):
            raise BadArchive(f"the manifest lists {len(descriptors)} layers, the config {len(stated)}")
        layers = []
        for descriptor, diff_id in zip(descriptors, stated, strict=True):
            digest, media_type = self._descriptor(descriptor, (*_TAR_TYPES, *_GZIP_TYPES))
            found = self._unpacked_digest(digest) if media_type in _GZIP_TYPES else digest
            if found != diff_id.digest():
                raise BadArchive(f"layer {digest} unpacks to {found}, the config states {diff_id.value}")
            layers.append(Layer(digest, self._members[_blob_name(digest)].size, media_type, found))
        return tuple(layers)

    def _descriptor(self, node: Node, types: tuple[str, ...]) -> tuple[str, str]:
        """Digest and media type of a descriptor whose blob is here in the size it states."""
        fields = node.members(("mediaType", "digest", "size"))
        digest, size = fields["digest"].digest(), fields["size"].integer()
        member = self._members.get(_blob_name(digest))
        if member is None:
            raise node.fail(f"blob {digest} is missing: the archive is incomplete")
        if member.size != size:
            raise node.fail(f"blob {digest} is {member.size} bytes long, stated are {size}")
        return digest, fields["mediaType"].one_of(types)

    def _check_blob(self, name: str) -> None:
        match = _BLOB.fullmatch(name)
        if match is None:
            return
        found, _ = digests.of_stream(self._open(name))
        if found != f"sha256:{match.group(1)}":
            raise BadArchive(f"{name}: content is {found}: the blob was changed or damaged")

    def _unpacked_digest(self, digest: str) -> str:
        try:
            with gzip.GzipFile(fileobj=self._open(_blob_name(digest))) as unpacked:
                return digests.of_stream(unpacked)[0]
        except (OSError, EOFError, zlib.error) as error:  # what gzip raises for damage, a cut and noise
            raise BadArchive(f"layer {digest} is not whole gzip: {error}") from None

    def _check_docker_manifest(self, config_digest: str, layers: tuple[Layer, ...]) -> None:
        """Older engines load by `manifest.json` alone: it must not name another image than the index does."""
        if "manifest.json" not in self._members:
            return
        items = self._json("manifest.json").items(least=1, most=1)
        fields = items[0].members(("Config", "Layers"))
        named = [fields["Config"].value, *(layer.value for layer in fields["Layers"].items())]
        if named != [_blob_name(digest) for digest in (config_digest, *(layer.digest for layer in layers))]:
            raise BadArchive("manifest.json names another config or other layers than index.json does")

    def _blob_json(self, digest: str) -> Node:
        return self._json(_blob_name(digest))

    def _json(self, name: str) -> Node:
        member = self._members.get(name)
        if member is None:
            raise BadArchive(f"{name} is missing: not an OCI image archive")
        if member.size > MAX_DOCUMENT:
            raise BadArchive(f"{name}: {member.size} bytes long, allowed are {MAX_DOCUMENT}")
        return Node(canonical.loads(self._open(name).read()), name)

    def _open(self, name: str) -> IO[bytes]:
        file = self._archive.extractfile(self._members[name])
        assert file is not None  # only regular files are kept
        return file


def _blob_name(digest: str) -> str:
    return "blobs/sha256/" + digests.parse(digest)


def _labels(config: Node) -> dict[str, str]:
    section = config.members(()).get("config")
    labels = section.members(()).get("Labels") if section is not None and section.value is not None else None
    if labels is None or labels.value is None:
        return {}
    for label in labels.members(()).values():
        if not isinstance(label.value, str):
            raise label.expected("text")
    return dict(labels.value)
