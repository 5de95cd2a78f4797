"""What an image will be, known before a byte of it is written: pure, no file and no engine is touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from builders import image
from builders.image import Image
from builders.tarball import Layer
from formats.lock import Target
from formats.manifest import HOST_BASE

ROOT = "opt/countersign"
APP_PATH = f"{ROOT}/app"
RUNTIME_PATH = f"{ROOT}/runtime"
MANIFEST_PATH = f"{ROOT}/manifest.dsse.json"
START = f"/{APP_PATH}/start.py"
USER = "10001:10001"
REST_PORT, GRPC_PORT = 8080, 8081

_PLAIN_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")


@dataclass(frozen=True, slots=True)
class Base:
    """What an image stands on.

    ``digest`` is that of the OCI manifest over the uncompressed layers and the base's own config, so an archive and a pulled
    image of the same content are one base; for the host's interpreter it is ``host``, and there are no layers.
    ``image_id`` is the digest of its config; ``python`` the full version, e.g. ``3.11.2``; ``env`` lines ``NAME=value``.
    """

    digest: str
    image_id: str
    layers: tuple[Layer, ...]
    env: tuple[str, ...]
    python: str
    target: Target

    @property
    def is_host(self) -> bool:
        return self.digest == HOST_BASE


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of ours. ``made_of`` is the digest of what decided its bytes: lock, artifact manifest, sealed manifest."""

    role: Literal["runtime", "environment", "app", "model", "manifest"]
    path: str
    layer: Layer
    made_of: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "path": self.path,
            "diff_id": self.layer.diff_id,
            "size": self.layer.size,
            "made_of": self.made_of,
        }


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """One image to be: the same plan gives the same bytes on any machine."""

    bundle: str
    base: Base
    parts: tuple[Part, ...]
    image: Image

    @property
    def image_digest(self) -> str:
        return self.image.image_digest

    @property
    def image_id(self) -> str:
        return self.image.image_id

    @property
    def loadable(self) -> bool:
        """Whether an engine may load it: what stands on the host's interpreter holds no system of its own."""
        return not self.base.is_host

    def to_dict(self) -> dict[str, Any]:
        """The plan as the build's log and provenance show it."""
        return {
            "bundle": self.bundle,
            "base": self.base.digest,
            "target": self.base.target.to_dict(),
            "parts": [part.to_dict() for part in self.parts],
            "image_digest": self.image_digest,
            "image_id": self.image_id,
        }


def plan(
    *,
    bundle: str,
    base: Base,
    runtime: Part,
    environments: Sequence[Part],
    app: Part,
    models: Sequence[Part],
    manifest: Part,
    releases: Sequence[str],
) -> BuildPlan:
    """Plan a release image.

    Environments come first, directly on the base, as in the sandbox that checked their models: an engine knows a layer only
    together with all below it, so it holds them already and is sent the rest alone.

    :param bundle: ``team/name``.
    :param models: in the order of the sealed manifest, as are ``releases``, their release digests.
    """
    parts = (*sorted(environments, key=lambda part: part.path), runtime, app, *models, manifest)
    labels = {
        "countersign.kind": "host-release" if base.is_host else "release",
        "countersign.bundle": bundle,
        "countersign.base": base.digest,
        "countersign.manifest": manifest.made_of,
        "countersign.releases": ",".join(releases),
    }
    settings = {
        "Entrypoint": ["python3", "-I", START],
        "User": USER,
        "WorkingDir": "/",
        "ExposedPorts": {f"{REST_PORT}/tcp": {}, f"{GRPC_PORT}/tcp": {}},
        "StopSignal": "SIGTERM",
        "Env": list(base.env or _PLAIN_ENV),
        "Labels": labels,
    }
    return BuildPlan(bundle, base, parts, _on(base, settings, [part.layer for part in parts]))


def scratch(base: Base, layers: Sequence[Layer]) -> Image:
    """Plan an image that lives for one sandbox or compilation: ``layers`` over ``base``, nothing else set."""
    labels = {"countersign.kind": "scratch", "countersign.base": base.digest}
    settings = {"User": USER, "WorkingDir": "/", "Env": list(base.env or _PLAIN_ENV), "Labels": labels}
    return _on(base, settings, layers)


def _on(base: Base, settings: dict[str, Any], layers: Sequence[Layer]) -> Image:
    os_name = {"macos": "darwin"}.get(base.target.os, base.target.os)
    return image.assemble(os_name, image.go_architecture(base.target.arch), settings, [*base.layers, *layers])
