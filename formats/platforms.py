"""A platform: what an image stands on beside its models. Its digest is what two people approve.

Anybody who has a sealed manifest can work it out: :func:`of_manifest`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import artifacts, canonical
from .artifacts import File
from .lock import Target
from .manifest import HOST_BASE, Manifest
from .shapes import Node

SCHEMA = "countersign.platform/1"


@dataclass(frozen=True, slots=True)
class Platform:
    """``base`` is the digest of the base image, or ``host``; ``runtime`` that of the serving runtime's lock.

    ``app`` lists the modules of the serving code, sorted by path; what is compiled from them is not listed.
    """

    base: str
    target: Target
    runtime: str
    app: tuple[File, ...]

    @property
    def digest(self) -> str:
        return canonical.digest(self.to_dict())

    @property
    def line(self) -> str:
        return line(self.target, host=self.base == HOST_BASE)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "base": self.base,
            "target": self.target.to_dict(),
            "runtime": self.runtime,
            "app": [file.to_dict() for file in self.app],
        }

    @classmethod
    def from_dict(cls, value: Any) -> "Platform":
        """:raises ShapeError: unknown or missing key, other version, files out of order."""
        node = Node(value)
        node.schema(SCHEMA)
        fields = node.fields(("schema", "base", "target", "runtime", "app"))
        if fields["base"].value != HOST_BASE:
            fields["base"].digest()
        files = tuple(File.from_dict(item.value, item.path) for item in fields["app"].items(least=1))
        return cls(
            base=fields["base"].value,
            target=Target.from_dict(fields["target"].value, "target"),
            runtime=fields["runtime"].digest(),
            app=artifacts.in_order(files, fields["app"]),
        )


def line(target: Target, *, host: bool) -> str:
    """Digest of what platforms must have in common to take each other's place: the target, and whether they are the host's."""
    return canonical.digest({"target": target.to_dict(), "host": host})


def sources(files: Iterable[File]) -> tuple[File, ...]:
    """The modules among the files of a serving code's folder, sorted by path."""
    return tuple(sorted((file for file in files if file.path.endswith(".py")), key=lambda file: file.path))


def of_manifest(sealed: Manifest) -> Platform:
    """The platform that the image of this manifest stands on."""
    return Platform(sealed.base, sealed.target, sealed.runtime.lock, sources(sealed.app.files))
