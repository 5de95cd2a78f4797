"""What this worker bakes with: engine or host, base, layers and keys; found once at start."""

import contextlib
import io
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from builders import engine as engines
from builders import resolver, runtimes
from builders.base import BaseUnavailable, find_base, host_base
from builders.checks.downloads import Index
from builders.containers import EngineError
from builders.distribution import Credentials, Repository
from builders.engine import Engine
from builders.layers import LayerStore
from builders.plan import ROOT, RUNTIME_PATH, Base, Part
from builders.runtimes import Compiler, ContainerCompiler, HostCompiler
from builders.sandbox import ContainerSandbox, ProcessSandbox, Sandbox
from builders.tarball import Layer
from formats import canonical, keys
from formats import digest as digests
from formats.artifacts import File
from formats.lock import Lock
from registry.settings import Settings
from registry.store import LocalStore

logger = logging.getLogger(__name__)
CHECKOUT = Path(__file__).resolve().parent.parent
REQUIREMENTS = CHECKOUT / "serving" / "requirements.txt"
STALE_PREFIX = "countersign-"
ENVIRONMENTS_PATH = f"{ROOT}/envs"


class NotReady(Exception):
    """Containers were demanded and cannot be had; the message names the one missing thing."""


@dataclass(frozen=True)
class Pinned:
    """A serving runtime and a serving code that the store holds, to bake with in the place of this checkout's."""

    runtime: Lock
    sources: Mapping[str, bytes]


@dataclass
class Platform:
    """One engine (or none), one base, one folder of layers, two keys."""

    base: Base
    engine: Engine | None
    note: str
    """Why models run as processes; empty in container mode."""
    layers: LayerStore
    store: LocalStore
    settings: Settings
    pinned: Pinned | None = None

    @cached_property
    def audit_key(self) -> keys.Signer:
        """Signs checkpoints of the audit log."""
        return _key(self.settings, "audit")

    @cached_property
    def release_key(self) -> keys.Signer:
        """Signs what is inside images, and statements about them."""
        return _key(self.settings, "release")

    @cached_property
    def models_key(self) -> keys.Signer:
        """Signs the files of approved versions for tools of others, which want a P-256 key."""
        return _key(self.settings, "models", p256=True)

    @property
    def isolation(self) -> str:
        """``container`` or ``process``."""
        return "container" if self.engine else "process"

    def report(self) -> dict[str, Any]:
        """What the portal is told of this worker."""
        return {
            "isolation": self.isolation,
            "note": self.note,
            "target": self.base.target.to_dict(),
            "base": self.base.digest,
        }

    def compiler(self, name: str) -> Compiler:
        """Compiles modules with the base's Python; ``name`` is that of its container."""
        if self.engine:
            return ContainerCompiler(self.engine, self.base, self.layers, name)
        return HostCompiler(self.layers)

    def sandbox(self, name: str) -> Sandbox:
        """Where a model runs for the first time; ``name`` is that of its container or scratch folder."""
        if self.engine:
            return ContainerSandbox(self.engine, self.base, self.layers, name)
        return ProcessSandbox(self.layers, self.scratch_root() / name)

    def remove_stale(self, keep: Collection[str]) -> None:
        """Remove containers and scratch folders of jobs that nobody holds any more."""
        if self.engine:
            self.engine.remove_stale(STALE_PREFIX, keep)
        for folder in self.scratch_root().iterdir():
            if folder.name.startswith(STALE_PREFIX) and folder.stem not in keep:
                if folder.is_dir():
                    shutil.rmtree(folder, ignore_errors=True)
                else:
                    folder.unlink(missing_ok=True)

    def scratch_root(self) -> Path:
        """Where jobs keep their scratch folders, each named after its job and fence."""
        root = self.settings.data_dir.absolute() / "scratch"
        root.mkdir(parents=True, exist_ok=True)
        return root

    # ------------------------------------------------------------------------------------------ the serving runtime

    def prepare_runtime(self, log: Callable[[str], None]) -> Lock:
        """Resolve and fetch the serving runtime's wheels for this target, once; bakes then need no network."""
        known = self._known_runtime()
        if known is not None and all(self.store.has(wheel.sha256) for wheel in known.wheels):
            return known
        log("fetching the serving runtime's wheels")
        lock = known or resolver.resolve_requirements(REQUIREMENTS, self.base.target, index=self.index())
        resolver.fetch(lock, self.keep_wheel, has=self.store.has, index=self.index())
        if self.pinned:
            return lock
        path = self._runtime_path()
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as sink:
            json.dump(lock.to_dict(), sink)
        Path(sink.name).replace(path)
        return lock

    def runtime_part(self, name: str) -> Part | None:
        """The runtime's layer, from wheels in the store; ``None`` when they were never fetched for this target."""
        lock = self._known_runtime()
        if lock is None or not all(self.store.has(wheel.sha256) for wheel in lock.wheels):
            return None
        return Part("runtime", RUNTIME_PATH, self.site_layer(lock, RUNTIME_PATH, name), lock.digest)

    def runtime_lock(self) -> Lock:
        """The serving runtime's lock for this target, once prepared.

        :raises NotReady: no check has fetched it yet.
        """
        if (lock := self._known_runtime()) is None:
            raise NotReady("the serving runtime was never resolved for this target; any check does it")
        return lock

    def site_layer(self, lock: Lock, path: str, name: str) -> Layer:
        """The layer of a lock's wheels at ``path``, made or kept from before."""
        return runtimes.site_layer(
            lock, path, base=self.base, store=self.layers, open_blob=self.store.open, compiler=self.compiler(name)
        )

    def app_layer(self, name: str) -> tuple[Layer, tuple[File, ...]]:
        """The layer of our own serving code, and its files; the modules are kept, so that a later release can rebuild it."""
        sources = self.app_sources()
        self.keep(sources.values())
        return runtimes.app_layer(sources, base=self.base, store=self.layers, compiler=self.compiler(name))

    def app_sources(self) -> Mapping[str, bytes]:
        """The modules of our own serving code, by their place in the app folder."""
        return self.pinned.sources if self.pinned else runtimes.app_sources(CHECKOUT)

    def keep(self, documents: Iterable[bytes]) -> None:
        """Put small contents into the store, where a rebuild finds them by the digests in the sealed manifest."""
        for data in documents:
            if not self.store.has(digests.of_bytes(data)):
                self.store.put(io.BytesIO(data))

    def _runtime_path(self) -> Path:
        folder = self.layers.root / "runtimes"
        folder.mkdir(exist_ok=True)
        made_of = canonical.digest(
            {"requirements": digests.of_file(REQUIREMENTS)[0], "target": self.base.target.to_dict()}
        )
        return folder / f"{digests.parse(made_of)}.json"

    def _known_runtime(self) -> Lock | None:
        if self.pinned:
            return self.pinned.runtime
        try:
            return Lock.from_dict(json.loads(self._runtime_path().read_text()))
        except FileNotFoundError:
            return None

    @contextmanager
    def repository(self, name: str) -> Iterator[Repository]:
        """Where images of a bundle are pushed to; only with a registry configured.

        :raises RegistryRefused: the settings would send the password unencrypted.
        """
        settings = self.settings
        account = Credentials(settings.registry_user, settings.registry_password) if settings.registry_user else None
        with closing(
            Repository(settings.registry_url, name, credentials=account, ca_bundle=settings.registry_ca_bundle)
        ) as found:
            yield found

    def index(self) -> Index:
        """Where wheels come from."""
        return Index(url=self.settings.index_url, ca_bundle=self.settings.ca_bundle)

    def keep_wheel(self, source: BinaryIO, expected: str, size: int) -> None:
        """Take a wheel into the store while it is downloaded."""
        self.store.put(source, expected=expected, limit=size)


def detect(settings: Settings, store: LocalStore) -> Platform:
    """Find engine and base, or say why models will run as processes.

    :raises NotReady: ``isolation`` is ``container`` and something is missing.
    """
    layers = LayerStore(settings.layers_dir.absolute())
    engine, base, note = None, None, "containers are switched off (COUNTERSIGN_ISOLATION=process)"
    if settings.isolation != "process":
        try:
            engine, base = _containers(settings, layers)
            note = ""
        except (EngineError, BaseUnavailable) as error:
            note = f"{error}. {error.hint}"
            if settings.isolation == "container":
                raise NotReady(note) from error
            engine = None
    return Platform(base=base or host_base(), engine=engine, note=note, layers=layers, store=store, settings=settings)


def _containers(settings: Settings, layers: LayerStore) -> tuple[Engine, Base]:
    engine = engines.connect(os.environ)
    made_here = settings.data_dir.absolute() / "base" / "base.oci.tar"
    if not settings.base_image and not made_here.is_file():
        raise BaseUnavailable(
            "there is no base image",
            hint="Run `make base-image`, or set COUNTERSIGN_BASE_IMAGE to one your engine can pull.",
        )
    return engine, find_base(settings.base_image or str(made_here), engine=engine, store=layers)


def _key(settings: Settings, name: str, *, p256: bool = False) -> keys.Signer:
    """The key of that name: in the device when one is configured, else in a file.

    A file is made at the first start of an installation, and then to be backed up.

    :raises NotReady: the key cannot be had, and why.
    """
    try:
        if settings.pkcs11_module:
            from builders import pkcs11  # noqa: PLC0415 - loads a C library that only installations with a device need

            device = pkcs11.Device(settings.pkcs11_module, settings.pkcs11_token, settings.pkcs11_pin)
            return pkcs11.DeviceSigner(device, f"countersign-{name}")
        path = settings.keys_dir / f"{name}.pem"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with contextlib.suppress(keys.KeyFileError):  # another worker was faster: its key is the one
                (keys.generate_p256 if p256 else keys.generate)(path)
                logger.info("made a new key: %s", path)
        return (keys.P256FileSigner if p256 else keys.FileSigner)(path)
    except keys.KeyFileError as error:
        raise NotReady(str(error)) from error
