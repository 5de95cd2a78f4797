"""Wheels as members of a layer: what an installer would put into a site folder, without an installer.

Unpacking runs nothing. Scripts are left out: their first line would name an interpreter, and nobody calls them in an image.
"""

import csv
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from builders import tarball
from builders.tarball import Entry, LayerError, UnsafePath
from formats import digest
from formats.lock import Lock, Wheel

OpenBlob = Callable[[str], BinaryIO]
"""Opens stored bytes by digest; the stream must be seekable."""

MAX_UNPACKED = 4 << 30
"""Bytes that the wheels of one lock may unpack to."""

_AT_START = frozenset({"sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize"})
_SITE_SCHEMES = frozenset({"purelib", "platlib", "data"})


class BadWheel(LayerError):
    """A file is not a wheel that may go into an image."""

    code = "bad-wheel"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reviewer should know; nothing that stops the build."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Site:
    """The members of a site folder, paths relative to it, and what was found on the way."""

    entries: tuple[Entry, ...]
    findings: tuple[Finding, ...]

    def below(self, root: str) -> Iterator[Entry]:
        """Yield the members under ``root``, e.g. ``opt/countersign/envs/0a1b2c3d4e5f``."""
        for entry in self.entries:
            yield tarball.moved(entry, f"{root}/{entry.path}")


@contextmanager
def opened(lock: Lock, open_blob: OpenBlob, *, max_unpacked: int = MAX_UNPACKED) -> Iterator[Site]:
    """Open the wheels of ``lock``; the entries of the site can be read until this is left.

    :raises BadWheel: bytes of another digest than the lock's, no wheel, a path that leaves the folder, links, code that
        would run whenever Python starts, or more than ``max_unpacked`` bytes.
    """
    with ExitStack() as stack:
        found: dict[str, Entry] = {}
        checksums: dict[str, int] = {}
        findings: list[Finding] = []
        for wheel in lock.wheels:
            archive = stack.enter_context(_archive(wheel, stack.enter_context(open_blob(wheel.sha256))))
            for entry, checksum in _members(wheel, archive, findings):
                if checksums.get(entry.path, checksum) != checksum:
                    findings.append(_overwritten(wheel, entry.path))
                found[entry.path], checksums[entry.path] = entry, checksum
        total = sum(entry.size for entry in found.values())
        if total > max_unpacked:
            raise BadWheel(
                f"the wheels of this lock unpack to {total} bytes, at most {max_unpacked} are allowed",
                hint="Leave out packages that the model does not need, or raise the limit.",
            )
        try:
            yield Site(tuple(found.values()), tuple(findings))
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:  # a member read by whoever writes the layer
            raise BadWheel(
                f"a wheel of this lock cannot be unpacked: {error}", hint="Use other builds of it."
            ) from error


def inspect(lock: Lock, open_blob: OpenBlob) -> tuple[Finding, ...]:
    """Look at the wheels of a lock without unpacking them; errors as :func:`opened`."""
    with opened(lock, open_blob) as site:
        return site.findings


def top_level(lock: Lock, open_blob: OpenBlob) -> dict[str, frozenset[str]]:
    """File name of each wheel -> the names of modules and packages that it puts into a site folder; errors as :func:`opened`."""
    found = {}
    for wheel in lock.wheels:
        with open_blob(wheel.sha256) as blob, _archive(wheel, blob) as archive:
            data = _info_folder(wheel, archive).removesuffix(".dist-info") + ".data"
            places = [_place(wheel, name, data, []) for name in archive.namelist() if not name.endswith("/")]
            tops = {place.partition("/")[0] for place in places if place}
            found[wheel.filename] = frozenset(
                top.partition(".")[0] for top in tops if not top.endswith((".dist-info", ".libs"))
            )
    return found


@contextmanager
def _archive(wheel: Wheel, blob: BinaryIO) -> Iterator[zipfile.ZipFile]:
    found, _ = digest.of_stream(blob)
    if found != wheel.sha256:
        raise BadWheel(
            f"{wheel.filename} should have digest {wheel.sha256}, its bytes have {found}",
            hint="The stored file is damaged: fetch the wheel again.",
        )
    blob.seek(0)
    try:
        archive = zipfile.ZipFile(blob)
    except zipfile.BadZipFile as error:
        raise BadWheel(f"{wheel.filename} is no zip archive: {error}", hint="Fetch the wheel again.") from error
    with archive:
        yield archive


def _members(wheel: Wheel, archive: zipfile.ZipFile, findings: list[Finding]) -> Iterator[tuple[Entry, int]]:
    info = _info_folder(wheel, archive)
    data = info.removesuffix(".dist-info") + ".data"
    placed: dict[str, str | None] = {}
    for member in archive.infolist():
        if member.filename.endswith("/"):
            continue
        _check(wheel, member)
        if member.filename in placed:
            raise BadWheel(
                f"{wheel.filename} holds {member.filename!r} twice", hint="Use another build of this package."
            )
        place = placed[member.filename] = _place(wheel, member.filename, data, findings)
        if place is not None and place != f"{info}/RECORD":
            mode = 0o755 if member.external_attr >> 16 & stat.S_IXUSR else 0o644
            yield tarball.stream(place, member.file_size, _opener(archive, member), mode=mode), member.CRC
    record = _record(wheel, archive, f"{info}/RECORD", placed)
    yield tarball.file(f"{info}/RECORD", record), zlib.crc32(record)


def _check(wheel: Wheel, member: zipfile.ZipInfo) -> None:
    name = member.filename
    try:
        tarball.safe_path(name)
    except UnsafePath as error:
        raise BadWheel(
            f"{wheel.filename} holds {name!r}, which leaves its folder", hint="Do not use this file."
        ) from error
    kind = stat.S_IFMT(member.external_attr >> 16)
    if "\\" in name or kind not in (0, stat.S_IFREG) or member.flag_bits & 1:
        raise BadWheel(
            f"{wheel.filename}: {name!r} is a link, encrypted or oddly named; a wheel has plain files only",
            hint="Use another build of this package.",
        )


def _info_folder(wheel: Wheel, archive: zipfile.ZipFile) -> str:
    """Return the one ``.dist-info`` folder, which must be this project's and this version's."""
    tops = {name.split("/", 1)[0] for name in archive.namelist()}
    infos = sorted(top for top in tops if top.endswith(".dist-info"))
    named = [info for info in infos if _normal(info.removesuffix(".dist-info").split("-", 1)[0]) == wheel.name]
    if len(infos) != 1 or len(named) != 1 or f"{named[0]}/RECORD" not in archive.namelist():
        raise BadWheel(
            f"{wheel.filename} should hold one .dist-info folder of {wheel.name} with a RECORD, it holds {infos or 'none'}",
            hint="Use another build of this package.",
        )
    return named[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _place(wheel: Wheel, name: str, data: str, findings: list[Finding]) -> str | None:
    """Return where a member goes in the site folder, or None when it stays out."""
    top, _, rest = name.partition("/")
    if top == data:
        scheme, _, name = rest.partition("/")
        if scheme not in _SITE_SCHEMES:
            return None  # scripts and headers
        top, _, rest = name.partition("/")
    if top in _AT_START:
        raise BadWheel(
            f"{wheel.filename} holds {name!r}, which Python runs whenever it starts",
            hint="A package that needs this cannot be served; ask its authors, or leave it out.",
        )
    if not rest and PurePosixPath(top).suffix == ".pth":
        findings.append(
            Finding(
                "path-file",
                f"{wheel.filename} brings {top}, which can run code when Python starts; it was left out.",
                "Nothing to do unless the package fails without it.",
            )
        )
        return None
    # numpy 1.26 brings a compiled module; those of a layer are all made by the base's Python.
    return None if top == "bin" or "__pycache__" in rest.split("/") else name


def _overwritten(wheel: Wheel, path: str) -> Finding:
    return Finding(
        "file-twice",
        f"{path} is in more than one wheel of this lock; the one of {wheel.filename} is used.",
        "Look whether the other package needs its own.",
    )


def _record(wheel: Wheel, archive: zipfile.ZipFile, name: str, placed: dict[str, str | None]) -> bytes:
    """Write RECORD anew: only files that are there, under the place they got, sorted.

    Two installers write it differently for the same files, and it would give the layer another digest.
    """
    try:
        rows = list(csv.reader(io.StringIO(archive.read(name).decode())))
    except (UnicodeDecodeError, csv.Error, zipfile.BadZipFile) as error:
        raise BadWheel(f"{wheel.filename}: RECORD cannot be read: {error}", hint="Fetch the wheel again.") from error
    kept = {place: (*row[1:3], "", "")[:2] for row in rows if row and (place := placed.get(row[0])) is not None}
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\n").writerows([place, *kept[place]] for place in sorted(kept))
    return sink.getvalue().encode()


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def open_member() -> BinaryIO:
        return archive.open(member)  # type: ignore[return-value]  # IO[bytes]: it reads, and is closed

    return open_member
