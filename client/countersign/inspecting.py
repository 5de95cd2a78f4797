"""What the bytes of a model file say about it, without loading it: nothing here imports or runs what a pickle names.

A hint before the upload, not a scan: the server's check decides. It reads opcodes by their pattern because joblib writes
array bytes between them, where a walk over the opcodes would derail.
"""

import bz2
import gzip
import lzma
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

LOOK_LIMIT = 64 << 20  # bytes looked at, after decompression
_BLOCK = 1 << 20
_OVERLAP = 1024  # longer than any match below

_MAGIC = (
    (b"version https://git-lfs", "lfs"),
    (b"\x89HDF\r\n", "hdf5"),
    (b"PK\x03\x04", "zip"),
    (b"PAR1", "parquet"),
    (b"\x7fELF", "elf"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x5d\x00\x00", "lzma"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"<", "text"),
    (b"tree\n", "lightgbm"),
    (b"{", "json"),
)
COMPRESSED = frozenset({"zlib", "gzip", "bz2", "xz", "lzma", "lz4"})
# SHORT_BINUNICODE module [MEMOIZE], SHORT_BINUNICODE name [MEMOIZE], STACK_GLOBAL: how protocol 4 and 5 name an import.
_STACK_GLOBAL = re.compile(
    rb"\x8c(.)([A-Za-z_][\w.]{0,200})\x94?\x8c(.)([\w.<>]{1,200})\x94?\x93", re.DOTALL | re.ASCII
)


_SKOPS_NAME = re.compile(r'"__class__": "([\w.<>]{1,200})", "__module__": "([\w.]{1,200})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen.

    ``kind``: `pickle`, a compression, `zip`, `onnx`, `lightgbm`, `json`, or what it is instead (`lfs`, `text`, `empty`, ...).
    ``by_joblib``: joblib's array wrapper is in it, so plain pickle cannot read it.
    ``names``: imports seen, as `module:qualname`; not necessarily all.
    ``whole``: False when the end is missing; None when that cannot be told cheaply.
    """

    kind: str
    by_joblib: bool = False
    names: frozenset[str] = frozenset()
    whole: bool | None = None

    @property
    def packages(self) -> frozenset[str]:
        """Top-level names of the modules seen."""
        return frozenset(name.partition(":")[0].partition(".")[0] for name in self.names)


def look(path: Path) -> Look:
    """:raises OSError: the file cannot be read."""
    with path.open("rb") as file:
        head = file.read(64)
        kind = _kind(head)
        if kind == "pickle":
            file.seek(-1, 2)
            whole = file.read(1) == b"."
            file.seek(0)
            return _look_inside(kind, file, head[1], whole=whole)
        if kind in COMPRESSED and kind != "lz4":  # lz4 has no reader in the standard library
            file.seek(0)
            return _look_compressed(kind, file)
        if kind == "zip":
            return Look(kind, names=_skops_names(file))
    return Look(kind)


def _skops_names(file: IO[bytes]) -> frozenset[str]:
    """What the nodes of a skops file name; nothing when it is another archive, or too large to look into."""
    with suppress(zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError, zlib.error):
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo("schema.json").file_size > LOOK_LIMIT:
                return frozenset()
            text = archive.read("schema.json").decode()
        return frozenset(f"{found[2]}:{found[1]}" for found in _SKOPS_NAME.finditer(text))
    return frozenset()


def _kind(head: bytes) -> str:
    if not head:
        return "empty"
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickle"
    if len(head) > 1 and head[0] == 0x08 and 3 <= head[1] <= 20:  # field 1 of an ONNX model: the version of its format
        return "onnx"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    # CMF/FLG of a zlib stream: method 8, and the pair is a multiple of 31.
    if len(head) > 1 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head[:2]) % 31 == 0:
        return "zlib"
    return "unknown"


def _look_compressed(kind: str, file: IO[bytes]) -> Look:
    try:
        with _decompressed(kind, file) as content:
            head = content.read(2)
            if _kind(head) != "pickle":
                return Look("unknown")
            return _look_inside(kind, content, head[1], whole=None, before=head)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError):
        return Look(kind, whole=False)


def _look_inside(kind: str, file: IO[bytes], protocol: int, *, whole: bool | None, before: bytes = b"") -> Look:
    names: set[str] = set()
    by_joblib = False
    for window in _windows(file, before):
        by_joblib = by_joblib or b"NumpyArrayWrapper" in window
        if protocol >= 4:
            names.update(_stack_globals(window))
    if protocol < 4 and file.seekable():
        file.seek(0)
        names.update(_old_globals(file))
    return Look(kind, by_joblib, frozenset(names), whole)


def _windows(file: IO[bytes], before: bytes) -> Iterator[bytes]:
    kept = before
    seen = 0
    while seen < LOOK_LIMIT and (block := file.read(_BLOCK)):
        seen += len(block)
        yield kept + block
        kept = (kept + block)[-_OVERLAP:]


def _stack_globals(window: bytes) -> Iterator[str]:
    for match in _STACK_GLOBAL.finditer(window):
        module, name = match[2], match[4]
        if match[1][0] == len(module) and match[3][0] == len(name):
            yield f"{module.decode('ascii')}:{name.decode('ascii')}"


def _old_globals(file: IO[bytes]) -> Iterator[str]:
    # Up to protocol 3 an import is one opcode with text; a walk stops at joblib's first array, and that is enough here.
    with suppress(ValueError, IndexError, UnicodeDecodeError, EOFError):
        for opcode, argument, position in pickletools.genops(file):
            if opcode.name in {"GLOBAL", "INST"} and isinstance(argument, str):
                module, _, name = argument.partition(" ")
                yield f"{module}:{name}"
            if position is not None and position > LOOK_LIMIT:
                return


def _decompressed(kind: str, file: IO[bytes]) -> IO[bytes]:
    if kind == "gzip":
        return gzip.open(file)  # type: ignore[return-value]  # typeshed: not an IO, though it has all of it
    if kind == "bz2":
        return bz2.open(file)
    if kind in {"xz", "lzma"}:
        return lzma.open(file)
    return _Zlib(file)  # type: ignore[return-value]


class _Zlib:
    """Just enough of a file over a zlib stream."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decompressor = zlib.decompressobj()
        self._ready = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def seekable(self) -> bool:
        return False

    def read(self, size: int) -> bytes:
        while len(self._ready) < size and not self._decompressor.eof:
            block = self._decompressor.unconsumed_tail or self._file.read(_BLOCK)
            produced = self._decompressor.decompress(block, size)
            if not block and not produced and not self._decompressor.eof:
                raise EOFError("the zlib stream ends early")
            self._ready += produced
        data, self._ready = self._ready[:size], self._ready[size:]
        return data
