"""Site layers with compiled modules, and the app layer: everything Python runs in an image.

Modules are compiled by the Python that will import them, so that a container with a read-only root starts in half the time.
The same lock on the same base gives the same layer, on any machine.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from builders import plan, pycompile, tarball, unpack, wheels
from builders.containers import Hardened
from builders.engine import Engine
from builders.layers import LayerStore
from builders.plan import Base
from builders.tarball import Entry, Layer, LayerError
from builders.wheels import OpenBlob
from formats import canonical, digest
from formats.artifacts import File
from formats.lock import Lock

_RECIPE = "1"  # part of every cache key: raise it when the same inputs are to give other bytes
_MAX_COMPILED = 1 << 30
_SECONDS = 900
_COMMAND = ("-S", "-s", "-P", "-B", "-W", "ignore", "-c", Path(pycompile.__file__).read_text())
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # the order of constant sets in compiled code follows it


class CompilationFailed(LayerError):
    """The compiling process itself failed; a module that does not compile is only left uncompiled."""

    code = "compilation-failed"


class Compiler(Protocol):
    """Compiles the modules of a layer with the Python of one base."""

    def __call__(self, source: Layer, root: str, sink: BinaryIO) -> None:
        """Write a tar of the compiled modules of ``source`` below ``root``, paths relative to it, to ``sink``."""


@dataclass(frozen=True, slots=True)
class ContainerCompiler:
    """Compiles in a container of the base, without network, by a name that a later worker finds and removes."""

    engine: Engine
    base: Base
    store: LayerStore
    name: str

    def __call__(self, source: Layer, root: str, sink: BinaryIO) -> None:
        with self.engine.borrowed(plan.scratch(self.base, [source]), self.store, self.name) as image_id:
            wanted = Hardened(image_id, self.name, ["python3", *_COMMAND, f"/{root}", f"/{root}"], _ENVIRONMENT)
            outcome = self.engine.run(wanted, timeout=_SECONDS, limit=_MAX_COMPILED, sink=sink)
        if outcome.exit_code != 0:
            raise _failed(root, outcome.stderr or b"it was stopped: too slow or too large")


@dataclass(frozen=True, slots=True)
class HostCompiler:
    """Compiles with the interpreter that runs this, in a temporary folder."""

    store: LayerStore

    def __call__(self, source: Layer, root: str, sink: BinaryIO) -> None:
        with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
            unpack.into(Path(folder), source, self.store)
            # os.environ: a virtual environment's interpreter on macOS does not start without it.
            done = subprocess.run(
                [sys.executable, *_COMMAND, str(Path(folder, root)), f"/{root}"],
                stdout=sink,
                stderr=subprocess.PIPE,
                env={**_without_python(os.environ), **_ENVIRONMENT},
                timeout=_SECONDS,
                check=False,
            )
        if done.returncode:
            raise _failed(root, done.stderr)


def site_layer(
    lock: Lock, path: str, *, base: Base, store: LayerStore, open_blob: OpenBlob, compiler: Compiler
) -> Layer:
    """Return the layer of the lock's wheels at ``path``, from the store when it was made before.

    :param path: relative to the root of the image, e.g. ``opt/countersign/envs/0a1b2c3d4e5f``.
    :raises BadWheel: a wheel that may not go into an image; see :func:`builders.wheels.opened`.
    :raises CompilationFailed: the compiling process failed.
    """
    inputs = {"kind": "site", "lock": lock.digest, "path": path, **_on(base)}

    def make() -> Layer:
        with wheels.opened(lock, open_blob) as site:
            return _compiled(list(site.below(path)), path, store, compiler, base)

    return store.once(inputs, make)


def app_layer(
    sources: Mapping[str, bytes], *, base: Base, store: LayerStore, compiler: Compiler
) -> tuple[Layer, tuple[File, ...]]:
    """Return the layer of our own code, and its files (paths relative to the app folder) for the sealed manifest.

    :param sources: the modules by their place in the app folder; see :func:`app_sources`.
    """
    made_of = canonical.digest({path: digest.of_bytes(data) for path, data in sources.items()})
    inputs = {"kind": "app", "files": made_of, "path": plan.APP_PATH, **_on(base)}
    entries = [tarball.file(f"{plan.APP_PATH}/{path}", data) for path, data in sources.items()]
    layer = store.once(inputs, lambda: _compiled(entries, plan.APP_PATH, store, compiler, base))
    return layer, _files(store, layer, plan.APP_PATH)


def app_sources(checkout: Path) -> dict[str, bytes]:
    """Return each module of ours that goes into an image, by its place in the app folder.

    :param checkout: the folder that holds ``serving/`` and ``formats/``.
    """
    found = {"start.py": (checkout / "serving/start.py").read_bytes()}
    for package in ("formats", "serving"):
        for place in sorted((checkout / package).rglob("*.py")):
            path = place.relative_to(checkout)
            if path.parts != ("serving", "start.py") and not {"tests", "__pycache__"} & set(path.parts):
                found[path.as_posix()] = place.read_bytes()
    return found


def _without_python(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out what changes how Python compiles or where it puts what it compiled, e.g. ``PYTHONOPTIMIZE``."""
    return {name: value for name, value in environ.items() if not name.startswith("PYTHON")}


def _on(base: Base) -> Mapping[str, str]:
    return {"base": base.digest, "python": base.python, "recipe": _RECIPE}


def _compiled(entries: list[Entry], root: str, store: LayerStore, compiler: Compiler, base: Base) -> Layer:
    """Write ``entries``, have them compiled, and write both together."""
    source, layer = store.add(entries), None
    try:
        with tempfile.TemporaryFile(dir=store.root / "incoming") as spool:
            compiler(source, root, cast("BinaryIO", spool))
            spool.seek(0)
            with _read(cast("BinaryIO", spool), _expected(entries, base), root) as compiled:
                layer = store.add([*entries, *compiled])
    finally:
        if layer != source:
            store.remove(source.diff_id)
    return layer


def _expected(entries: Iterable[Entry], base: Base) -> frozenset[str]:
    """Return where the compiled form of each module belongs."""
    tag = "cpython-" + "".join(base.python.split(".")[:2])
    places = set()
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        if name.endswith(".py"):
            places.add(f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc")
    return frozenset(places)


@contextmanager
def _read(spool: BinaryIO, expected: frozenset[str], root: str) -> Iterator[list[Entry]]:
    """Read what a compiler wrote. It ran on foreign files: only compiled forms of the modules given to it are taken."""
    try:
        with tarfile.open(fileobj=spool, mode="r:") as tar:
            entries = []
            for member in tar.getmembers():
                path = f"{root}/{member.name}"
                if not member.isreg() or path not in expected:
                    raise _failed(root, f"it wrote {member.name!r}, which is no module's compiled form".encode())
                entries.append(tarball.stream(path, member.size, _opener(tar, member)))
            yield entries
    except tarfile.TarError as error:
        raise _failed(root, str(error).encode()) from error


def _opener(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], BinaryIO]:
    return lambda: cast("BinaryIO", tar.extractfile(member))


def _failed(root: str, said: bytes) -> CompilationFailed:
    return CompilationFailed(
        f"compiling the modules of {root} failed: {said.decode(errors='replace').strip()[-500:]}",
        hint="Run the build again; if it fails the same way, look at the named package.",
    )


def _files(store: LayerStore, layer: Layer, root: str) -> tuple[File, ...]:
    files = []
    with store.open(layer.diff_id) as source, tarfile.open(fileobj=source, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                files.append(File(member.name.removeprefix(f"{root}/"), *digest.of_stream(content)))
    return tuple(sorted(files, key=lambda file: file.path))
