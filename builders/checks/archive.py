"""A ZIP archive in the one plain layout that writers use, so that every reader sees the same members.

ZIP says everything twice, in front of each member and in the directory at the end, and lets bytes lie around them; readers
disagree about which to believe. Here both must agree, members must follow each other without a gap, and nothing
may stand before the first or after the directory.
"""

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from builders.checks.container import too_large
from builders.checks.limits import Limits
from builders.checks.report import Refused

_END = struct.Struct("<4s4H2LH")
_LISTED = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_MEMBERS = 100_000
_UTF8 = 0x800
_STORED, _DEFLATED = 0, 8
_PIECE = 1 << 18

_AGAIN = "Write it again with the tool that wrote it (skops.io.dump, pip wheel), and push that file as it is."

FLAT = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,120}")
"""Names without folders."""
NESTED = re.compile(rb"[A-Za-z0-9_.+/ -]{1,255}")
"""Names with folders, whose entries end with a slash."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive; sizes and offset in bytes."""

    name: str
    size: int
    packed: int
    method: int
    crc: int
    offset: int


class Archive:
    """The members of a ZIP file, by name."""

    def __init__(self, file: BinaryIO, size: int, limits: Limits, names: re.Pattern[bytes] = FLAT) -> None:
        """Read the directory.

        :param names: what members may be called, `FLAT` or `NESTED`.
        :raises Refused: any layout but the plain one, or members that unpack to more than is allowed.
        """
        self._file = file
        self.members: dict[str, Member] = {}
        for member in _directory(file, size, names):
            if member.name in self.members:
                raise _refuse(f"The archive holds {member.name} twice")
            self.members[member.name] = member
        unpacked = sum(member.size for member in self.members.values())
        if unpacked > limits.inflated_size:
            raise Refused(
                "bomb",
                f"The archive's members unpack to {unpacked} bytes; {limits.inflated_size} are allowed.",
                "Drop what prediction does not need, or ask the operator for a higher limit.",
            )

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of ``member``, its size and checksum proven once the last piece was taken.

        :raises Refused: they are not what the directory says.
        """
        self._file.seek(member.offset + _LOCAL.size + len(member.name))
        left, total, crc = member.packed, 0, 0
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == _DEFLATED else None
        while left:
            data = self._file.read(min(left, _PIECE))
            left -= len(data)
            if not data:
                raise _refuse(f"The archive ends inside {member.name}", code="truncated")
            while data:
                piece = self._inflated(inflate, data, member) if inflate else data
                data = inflate.unconsumed_tail if inflate else b""
                total += len(piece)
                if total > member.size or (inflate and inflate.unused_data):
                    raise _refuse(f"{member.name} unpacks to more than the {member.size} bytes that the archive says")
                crc = zlib.crc32(piece, crc)
                yield piece
        if total != member.size or crc != member.crc or (inflate and not inflate.eof):
            raise _refuse(f"{member.name} is not what the archive says: its size or checksum differs")

    @staticmethod
    def _inflated(inflate: "zlib._Decompress", data: bytes, member: Member) -> bytes:
        try:
            return inflate.decompress(data, _PIECE * 4)
        except zlib.error as error:
            raise _refuse(f"{member.name} cannot be unpacked: {error}", code="malformed") from None

    def read(self, member: Member, most: int) -> bytes:
        """All of ``member``.

        :raises Refused: it has more than ``most`` bytes.
        """
        if member.size > most:
            raise too_large(member.name, member.size, most)
        return b"".join(self.pieces(member))


def _directory(file: BinaryIO, size: int, names: re.Pattern[bytes]) -> Iterator[Member]:
    if size < _END.size:
        raise _refuse("The archive is cut off", code="truncated")
    file.seek(size - _END.size)
    end = _END.unpack(_exactly(file, _END.size))
    mark, disk, first_disk, here, count, length, start, comment = end
    if mark != b"PK\x05\x06" or comment:
        raise _refuse(
            "The archive does not end with its directory: it is cut off, or something follows it", code="trailing-bytes"
        )
    if disk or first_disk or here != count or start + length != size - _END.size or count > _MOST_MEMBERS:
        raise _refuse("The archive's directory is not where its end says")
    file.seek(start)
    directory = _exactly(file, length)
    at = expected = 0
    for _ in range(count):
        if at + _LISTED.size > length:
            raise _refuse("The archive's directory is cut off")
        fields = _LISTED.unpack_from(directory, at)
        mark, _made, _needs, flags, method, time, date, crc, packed, unpacked, name_size, extra, note, disk = fields[
            :14
        ]
        attributes, offset = fields[15], fields[16]
        name = directory[at + _LISTED.size : at + _LISTED.size + name_size]
        at += _LISTED.size + name_size
        if mark != b"PK\x01\x02" or extra or note or disk or flags & ~_UTF8 or method not in (_STORED, _DEFLATED):
            raise _refuse(
                "The archive's directory has an entry that plain writers never write (encrypted, commented, or another method)"
            )
        if not names.fullmatch(name):
            raise _refuse(f"The archive has a member with the name {name[:60]!r}; plain file names are expected")
        kind = stat.S_IFMT(attributes >> 16)
        if kind not in (0, stat.S_IFREG) and not (kind == stat.S_IFDIR and name.endswith(b"/")):
            raise _refuse(f"{name.decode()} is a link or a device; plain files are expected")
        if method == _STORED and packed != unpacked:
            raise _refuse(f"{name.decode()} is stored as it is, but has two sizes")
        if offset != expected:
            raise _refuse(f"Bytes lie between the archive's members, before {name.decode()}")
        file.seek(offset)
        local = _exactly(file, _LOCAL.size + name_size)
        wanted = (b"PK\x03\x04", flags, method, time, date, crc, packed, unpacked, name_size, 0)
        found = _LOCAL.unpack_from(local)
        if (found[0], *found[2:]) != wanted or local[_LOCAL.size :] != name:
            raise _refuse(f"The archive says two different things about {name.decode()}")
        expected = offset + _LOCAL.size + name_size + packed
        yield Member(name.decode(), unpacked, packed, method, crc, offset)
    if expected != start or at != length:
        raise _refuse("Bytes lie between the archive's members and its directory")


def _exactly(file: BinaryIO, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        piece = file.read(count - len(parts))
        if not piece:
            raise _refuse("The archive is cut off", code="truncated")
        parts += piece
    return parts


def _refuse(message: str, *, code: str = "unsafe-construct") -> Refused:
    return Refused(code, message + ".", _AGAIN)
