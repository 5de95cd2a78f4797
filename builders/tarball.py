"""The deterministic tar writer behind every layer and archive.

The same entries give the same bytes on every machine: members are sorted, parents are always present, times are zero,
owners are numbers without names, and the format is PAX as ``tarfile`` writes it. A layer's digest (``diff_id``) is taken
over the uncompressed tar, because compressed bytes depend on the zlib that wrote them.
"""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

_CHUNK = 1 << 20


class LayerError(Exception):
    """A layer cannot be written or read as asked.

    :ivar hint: what to do next, one sentence.
    """

    code = "layer-error"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class UnsafePath(LayerError):
    """A member's path leaves the layer, or is no path at all."""

    code = "unsafe-path"


@dataclass(frozen=True, slots=True)
class Layer:
    """A written layer: ``diff_id`` is ``sha256:<hex>`` of the uncompressed tar, ``size`` its bytes."""

    diff_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer. Make it with :func:`file`, :func:`directory`, :func:`symlink` or :func:`from_folder`."""

    path: str
    kind: bytes
    mode: int
    size: int = 0
    content: Callable[[], BinaryIO] | None = None
    target: str = ""
    uid: int = 0
    gid: int = 0


def file(path: str, source: bytes | Path, *, mode: int = 0o644) -> Entry:
    """Describe a regular file.

    :param source: the bytes themselves, or a file that is opened when the layer is written and must not change until then.
    """
    if isinstance(source, bytes):
        return Entry(path, tarfile.REGTYPE, mode, len(source), lambda: io.BytesIO(source))
    return Entry(path, tarfile.REGTYPE, mode, source.stat().st_size, lambda: source.open("rb"))


def stream(path: str, size: int, content: Callable[[], BinaryIO], *, mode: int = 0o644) -> Entry:
    """Describe a regular file of ``size`` bytes that ``content`` opens when the layer is written."""
    return Entry(path, tarfile.REGTYPE, mode, size, content)


def directory(path: str, *, mode: int = 0o755) -> Entry:
    return Entry(path, tarfile.DIRTYPE, mode)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, tarfile.SYMTYPE, 0o777, target=target)


def moved(entry: Entry, path: str) -> Entry:
    """Return the same member under another path."""
    return replace(entry, path=path)


def safe_path(path: str) -> str:
    """Return ``path`` when it is a plain relative path of a layer.

    :raises UnsafePath: empty, absolute, or with an empty, ``.`` or ``..`` part, or a NUL.
    """
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise UnsafePath(f"{path!r} is not a relative path inside a layer", hint="Look at where this name comes from.")
    return path


def from_folder(root: Path, *, keep: Callable[[str], bool] = lambda _path: True) -> Iterator[Entry]:
    """Describe everything under ``root``: paths relative to it, owners and modes kept, set-id bits dropped.

    Sockets, pipes and devices are left out: an engine makes its own. So are extended attributes: capabilities on files
    would only add rights. ``keep`` is asked for each relative path; a folder that is not kept is not entered.
    """
    for folder, folders, files in os.walk(root, followlinks=False):
        here = os.path.relpath(folder, root)
        names = {name: name if here == "." else f"{here}/{name}" for name in (*folders, *files)}
        folders[:] = [name for name in folders if keep(names[name])]
        for name in (*folders, *files):
            path, place = names[name], Path(folder, name)
            found = place.lstat()
            if keep(path) and (entry := _found(path, place, found)):
                yield replace(entry, uid=found.st_uid, gid=found.st_gid)


def _found(path: str, place: Path, found: os.stat_result) -> Entry | None:
    if stat.S_ISLNK(found.st_mode):
        return symlink(path, str(place.readlink()))
    mode = stat.S_IMODE(found.st_mode) & 0o1777
    if stat.S_ISDIR(found.st_mode):
        return directory(path, mode=mode)
    return Entry(path, tarfile.REGTYPE, mode, found.st_size, _opener(place)) if stat.S_ISREG(found.st_mode) else None


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def tar_stream(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the bytes of the layer of ``entries``, in any order given, parents added where they are missing.

    :raises UnsafePath: a path leaves the layer, or a member is said to lie inside something that is no folder.
    :raises LayerError: two entries of one path, or a file that is shorter or longer than its entry says.
    """
    for entry in _complete(entries):
        yield _header(entry)
        if entry.content is not None:
            yield from _body(entry, entry.content)
    yield b"\0" * 1024


def write_layer(entries: Iterable[Entry], sink: BinaryIO) -> Layer:
    """Write the layer of ``entries`` to ``sink`` and return its digest and size; see :func:`tar_stream` for errors."""
    return write_chunks(tar_stream(entries), sink)


def write_chunks(chunks: Iterable[bytes], sink: BinaryIO) -> Layer:
    """Copy the bytes of a finished tar to ``sink`` and return their digest and size."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        sink.write(chunk)
        size += len(chunk)
    return Layer(f"sha256:{digest.hexdigest()}", size)


def _complete(entries: Iterable[Entry]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(safe_path(entry.path), entry) is not entry:
            raise LayerError(f"{entry.path!r} is twice in one layer", hint="One of the two must go.")
    for path in list(found):
        parent = path.rpartition("/")[0]
        while parent:
            if found.setdefault(parent, directory(parent)).kind != tarfile.DIRTYPE:
                raise UnsafePath(f"{path!r} lies inside {parent!r}, which is no folder", hint="One of the two must go.")
            parent = parent.rpartition("/")[0]
    # By parts, not by text: "a-b" sorts before "a/b", and a folder comes before what is in it.
    return sorted(found.values(), key=lambda entry: entry.path.split("/"))


def _header(entry: Entry) -> bytes:
    member = tarfile.TarInfo(entry.path)
    member.type, member.mode, member.size = entry.kind, entry.mode, entry.size
    member.linkname, member.uid, member.gid = entry.target, entry.uid, entry.gid
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _body(entry: Entry, content: Callable[[], BinaryIO]) -> Iterator[bytes]:
    left = entry.size
    with content() as source:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
    if left:
        raise LayerError(
            f"{entry.path!r} was {entry.size} bytes when the layer was planned and is not any more",
            hint="Nothing may write to a layer's sources while it is built; run the build again.",
        )
    yield b"\0" * (-entry.size % 512)


class Checked(io.RawIOBase):
    """A stream that is hashed while it is read, and raises at its end when the digest is not the expected one."""

    def __init__(self, source: BinaryIO | io.RawIOBase, expected: str, wrong: Callable[[str], Exception]) -> None:
        """``wrong`` makes the error from the digest found."""
        super().__init__()
        self._source, self._expected, self._wrong = source, expected, wrong
        self._hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._source.read(len(buffer)) or b""
        buffer[: len(chunk)] = chunk
        self._hash.update(chunk)
        if not chunk and (found := f"sha256:{self._hash.hexdigest()}") != self._expected:
            raise self._wrong(found)
        return len(chunk)

    def close(self) -> None:
        self._source.close()
        super().close()
