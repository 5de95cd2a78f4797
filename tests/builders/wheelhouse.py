"""Small wheels made on the spot, and locks over them."""

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from formats import digest
from formats.lock import Lock, Target, Wheel

TARGET = Target("linux", "x86_64", "glibc-2.36", "3.11")


def make_wheel(
    name: str, version: str, files: Mapping[str, bytes | str], *, record: bytes | None = None, executable: str = ""
) -> bytes:
    """A wheel with the given members; metadata and RECORD are added."""
    info = f"{name}-{version}.dist-info"
    members = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\r\n")
    for path, data in members.items():
        hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        writer.writerow([path, f"sha256={hashed}", len(data)])
    writer.writerow([f"{info}/RECORD", "", ""])
    members[f"{info}/RECORD"] = rows.getvalue().encode() if record is None else record
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            member = zipfile.ZipInfo(path)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = (0o100755 if path == executable else 0o100644) << 16
            archive.writestr(member, data)
    return sink.getvalue()


@dataclass
class Wheelhouse:
    """Wheels by digest, and locks over them."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    wheels: list[Wheel] = field(default_factory=list)

    def add(self, name: str, data: bytes, *, version: str = "1.0") -> "Wheelhouse":
        of = digest.of_bytes(data)
        self.blobs[of] = data
        self.wheels.append(Wheel(name.replace("_", "-"), version, f"{name}-{version}-py3-none-any.whl", of, len(data)))
        return self

    def lock(self, target: Target = TARGET) -> Lock:
        return Lock(target, tuple(sorted(self.wheels, key=lambda wheel: wheel.name)))

    def open(self, of: str) -> BinaryIO:
        return io.BytesIO(self.blobs[of])
