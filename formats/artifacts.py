"""Artifact manifest: the files of a model version, by path, digest and size. Its digest is the artifact digest."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import canonical
from . import digest as digests
from .shapes import Node

SCHEMA = "countersign.artifacts/1"
MAX_PATH = 255  # bytes of UTF-8


class BadPath(ValueError):
    """A path that could leave its folder, or that two systems would spell differently."""


@dataclass(frozen=True, slots=True)
class File:
    """One stored file. ``path`` is relative with `/`; ``sha256`` is `sha256:<hex>`; ``size`` is in bytes."""

    path: str
    sha256: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "sha256": self.sha256, "size": self.size}

    @classmethod
    def from_dict(cls, value: Any, path: str = "") -> "File":
        """:raises ShapeError: naming the place below ``path``."""
        fields = Node(value, path).fields(("path", "sha256", "size"))
        name = fields["path"].text()
        try:
            check_path(name)
        except BadPath as error:
            raise fields["path"].fail(str(error)) from None
        return cls(name, fields["sha256"].digest(), fields["size"].integer())


def check_path(path: str) -> str:
    """``path`` itself when it is safe to join to a folder on any system.

    :raises BadPath: absolute, empty, `.` or `..` segments, backslash, control character, not NFC, or longer than 255 bytes.
    """
    if not path or path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")):
        raise BadPath(f"{path!r} is not a plain relative path: no leading /, no empty, . or .. parts")
    if "\\" in path or any(unicodedata.category(character) in {"Cc", "Cs"} for character in path):
        raise BadPath(f"{path!r} holds a backslash or a control character: rename the file")
    if unicodedata.normalize("NFC", path) != path:
        raise BadPath(f"{path!r} is not in Unicode NFC form: rename the file")
    if len(path.encode()) > MAX_PATH:
        raise BadPath(f"{path!r:.60} is {len(path.encode())} bytes long, allowed are {MAX_PATH}: use a shorter name")
    return path


def build(files: Iterable[File]) -> dict[str, Any]:
    """The artifact manifest of ``files``, sorted by path.

    :raises BadPath: an unsafe path, or two that collide on some system.
    :raises ValueError: no file, a malformed digest, a negative size.
    """
    ordered = sorted(files, key=lambda file: file.path)
    for file in ordered:
        check_path(file.path)
        digests.parse(file.sha256)
        if file.size < 0:
            raise ValueError(f"{file.path}: a size of {file.size} bytes")
    check_distinct(file.path for file in ordered)
    if not ordered:
        raise ValueError("an artifact manifest holds at least one file")
    return {"schema": SCHEMA, "files": [file.to_dict() for file in ordered]}


def parse(manifest: Any) -> tuple[File, ...]:
    """The files of an artifact manifest, read strictly.

    :raises ShapeError: unknown or missing key, other version, wrong order, colliding paths.
    """
    node = Node(manifest)
    node.schema(SCHEMA)
    listed = node.fields(("schema", "files"))["files"]
    files = tuple(File.from_dict(item.value, item.path) for item in listed.items(least=1))
    return in_order(files, listed)


def in_order(files: tuple[File, ...], listed: Node) -> tuple[File, ...]:
    """``files`` when they are sorted by path and do not collide; faults name the place of ``listed``."""
    try:
        check_distinct(file.path for file in files)
    except BadPath as error:
        raise listed.fail(str(error)) from None
    if [file.path for file in files] != sorted(file.path for file in files):
        raise listed.fail("files are not sorted by path")
    return files


def digest(manifest: Any) -> str:
    """The artifact digest.

    :raises ShapeError: ``manifest`` is not an artifact manifest.
    """
    parse(manifest)
    return canonical.digest(manifest)


def check_distinct(paths: Iterable[str]) -> None:
    """:raises BadPath: two paths are the same where case does not count, or one is a folder of another."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        folded = path.casefold()
        if folded in seen:
            raise BadPath(f"{path!r} and {seen[folded]!r} are one file where case does not count: rename one")
        seen[folded] = path
        parts = folded.split("/")
        folders.update({"/".join(parts[:depth]): path for depth in range(1, len(parts))})
    for folded in seen.keys() & folders.keys():
        raise BadPath(f"{seen[folded]!r} is a file and also the folder of {folders[folded]!r}: rename one")
