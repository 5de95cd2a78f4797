"""What a model file is on the outside: its magic bytes, its compression, and a reader of what is inside."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from builders.checks.limits import Limits
from builders.checks.report import Refused
from builders.checks.stream import SAVE_AGAIN, Source, truncated

_CHUNK = 1 << 16
_LZMA_MEMORY = 256 << 20  # preset 9e needs 65 MiB to read; a header may ask for 4 GiB

_PROTO = b"\x80"
_PROTOCOL_0_STARTS = b"()]}cilVXGFIJKLMNSTU"
# joblib chooses its decompressor by these prefixes, in this order.
_COMPRESSIONS = (
    (b"\x78", "zlib"),
    (b"\x1f\x8b", "gzip"),
    (b"BZ", "bz2"),
    (b"\x5d\x00", "lzma"),
    (b"\xfd7zXZ", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"ZF", "the format of joblib before 0.10"),
)
_ZIP, _LIGHTGBM, _JSON = "a ZIP archive (skops, PyTorch, NumPy .npz)", "a LightGBM text model", "JSON text"
_OTHERS = (
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"GGUF", "a GGUF file"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"\x7fELF", "a program"),
    (b"tree\n", _LIGHTGBM),
    (b"{", _JSON),
)
_OWN = {"skops": _ZIP, "lightgbm": _LIGHTGBM, "xgboost": _JSON}
_WRITERS = {
    "joblib": "joblib.dump",
    "pickle": "pickle.dump",
    "skops": "skops.io.dump",
    "onnx": "onnx.save",
    "lightgbm": "booster.save_model('model.txt')",
    "xgboost": "booster.save_model('model.json')",
}


def measure(file: BinaryIO, declared: str, limits: Limits) -> int:
    """The size of ``file`` in bytes, which is then at its beginning.

    :raises Refused: it is empty, larger than allowed, or begins as a file of another format than ``declared``.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    if not head:
        raise Refused("truncated", "The file is empty.", f"Push the file that {_WRITERS[declared]} wrote.")
    if size > limits.file_size:
        raise too_large("The file", size, limits.file_size)
    for magic, what in _OTHERS:
        if head.startswith(magic) and what is not _OWN.get(declared):
            raise _mismatch(declared, what)
    return size


def open_source(file: BinaryIO, declared: str, limits: Limits) -> Source:
    """Open ``file`` as what it was declared to be; the first bytes must agree.

    :param declared: `joblib` or `pickle`.
    :raises Refused: empty, larger than allowed, another format, or a compression that is not supported.
    """
    size = measure(file, declared, limits)
    head = file.read(8)
    file.seek(0)
    if head.startswith(_PROTO):
        return _plain(file, size)
    compression = next((name for magic, name in _COMPRESSIONS if head.startswith(magic)), None)
    if declared == "pickle":
        if compression:
            raise _mismatch(declared, f"{compression} data")
        if head[:1] not in _PROTOCOL_0_STARTS:
            raise _mismatch(declared, "not those of a pickle")
        return _plain(file, size)
    if compression is None:
        raise _mismatch(declared, "neither a pickle of protocol 2 or newer nor data compressed by joblib")
    return Source(_inflate(file, compression, limits), length=limits.inflated_size + 1)


def too_large(what: str, size: int, allowed: int) -> Refused:
    return Refused(
        "too-large",
        f"{what} has {size} bytes; {allowed} are allowed.",
        "Drop what prediction does not need (stored training data, grid-search results), or ask the operator for a higher limit.",
    )


def _mismatch(declared: str, what: str) -> Refused:
    return Refused(
        "format-mismatch",
        f"The file was declared as {declared}, but its first bytes are {what}.",
        f"Declare the format that the file has, or push what {_WRITERS[declared]} wrote: it decides how the file is ever read.",
    )


def _plain(file: BinaryIO, size: int) -> Source:
    return Source(iter(lambda: file.read(_CHUNK), b""), length=size, seek=lambda position: _seek(file, position))


def _seek(file: BinaryIO, position: int) -> None:
    file.seek(position)


def _inflate(file: BinaryIO, compression: str, limits: Limits) -> Iterator[bytes]:
    """Decompress exactly one stream that fills the whole file, in chunks, up to the cap."""
    if compression == "lz4":
        raise Refused(
            "unsupported-compression",
            "The file is compressed with lz4, which is not read here.",
            "Save it again with joblib.dump(model, path, compress=('zlib', 3)), or without compress.",
        )
    if compression not in _OPENERS:
        raise Refused(
            "unsupported-compression",
            f"The file is in {compression}, which keeps arrays in further files.",
            "Load it where it was made and save it again with joblib 1.2 or newer.",
        )
    decompressor = _OPENERS[compression]()
    total = 0
    try:
        while not decompressor.eof:
            chunk = decompressor.step(file)
            total += len(chunk)
            if total > limits.inflated_size:
                raise Refused(
                    "bomb",
                    f"The {compression} data grows to more than {limits.inflated_size} bytes when it is unpacked.",
                    "Save the model without compression; if it really is that large, ask the operator for a higher limit.",
                )
            if chunk:
                yield chunk
    except EOFError:
        raise truncated(file.tell(), 1) from None
    except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
        raise Refused(
            "malformed",
            f"The {compression} data cannot be unpacked: {error}.",
            "The file was damaged or changed after it was saved. Push the original again.",
        ) from None
    if decompressor.unused or file.read(1):
        raise Refused(
            "trailing-bytes",
            f"More bytes follow the end of the {compression} data.",
            "Nothing may follow the model. " + SAVE_AGAIN,
        )


class _Zlib:
    """One zlib or gzip stream, output in bounded pieces."""

    def __init__(self, wbits: int = zlib.MAX_WBITS) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data

    def step(self, file: BinaryIO) -> bytes:
        data = self._inner.unconsumed_tail or file.read(_CHUNK)
        output = self._inner.decompress(data, _CHUNK * 4)
        # With no input left, zlib may still hold output that did not fit into the piece before.
        if not data and not output and not self._inner.eof:
            raise EOFError
        return output


class _Buffered:
    """One bz2, xz or lzma stream; these decompressors keep what they have not used."""

    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused(self) -> bytes:
        return self._inner.unused_data

    def step(self, file: BinaryIO) -> bytes:
        data = file.read(_CHUNK) if self._inner.needs_input else b""
        if not data and self._inner.needs_input:
            raise EOFError
        return self._inner.decompress(data, _CHUNK * 4)


_OPENERS: dict[str, Callable[[], _Zlib | _Buffered]] = {
    "zlib": _Zlib,
    "gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    "bz2": lambda: _Buffered(bz2.BZ2Decompressor()),
    "lzma": lambda: _Buffered(lzma.LZMADecompressor(lzma.FORMAT_ALONE, _LZMA_MEMORY)),
    "xz": lambda: _Buffered(lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY)),
}
