"""What a container of ours may do, how it ends, and what can go wrong with the engine that runs it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Self

from builders import streams
from builders.streams import Outcome

MIB = 1 << 20

Calling = Callable[[str], AbstractContextManager[None]]
"""Wraps a call to the engine, named for people, and turns what fails into our errors."""


class EngineError(Exception):
    """The engine refused or failed.

    :ivar hint: what to do next, one sentence.
    """

    code = "engine-error"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class EngineUnavailable(EngineError):
    """No engine answers."""

    code = "engine-unavailable"


class ImageNotFound(EngineError):
    """The engine has no such image."""

    code = "image-not-found"


class UnexpectedImage(EngineError):
    """The engine reports another ID than the one computed before: these are not the bytes that were planned."""

    code = "unexpected-image"


@dataclass(frozen=True, slots=True)
class Description:
    """What answered: ``architecture`` as engines name it (``amd64``); ``containerd_store`` when images live in containerd."""

    address: str
    version: str
    os: str
    architecture: str
    storage: str
    containerd_store: bool


@dataclass(frozen=True, slots=True)
class Hardened:
    """A container that may do as little as possible; sizes in bytes.

    Always: read-only root, no capabilities, no new privileges, user 10001, ``/tmp`` of ``tmp`` bytes without execution.
    Without ``ports`` it has no network at all; with them each is published on the engine's loopback, on a free port.
    ``shared_memory`` gives ``/dev/shm`` (16 MiB): without it joblib works in one thread.
    """

    image: str
    name: str
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    memory: int = 2048 * MIB
    processes: int = 128
    tmp: int = 16 * MIB
    shared_memory: bool = False
    user: str = "10001:10001"


@dataclass(frozen=True, slots=True)
class State:
    """Where a container stands; ``exit_code`` is None while it runs."""

    running: bool
    exit_code: int | None
    out_of_memory: bool


class ContainerGone(EngineError):
    """The container does not exist, or is being removed by someone else."""

    code = "container-not-found"


class Container:
    """A container that was created; an engine makes it. Leaving it as a context manager removes it."""

    def __init__(self, api: Any, calling: Calling, container_id: str, name: str) -> None:
        self.id, self.name = container_id, name
        self._api, self._calling = api, calling

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def exec(self, command: Sequence[str], *, stdin: bytes = b"", timeout: float, limit: int = MIB) -> Outcome:
        """Run a command inside. When cut off (``exit_code`` None) it goes on until the container is stopped."""
        words = streams.reads_exactly(len(stdin), list(command)) if stdin else list(command)
        with self._calling(f"run a command in {self.name}"):
            made = self._api.exec_create(self.id, words, stdin=bool(stdin))
            connection = self._api.exec_start(made["Id"], socket=True)
            heard = streams.converse(connection, stdin=stdin, timeout=timeout, limit=limit)
            cut = heard.timed_out or heard.overflowed
            code = None if cut else self._api.exec_inspect(made["Id"])["ExitCode"]
        return Outcome(code, heard.stdout, heard.stderr, heard.timed_out, heard.overflowed)

    def logs(self, lines: int = 200) -> str:
        """Return the last lines of both outputs."""
        with self._calling(f"read the log of {self.name}"):
            text: str = self._api.logs(self.id, tail=lines).decode(errors="replace")
        return text

    def ports(self) -> dict[int, int]:
        """Return the published ports: inside -> on the loopback of the engine's machine."""
        with self._calling(f"show {self.name}"):
            found = self._api.inspect_container(self.id)["NetworkSettings"]["Ports"] or {}
        return {int(inside.split("/")[0]): int(bound[0]["HostPort"]) for inside, bound in found.items() if bound}

    def state(self) -> State:
        with self._calling(f"show {self.name}"):
            found = self._api.inspect_container(self.id)["State"]
        return State(found["Running"], None if found["Running"] else found["ExitCode"], found["OOMKilled"])

    def wait(self, timeout: int = 10) -> State:
        """Wait for the end, ``timeout`` seconds at most, and return the state then."""
        with self._calling(f"wait for {self.name}"):
            self._api.wait(self.id, timeout=timeout)
        return self.state()

    def stop(self, grace: int = 10) -> None:
        """Ask it to end (SIGTERM), and kill it after ``grace`` seconds."""
        with self._calling(f"stop {self.name}"):
            self._api.stop(self.id, timeout=grace)

    def remove(self) -> None:
        """Kill and remove it; nothing happens when it is gone already."""
        try:
            with self._calling(f"remove {self.name}"):
                self._api.remove_container(self.id, force=True, v=True)
        except ContainerGone:
            return
