"""The container engine: the only module that imports the Docker SDK, and no error of it leaves here.

Files reach a container as layers of its image, never as bind mounts: an engine may be on another machine, and it refuses
to copy archives into a container whose root is read-only.
"""

import contextlib
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import docker
import docker.context
import docker.context.config
import docker.errors
import docker.types
import docker.utils
import requests
import urllib3

from builders import streams
from builders.containers import (
    MIB,
    Container,
    ContainerGone,
    Description,
    EngineError,
    EngineUnavailable,
    Hardened,
    ImageNotFound,
    UnexpectedImage,
)
from builders.image import Image, archive_stream
from builders.layers import LayerStore
from builders.streams import Outcome
from registry import faults

_HANDSHAKE_SECONDS = 10
_CALL_SECONDS = 900  # loading a large layer answers nothing until it is unpacked
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = "countersign.container"
_BORROWED = "countersign-run"  # the repository name of images made for one run


def connect(environ: Mapping[str, str] = os.environ) -> "Engine":
    """Return the engine of ``DOCKER_HOST``, else of the current docker context, else of the default socket.

    :raises EngineUnavailable: none answers; the message names the address that was tried.
    """
    found = _settings(environ)
    address = str(found.get("base_url") or "the default socket")
    with _translated("answer", address):
        _knock(address)
        client = docker.APIClient(**found, version="auto", timeout=_HANDSHAKE_SECONDS)
        client.ping()
    client.timeout = _CALL_SECONDS
    return Engine(client, address)


def _settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return address and TLS as the SDK's client takes them."""
    try:
        found: dict[str, Any] = dict(docker.utils.kwargs_from_env(environment=dict(environ)))
        if "base_url" in found:
            return found
        if docker.context.ContextAPI.get_context(environ.get("DOCKER_CONTEXT")) is None:
            name = environ.get("DOCKER_CONTEXT") or docker.context.config.get_current_context_name()
            raise ValueError(f"there is no context {name!r}")  # the SDK would take the default socket: another engine
        return dict(docker.context.ContextAPI.kwargs_from_context(environment=environ))
    except Exception as error:  # the SDK raises bare Exception for a context file it cannot read
        raise EngineUnavailable(
            f"the docker settings cannot be read: {error}", hint="Look at DOCKER_HOST, or run: docker context ls"
        ) from error


def _knock(address: str) -> None:
    """Connect to a unix socket once: the SDK wraps the plain reason four times and leaves its own socket open."""
    _, found, path = address.partition("unix://")
    if found:
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(_HANDSHAKE_SECONDS)
            knock.connect(path)


class Engine:
    """An engine that answered. Make it with :func:`connect`; not for use by several threads at once."""

    def __init__(self, client: docker.APIClient, address: str) -> None:
        self._api = client
        self._address = address
        self._chains: dict[str, list[str]] = {}  # image ID -> its layers; an ID never changes its meaning

    def close(self) -> None:
        """Close the connections; containers go on running."""
        self._api.close()

    def describe(self) -> Description:
        with self._calling("describe itself"):
            about, info = self._api.version(), self._api.info()
        status = {str(name): str(value) for name, value in info.get("DriverStatus") or []}
        return Description(
            self._address,
            about["Version"],
            about["Os"],
            about["Arch"],
            info["Driver"],
            status.get("driver-type", "").startswith("io.containerd"),
        )

    # Images.

    def inspect(self, reference: str) -> Mapping[str, Any]:
        """Return what the engine knows of an image.

        :raises ImageNotFound: it has none of that name, ID or digest.
        """
        with self._calling(f"show image {reference}"):
            found: Mapping[str, Any] = self._api.inspect_image(reference)  # type: ignore[no-untyped-call]
        return found

    def find(self, image: Image) -> str | None:
        """Return the ID under which the engine holds ``image``, or None."""
        for reference in (image.image_id, image.image_digest):  # the second is the ID in containerd's image store
            with contextlib.suppress(ImageNotFound):
                return str(self.inspect(reference)["Id"])
        return None

    def load(self, image: Image, store: LayerStore) -> str:
        """Load ``image`` and return the ID the engine gives it. Layers that the engine holds already are not sent.

        :raises UnexpectedImage: that ID is neither the predicted config digest nor the manifest digest.
        :raises LayerMissing: the store lacks a layer that must be sent.
        """
        if found := self.find(image):
            return found
        held = self._held_prefix([layer.diff_id for layer in image.layers])
        if held:
            # An image that vouched for the layers can be removed at any moment: then all of them are sent.
            with contextlib.suppress(EngineError):
                return self._load(archive_stream(image, store, omit=held), image)
        return self._load(archive_stream(image, store), image)

    def _load(self, archive: Iterable[bytes], image: Image) -> str:
        said = ""
        with self._calling("load an image"):
            for message in self._api.load_image(archive):  # type: ignore[no-untyped-call]
                if "error" in message:
                    raise EngineError(
                        f"the engine refused the image: {message['error']}",
                        hint="Look for space on the engine's disk, then build again.",
                    )
                said += message.get("stream", "")
        named = set(_DIGEST.findall(said)) - {image.image_id, image.image_digest}
        found = self.find(image)
        if named or not found:
            raise UnexpectedImage(
                f"image {image.image_id} was expected, the engine loaded {', '.join(sorted(named)) or 'something else'}",
                hint="The bytes changed on their way, or the engine rewrote them: do not use this engine for releases.",
            )
        return found

    def _held_prefix(self, layers: Sequence[str]) -> list[str]:
        """Return the longest start of ``layers`` that an image on the engine has too."""
        if self.describe().containerd_store:
            return []  # it wants every blob of an archive to be in it
        with self._calling("list images"):
            ids = {str(item["Id"]) for item in self._api.images()}
        for image_id in ids - self._chains.keys():
            with contextlib.suppress(ImageNotFound):
                self._chains[image_id] = list(self.inspect(image_id)["RootFS"].get("Layers") or [])
        return max((_common(layers, self._chains.get(image_id, [])) for image_id in ids), key=len, default=[])

    def tag(self, image_id: str, reference: str) -> None:
        """Give an image a name, ``repository:tag``; an image without one is taken by ``docker image prune``."""
        repository, _, tag = reference.rpartition(":")
        with self._calling(f"tag an image {reference}"):
            self._api.tag(image_id, repository, tag, force=True)

    def pull(self, reference: str) -> None:
        """Fetch an image by the engine's own means and credentials.

        :param reference: with its digest, ``name@sha256:...``.
        """
        with self._calling(f"pull {reference}"):
            for message in self._api.pull(reference, stream=True, decode=True):
                if "error" in message:
                    raise EngineError(
                        f"{reference} cannot be pulled: {message['error']}",
                        hint="Check the reference, the engine's network and its login; or set COUNTERSIGN_BASE_IMAGE to an archive.",
                    )

    def export(self, reference: str) -> Iterator[bytes]:
        """Yield the archive that ``docker save`` writes of an image."""
        with self._calling(f"export {reference}"):
            yield from self._api.get_image(reference)

    @contextlib.contextmanager
    def borrowed(self, image: Image, store: LayerStore, name: str) -> Iterator[str]:
        """Load an image for one run and remove it after; by ``name`` a later worker does so when this one dies."""
        image_id, tag = self.load(image, store), f"{_BORROWED}:{name}"
        self.tag(image_id, tag)
        try:
            yield image_id
        finally:
            self.remove_image(tag)

    def remove_image(self, reference: str) -> None:
        """Remove an image by its ID with all its names, or one name of it and the image with the last.

        Nothing happens when it is not there or a container still uses it.
        """
        with contextlib.suppress(EngineError), self._calling(f"remove image {reference}"):
            self._api.remove_image(reference, force=True)

    # Containers.

    def start(self, wanted: Hardened) -> Container:
        """Start a container that goes on running; remove it when done (it is a context manager)."""
        container = self._create(wanted, stdin=False, keep_logs=True)
        try:
            with self._calling(f"start {wanted.name}"):
                self._api.start(container.id)
        except EngineError:
            container.remove()
            raise
        return container

    def run(
        self, wanted: Hardened, *, stdin: bytes = b"", timeout: float, limit: int = MIB, sink: BinaryIO | None = None
    ) -> Outcome:
        """Run a command to its end in a container of its own, and remove the container.

        :param timeout: seconds until it is killed.
        :param limit: bytes of stdout until it is killed; they go to ``sink`` when there is one.
        """
        if stdin:
            wanted = replace(wanted, command=streams.reads_exactly(len(stdin), list(wanted.command)))
        with self._create(wanted, stdin=bool(stdin), keep_logs=False) as container:
            with self._calling(f"run {wanted.name}"):
                # Attached before it starts: nothing it says is lost, and the engine keeps no copy of it.
                params = {"stdin": int(bool(stdin)), "stdout": 1, "stderr": 1, "stream": 1}
                connection = self._api.attach_socket(container.id, params)
                try:
                    self._api.start(container.id)
                except BaseException:
                    streams.hang_up(connection)
                    raise
                heard = streams.converse(connection, stdin=stdin, timeout=timeout, limit=limit, sink=sink)
            cut = heard.timed_out or heard.overflowed
            state = container.state() if cut else container.wait()
            return Outcome(
                None if cut else state.exit_code,
                heard.stdout,
                heard.stderr,
                heard.timed_out,
                heard.overflowed,
                state.out_of_memory,
            )

    def remove_stale(self, prefix: str, keep: Collection[str]) -> list[str]:
        """Remove our containers and borrowed images whose name starts with ``prefix``; return the names.

        :param keep: names that live jobs use; what goes on after one of them with ``-`` stays too.
        """
        with self._calling("list containers and images"):
            containers = self._api.containers(all=True, filters={"label": _LABEL})
            images = self._api.images(_BORROWED)

        def is_stale(name: str) -> bool:
            return name.startswith(prefix) and not any(name == kept or name.startswith(f"{kept}-") for kept in keep)

        removed = set()
        for item in containers:
            if is_stale(name := str(item["Labels"][_LABEL])):
                Container(self._api, self._calling, str(item["Id"]), name).remove()
                removed.add(name)
        for tag in (tag for item in images for tag in item["RepoTags"] or ()):
            if tag.startswith(f"{_BORROWED}:") and is_stale(name := tag.partition(":")[2]):
                self.remove_image(tag)
                removed.add(name)
        return sorted(removed)

    def _create(self, wanted: Hardened, *, stdin: bool, keep_logs: bool) -> Container:
        kept = docker.types.LogConfig(type="json-file", config={"max-size": "8m", "max-file": "1"})
        host = self._api.create_host_config(
            network_mode="bridge" if wanted.ports else "none",
            port_bindings=dict.fromkeys(wanted.ports, ("127.0.0.1", None)),
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            pids_limit=wanted.processes,
            mem_limit=wanted.memory,
            memswap_limit=wanted.memory,
            tmpfs={"/tmp": f"size={wanted.tmp},mode=1777,noexec,nosuid,nodev"},  # noqa: S108 -- in the container
            ipc_mode="private" if wanted.shared_memory else "none",
            shm_size=16 * MIB,
            log_config=kept if keep_logs else docker.types.LogConfig(type="none"),
            init=True,
        )
        with self._calling(f"create {wanted.name}"):
            made = self._api.create_container(
                wanted.image,
                entrypoint=list(wanted.command) or None,
                name=wanted.name,
                user=wanted.user,
                environment=dict(wanted.environment),
                ports=list(wanted.ports),
                labels={_LABEL: wanted.name},
                stdin_open=stdin,
                host_config=host,
                use_config_proxy=False,  # the operator's proxy settings are no business of a model
            )
        return Container(self._api, self._calling, made["Id"], wanted.name)

    def _calling(self, what: str) -> contextlib.AbstractContextManager[None]:
        return _translated(what, self._address)


def _common(left: Sequence[str], right: Sequence[str]) -> list[str]:
    pairs = zip(left, right, strict=False)
    return [mine for index, (mine, _) in enumerate(pairs) if left[: index + 1] == right[: index + 1]]


@contextlib.contextmanager
def _translated(what: str, address: str) -> Iterator[None]:
    """Turn errors of the SDK and of what it stands on into ours."""
    faults.reach("engine-call")
    try:
        yield
        faults.reach("engine-answered")
    except docker.errors.ImageNotFound as error:
        raise ImageNotFound(
            f"the engine cannot {what}: {error.explanation}", hint="Load or pull the image, then try again."
        ) from error
    except docker.errors.NotFound as error:
        raise ContainerGone(f"the engine cannot {what}: {error.explanation}", hint="Start it again.") from error
    except docker.errors.APIError as error:
        if error.status_code == requests.codes.conflict and "removal" in str(error.explanation):
            raise ContainerGone(f"the engine cannot {what}: {error.explanation}", hint="Start it again.") from error
        raise EngineError(
            f"the engine cannot {what}: {error.explanation or error}", hint="The engine's own log says more."
        ) from error
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineUnavailable(
            f"the container engine at {address} did not {what}: {_reason(error)}", hint=_advice(error)
        ) from error


def _reason(error: BaseException) -> str:
    """Return the innermost reason."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


def _advice(error: BaseException) -> str:
    reason = _reason(error)
    if "Permission denied" in reason:
        return "Let this user use the engine (group docker), or run without one: COUNTERSIGN_ISOLATION=process."
    return "Start the engine or correct DOCKER_HOST; without one set COUNTERSIGN_ISOLATION=process."
