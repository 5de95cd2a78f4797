"""Where foreign code runs: in a hardened container, or, without an engine, in a child process under limits.

Both take the model's libraries as a layer, give the program its files in one folder, and hand back what it printed, cut at a
cap. What comes out is untrusted text.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from builders import plan, tarball, unpack
from builders.checks import confine, process
from builders.containers import Hardened
from builders.engine import Engine
from builders.layers import LayerStore
from builders.plan import Base
from builders.tarball import Layer
from formats import digest

SITE = "{site}"
"""In an argument: the folder of the model's libraries, as the program sees it."""
TOOLS = "{tools}"
"""In an argument: the folder of the libraries beside the model's, as the program sees it."""
FILES = "{files}"
"""In an argument: the folder of the files given, as the program sees it."""

_GIB = 1 << 30
_STDERR_KEPT = 4096
_LIBRARIES_KEPT = 4  # some 250 MB each
_MARK = "COUNTERSIGN_SANDBOX"
# One thread, so that sums are taken in the same order on every machine, and so that address space says something about memory.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # for programs whose output follows the order of sets
}


@dataclass(frozen=True, slots=True)
class Libraries:
    """A site folder: the layer that holds it and its path inside, e.g. ``opt/countersign/envs/0a1b2c3d4e5f``.

    ``tools``: another one that a program wants beside it.
    """

    layer: Layer
    path: str
    tools: "Libraries | None" = None


@dataclass(frozen=True, slots=True)
class Caps:
    """What one run may use; ``seconds`` of wall time, the rest bytes."""

    seconds: float = 120
    memory: int = 4 * _GIB
    output: int = 32 << 20


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """How it ended. ``exit_code`` is None when it was cut off, negative for a signal.

    ``network`` is `none` when the program could reach nothing, else `open`. ``stderr`` is its last 4 KiB.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    network: Literal["none", "open"]
    timed_out: bool = False
    flooded: bool = False
    out_of_memory: bool = False


class Sandbox(Protocol):
    """Runs Python programs that are not trusted."""

    @property
    def isolation(self) -> Literal["process", "container"]:
        """What stands between the program and this machine; goes into reports."""

    def run(
        self, arguments: Sequence[str], *, files: Mapping[str, bytes | Path], libraries: Libraries, caps: Caps
    ) -> SandboxResult:
        """Run ``python`` with ``arguments``, in which SITE and FILES stand for two folders.

        :param files: path below FILES -> content, or the file that has it; the program may read them.
        """


@dataclass(frozen=True)
class ContainerSandbox:
    """A container of the base: no network, read-only root, no capabilities, user 10001, limits on memory and processes.

    ``name`` prefixes the container's, so that a later worker finds and removes it.
    """

    engine: Engine
    base: Base
    store: LayerStore
    name: str

    @property
    def isolation(self) -> Literal["container"]:
        return "container"

    def run(
        self, arguments: Sequence[str], *, files: Mapping[str, bytes | Path], libraries: Libraries, caps: Caps
    ) -> SandboxResult:
        """Run in an image of base, libraries and files, made for this run.

        :raises EngineError: the engine refused, or is gone; worth trying again later.
        """
        self._keep(libraries.layer)
        folder = f"{plan.ROOT}/check"
        entries = [tarball.file(f"{folder}/{name}", content) for name, content in files.items()]
        # With the run's name in it no other run has this layer, so that removing it takes nothing from anybody.
        layer = self.store.add([*entries, tarball.file(f"{folder}/.run", self.name.encode())])
        tools = libraries.tools
        image = plan.scratch(self.base, [libraries.layer, *([tools.layer] if tools else []), layer])
        try:
            image_id = self.engine.load(image, self.store)
            try:
                places = {SITE: f"/{libraries.path}", TOOLS: f"/{tools.path}" if tools else "", FILES: f"/{folder}"}
                return self._run(image_id, _filled(arguments, places), caps)
            finally:
                self.engine.remove_image(image_id)
        finally:
            self.store.remove(layer.diff_id)

    def _keep(self, layer: Layer) -> None:
        """Leave base and libraries on the engine under a name, so that the next check of this lock sends its own files only.

        The names of the last few are in a file beside the layers; older ones are removed.
        """
        name = f"countersign-libraries:{digest.parse(layer.diff_id)[:12]}"
        self.engine.tag(self.engine.load(plan.scratch(self.base, [layer]), self.store), name)
        path = self.store.root / "libraries-on-engine.json"
        known: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            known = [str(item) for item in json.loads(path.read_text())]
        known = [name, *(other for other in known if other != name)]
        for old in known[_LIBRARIES_KEPT:]:
            self.engine.remove_image(old)
        # Two workers may each forget what the other wrote: an image then stays until its lock is used again.
        path.write_text(json.dumps(known[:_LIBRARIES_KEPT]))

    def _run(self, image_id: str, arguments: list[str], caps: Caps) -> SandboxResult:
        wanted = Hardened(
            image_id,
            f"{self.name}-sandbox",
            ["python3", *arguments],
            _ENVIRONMENT,
            memory=caps.memory,
            shared_memory=True,
        )
        ended = self.engine.run(wanted, timeout=caps.seconds, limit=caps.output)
        return SandboxResult(
            ended.exit_code,
            ended.stdout,
            ended.stderr[-_STDERR_KEPT:],
            "none",
            timed_out=ended.timed_out,
            flooded=ended.overflowed,
            out_of_memory=ended.out_of_memory,
        )


@dataclass(frozen=True)
class ProcessSandbox:
    """A child process of this user: weak isolation. It can read what this user can, and is held by limits only.

    ``scratch`` is a folder of this run's own; it is made, emptied and removed here.
    """

    store: LayerStore
    scratch: Path
    processes: int = 64

    @property
    def isolation(self) -> Literal["process"]:
        return "process"

    def run(
        self, arguments: Sequence[str], *, files: Mapping[str, bytes | Path], libraries: Libraries, caps: Caps
    ) -> SandboxResult:
        """Run under limits on memory, computing time, files and processes, in a session of its own, with a bare environment."""
        site = unpack.tree(libraries.layer, self.store) / libraries.path
        tools = unpack.tree(libraries.tools.layer, self.store) / libraries.tools.path if libraries.tools else None
        shutil.rmtree(self.scratch, ignore_errors=True)
        folder = self.scratch / "files"
        folder.mkdir(parents=True)
        try:
            for name, content in files.items():
                _place(folder / name, content)
            places = {SITE: str(site), TOOLS: str(tools or ""), FILES: str(folder)}
            ended = self._run(_filled(arguments, places), caps)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
        # Paths of this machine have no place in a report, and would make the same model's reports differ.
        hidden = [
            (site, "libraries"),
            *([(tools, "tools")] if tools else []),
            (folder, "files"),
            (self.scratch, "scratch"),
        ]
        for path, name in ((str(path), name) for path, name in hidden):
            ended = replace(
                ended,
                stdout=ended.stdout.replace(path.encode(), name.encode()),
                stderr=ended.stderr.replace(path.encode(), name.encode()),
            )
        return ended

    def _run(self, arguments: list[str], caps: Caps) -> SandboxResult:
        told, tell = os.pipe()
        limits = {
            "memory": caps.memory,
            "file_size": caps.output,
            "cpu_seconds": int(caps.seconds) + 1,
            "wall_seconds": int(caps.seconds) + 1,
            "processes": self.processes,
            "status_fd": tell,
        }
        # Not the virtual environment's: its packages are this worker's, not the model's.
        python = str(Path(sys.executable).resolve())
        home = str(self.scratch)
        with os.fdopen(told, "rb") as status:
            try:
                ended = process.run(
                    [python, "-I", "-S", "-B", confine.__file__, json.dumps(limits), python, *arguments],
                    timeout=caps.seconds,
                    output_cap=caps.output,
                    env={**_ENVIRONMENT, "PATH": os.defpath, "HOME": home, "TMPDIR": home, _MARK: home},
                    cwd=self.scratch,
                    pass_fds=(tell,),
                )
            finally:
                os.close(tell)
                process.kill_marked(f"{_MARK}={home}")
            network = status.read()
        cut = ended.timed_out or ended.flooded
        return SandboxResult(
            None if cut else ended.returncode,
            ended.stdout,
            ended.stderr[-_STDERR_KEPT:],
            "none" if network == b"none" else "open",
            timed_out=ended.timed_out,
            flooded=ended.flooded,
        )


def _filled(arguments: Sequence[str], places: Mapping[str, str]) -> list[str]:
    filled = list(arguments)
    for name, place in places.items():
        filled = [argument.replace(name, place) for argument in filled]
    return filled


def _place(path: Path, content: bytes | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        shutil.copyfile(content, path)
    path.chmod(0o400)
