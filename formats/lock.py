"""Lock: the exact wheels, by digest, that a model runs with on one target."""

import platform
import re
import sys
import sysconfig
from dataclasses import dataclass
from typing import Any

from . import canonical
from . import digest as digests
from .shapes import Node, ShapeError

SCHEMA = "countersign.lock/1"

_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
_ARCH = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model runs: decides which wheels fit. Part of the lock, so part of what is approved."""

    os: str
    arch: str
    libc: str
    python: str

    def __str__(self) -> str:
        return f"{self.os} {self.arch} ({self.libc}), Python {self.python}"

    def to_dict(self) -> dict[str, Any]:
        return {"os": self.os, "arch": self.arch, "libc": self.libc, "python": self.python}

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "Target":
        """:raises ShapeError: naming the place below ``path``."""
        fields = Node(value, path).fields(("os", "arch", "libc", "python"))
        return cls(
            os=fields["os"].one_of(("linux", "macos")),
            arch=fields["arch"].text(r"[a-z0-9_]+", "a machine name such as x86_64 or aarch64"),
            libc=fields["libc"].text(r"[a-z]+(-[0-9]+(\.[0-9]+)*)?", "a C library such as glibc-2.36"),
            python=fields["python"].text(r"3\.[0-9]{1,2}", "a Python minor version such as 3.11"),
        )

    @classmethod
    def host(cls) -> "Target":
        """The target of the interpreter that runs this.

        On Linux ``libc`` is the C library and its version; on macOS, where wheels are tagged by system release, `macos-14.5`.
        """
        machine = platform.machine().lower()
        return cls(
            os="macos" if sys.platform == "darwin" else "linux",
            arch=_ARCH.get(machine, machine),
            libc=_host_libc(),
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
        )


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel. ``name`` is the normalised project name; ``size`` is in bytes."""

    name: str
    version: str
    filename: str
    sha256: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "filename": self.filename,
            "sha256": self.sha256,
            "size": self.size,
        }

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "Wheel":
        """:raises ShapeError: naming the place below ``path``."""
        fields = Node(value, path).fields(("name", "version", "filename", "sha256", "size"))
        return cls(
            name=fields["name"].text(_NAME, "a normalised project name such as scikit-learn"),
            version=fields["version"].text(r"[0-9A-Za-z.!+_-]+", "a version such as 1.9.1"),
            filename=fields["filename"].text(r"[0-9A-Za-z.!+_-]+\.whl", "the file name of a wheel"),
            sha256=fields["sha256"].digest(),
            size=fields["size"].integer(least=1),
        )


@dataclass(frozen=True, slots=True)
class Lock:
    """The wheels of one environment, sorted by name, one per project."""

    target: Target
    wheels: tuple[Wheel, ...]

    def __post_init__(self) -> None:
        names = [wheel.name for wheel in self.wheels]
        if names != sorted(set(names)):
            raise ShapeError("wheels", "wheels are not sorted by name, or a project appears twice")

    @property
    def digest(self) -> str:
        return canonical.digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "target": self.target.to_dict(), "wheels": [wheel.to_dict() for wheel in self.wheels]}

    @classmethod
    def from_dict(cls, value: Any) -> "Lock":
        """:raises ShapeError: unknown or missing key, other version, wrong order, a project twice."""
        node = Node(value)
        node.schema(SCHEMA)
        fields = node.fields(("schema", "target", "wheels"))
        return cls(
            target=Target.from_dict(fields["target"].value, "target"),
            wheels=tuple(Wheel.from_dict(item.value, item.path) for item in fields["wheels"].items()),
        )


def environment_id(lock_digest: str) -> str:
    """The short name of an environment: the first 12 hex digits of its lock's digest."""
    return digests.parse(lock_digest)[:12]


def _host_libc() -> str:
    if sys.platform == "darwin":
        return "macos-" + ".".join(platform.mac_ver()[0].split(".")[:2])
    name, version = platform.libc_ver()
    # The version may carry a distribution's suffix; wheels are tagged by the plain one.
    plain = re.match(r"[0-9]+(\.[0-9]+)*", version)
    if name and plain:
        return f"{name}-{plain.group()}"
    return "musl" if "musl" in str(sysconfig.get_config_var("SOABI")) else "unknown"
