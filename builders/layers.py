"""The folder that keeps layers by digest, with an index from what a layer is made of; and our simplest layers."""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from builders import tarball
from builders.tarball import Entry, Layer, LayerError
from formats import canonical
from formats.artifacts import File
from registry import faults

_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class LayerMissing(LayerError):
    """The store holds no layer of that digest."""

    code = "layer-missing"


class LayerDamaged(LayerError):
    """Stored bytes no longer have the digest they are stored under."""

    code = "layer-damaged"


class SourceChanged(LayerError):
    """A file is not the one that was approved."""

    code = "source-changed"


class LayerStore:
    """A folder of layers by digest, and an index from what a layer is made of to its digest.

    A layer appears whole or not at all (written beside, synced, renamed). Reading hashes what it reads and moves a file
    that is not what its name says to ``damaged/``, so that the next build writes it anew.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("layers", "index", "incoming", "damaged"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def __contains__(self, diff_id: str) -> bool:
        return self.path(diff_id).is_file()

    def path(self, diff_id: str) -> Path:
        """Where the layer is or would be; reading it there skips the check of its digest."""
        if not _DIGEST.fullmatch(diff_id):
            raise LayerMissing(f"{diff_id!r} is not a digest", hint="Digests look like sha256:<64 hex digits>.")
        return self.root / "layers" / diff_id.removeprefix("sha256:")

    def add(self, entries: Iterable[Entry]) -> Layer:
        """Write the layer of ``entries`` and keep it; errors as :func:`builders.tarball.tar_stream`."""
        with self._incoming() as sink:
            layer = tarball.write_layer(entries, sink)
            return self._keep(sink, layer)

    def add_stream(self, chunks: Iterable[bytes], *, expected: str | None = None) -> Layer:
        """Keep the bytes of a finished layer.

        :raises LayerDamaged: their digest is not ``expected``; nothing is kept.
        """
        with self._incoming() as sink:
            layer = tarball.write_chunks(chunks, sink)
            if expected not in (None, layer.diff_id):
                raise LayerDamaged(
                    f"a layer of digest {expected} was announced, the bytes have {layer.diff_id}",
                    hint="Fetch or build the source of this layer again.",
                )
            return self._keep(sink, layer)

    def adopt(self, other: "LayerStore", diff_id: str) -> None:
        """Take a layer of another store on the same file system, without copying it.

        :raises LayerMissing: it is not there either.
        """
        if diff_id not in self:
            other.get(diff_id)
            with contextlib.suppress(FileExistsError):
                self.path(diff_id).hardlink_to(other.path(diff_id))

    def get(self, diff_id: str) -> Layer:
        """Return digest and size of a stored layer.

        :raises LayerMissing: it is not here.
        """
        path = self.path(diff_id)
        if not path.is_file():
            raise LayerMissing(f"layer {diff_id} is not stored here", hint="Run the build again: it writes the layer.")
        return Layer(diff_id, path.stat().st_size)

    def open(self, diff_id: str) -> BinaryIO:
        """Open a layer for one read from start to end.

        :raises LayerMissing: it is not here. Reading to the end raises :class:`LayerDamaged` on a wrong digest.
        """
        self.get(diff_id)
        source = self.path(diff_id).open("rb", buffering=0)
        return io.BufferedReader(tarball.Checked(source, diff_id, lambda found: self._damaged(diff_id, found)), _CHUNK)

    def entry(self, path: str, diff_id: str) -> Entry:
        """Describe a stored layer as one file of an archive, checked while it is copied."""
        return tarball.stream(path, self.get(diff_id).size, lambda: self.open(diff_id))

    def once(self, inputs: Mapping[str, str], make: Callable[[], Layer]) -> Layer:
        """Return the layer made of ``inputs`` (names to digests or versions: all that decides its bytes).

        Only when it is not here, or no longer, ``make`` is called, which must :meth:`add` it. A second worker waits for the
        first and takes its layer; the lock is the system's and ends with its holder.
        """
        with self._index(inputs).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            layer = self._known(inputs)
            if layer is None:
                layer = make()
                self._remember(inputs, layer)
        return layer

    def _known(self, inputs: Mapping[str, str]) -> Layer | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, LayerError):
            known = json.loads(self._index(inputs).read_bytes())
            layer = self.get(known["diff_id"])
            return layer if layer.size == known["size"] else None
        return None

    def _remember(self, inputs: Mapping[str, str], layer: Layer) -> None:
        document = {"inputs": dict(inputs), "diff_id": layer.diff_id, "size": layer.size}
        with self._incoming() as sink:
            sink.write(json.dumps(document, sort_keys=True, indent=1).encode())
            _publish(sink, self._index(inputs))

    def sweep(self, *, older_than: float = 86400.0) -> int:
        """Remove what builds that died had half written, ``older_than`` seconds old; return how many."""
        limit, removed = time.time() - older_than, 0
        for path in (self.root / "incoming").iterdir():
            with contextlib.suppress(FileNotFoundError):  # its writer may have just published it
                if path.stat().st_mtime < limit:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    removed += 1
        return removed

    def remove(self, diff_id: str) -> None:
        """Forget a layer that was only a step on the way."""
        self.path(diff_id).unlink(missing_ok=True)

    def _damaged(self, diff_id: str, found: str) -> LayerDamaged:
        with contextlib.suppress(FileNotFoundError):
            path = self.path(diff_id)
            path.replace(self.root / "damaged" / path.name)
        return LayerDamaged(
            f"the stored bytes of layer {diff_id} have digest {found}",
            hint="They were moved to the store's damaged/ folder. Run the build again: it writes the layer anew.",
        )

    def _index(self, inputs: Mapping[str, str]) -> Path:
        key = hashlib.sha256(json.dumps(dict(inputs), sort_keys=True).encode()).hexdigest()
        return self.root / "index" / f"{key}.json"

    def _keep(self, sink: BinaryIO, layer: Layer) -> Layer:
        place = self.path(layer.diff_id)
        if not place.is_file() or place.stat().st_size != layer.size:
            _publish(sink, place)
        return layer

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[BinaryIO]:
        with tempfile.NamedTemporaryFile(dir=self.root / "incoming", delete=False) as sink:
            try:
                yield cast("BinaryIO", sink)
            finally:
                Path(sink.name).unlink(missing_ok=True)


def _publish(sink: BinaryIO, place: Path) -> None:
    """Sync what was written and give it its name; the folder is synced too, or a crash could forget the name."""
    sink.flush()
    os.fchmod(sink.fileno(), 0o444)
    os.fsync(sink.fileno())
    faults.reach("layer-fsync")
    Path(sink.name).replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def model_layer(store: LayerStore, path: str, files: Sequence[File], open_blob: Callable[[str], BinaryIO]) -> Layer:
    """Return the layer of a model version's files at ``path``, from the store when it was made before.

    :param files: what was approved, paths relative to ``path``.
    :param open_blob: opens stored bytes by digest.
    :raises SourceChanged: bytes that are not the approved ones; nothing is kept.
    """
    listed = canonical.digest([file.to_dict() for file in sorted(files, key=lambda file: file.path)])
    inputs = {"kind": "model", "path": path, "files": listed}
    return store.once(inputs, lambda: store.add(_approved(f"{path}/{file.path}", file, open_blob) for file in files))


def manifest_layer(store: LayerStore, path: str, sealed: bytes) -> Layer:
    """Return the layer that holds the sealed manifest and nothing else."""
    return store.add([tarball.file(path, sealed)])


def _approved(path: str, file: File, open_blob: Callable[[str], BinaryIO]) -> Entry:
    def changed(found: str) -> SourceChanged:
        return SourceChanged(
            f"{file.path} was approved with digest {file.sha256}, the stored bytes have {found}",
            hint="Do not bake this version. Look for a damaged disk, or restore the artifact store from its backup.",
        )

    def content() -> BinaryIO:
        return io.BufferedReader(tarball.Checked(open_blob(file.sha256), file.sha256, changed), _CHUNK)

    return tarball.stream(path, file.size, content)
