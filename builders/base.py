"""The base: an image to bake on, from an archive or from the engine; or the host's own interpreter."""

import gzip
import json
import platform
import secrets
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from builders.containers import EngineError, Hardened, ImageNotFound
from builders.engine import Engine
from builders.image import Image
from builders.layers import LayerStore
from builders.plan import Base
from builders.tarball import Layer, LayerError
from formats import canonical, digest
from formats.lock import Target
from formats.manifest import HOST_BASE

_CHUNK = 1 << 20
_MAX_DOCUMENT = 4 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_OLDEST_PYTHON = (3, 11)
_PROBE = """
import json, platform, sys, sysconfig
libc = "-".join(platform.libc_ver()) if platform.libc_ver()[0] else "musl"
print(json.dumps({"python": platform.python_version(), "machine": platform.machine(), "libc": libc}))
"""


class BaseUnavailable(Exception):
    """There is no base to bake on, and why.

    :ivar hint: what to do next, one sentence.
    """

    code = "base-unavailable"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def host_base() -> Base:
    """Return the interpreter that runs this as a base without layers, for images that run as local processes."""
    return Base(HOST_BASE, HOST_BASE, (), (), platform.python_version(), Target.host())


def find_base(setting: str, *, engine: Engine, store: LayerStore) -> Base:
    """Return the base that ``setting`` names, its layers in the store and the image in the engine.

    :param setting: path of an archive (OCI, or written by ``docker save``), or an image reference that the engine has or
        can pull. ``@sha256:<hex>`` behind a path pins the base's digest; in a reference it is the registry's.
    :raises BaseUnavailable: no such thing, it is damaged or for another machine, or it has no Python.
    """
    path, _, pinned = setting.partition("@")
    is_archive = Path(path).is_file()
    if not is_archive and ("/" in path[:1] or path.endswith(".tar")):
        raise BaseUnavailable(
            f"the base {path} does not exist", hint="Make one with: make base-image; or correct COUNTERSIGN_BASE_IMAGE."
        )
    try:
        base = _import(Path(path), store) if is_archive else _pulled(setting, engine, store)
        found = _probed(base, setting, engine, store)
    except (EngineError, LayerError) as error:
        raise BaseUnavailable(f"the base {setting} cannot be used: {error}", hint=error.hint) from error
    if is_archive and pinned and found.digest != pinned:
        raise BaseUnavailable(
            f"the base {path} has digest {found.digest}, the setting demands {pinned}",
            hint="Fetch the right archive, or correct COUNTERSIGN_BASE_IMAGE.",
        )
    return found


def name_in_engine(image: Image) -> str:
    """Return the name a base gets in an engine: pruning images without one must not take what every release stands on."""
    return f"countersign-base:{digest.parse(image.image_digest)[:12]}"


def _pulled(reference: str, engine: Engine, store: LayerStore) -> Image:
    """Take an image out of the engine, which fetches it first when it must."""
    try:
        image_id = str(engine.inspect(reference)["Id"])
    except ImageNotFound:
        engine.pull(reference)
        image_id = str(engine.inspect(reference)["Id"])
    known = _Facts(store, image_id).image()
    if known:
        return known
    with tempfile.NamedTemporaryFile(dir=store.root / "incoming") as archive:
        for chunk in engine.export(image_id):
            archive.write(chunk)
        archive.flush()
        return _import(Path(archive.name), store)


def _import(archive: Path, store: LayerStore) -> Image:
    """Read an image from an archive into the store; layers that are there already are not read again.

    Each layer must have the digest that the config states, whatever it is packed in: the config decides the base's identity.
    """
    try:
        with tarfile.open(archive) as tar:
            config, names = _documents(tar)
            diff_ids = [f"sha256:{digest.parse(text)}" for text in canonical.loads(config)["rootfs"]["diff_ids"]]
            layers = [
                store.get(diff_id)
                if diff_id in store
                else store.add_stream(_unpacked(_member(tar, name), archive), expected=diff_id)
                for diff_id, name in zip(diff_ids, names, strict=True)
            ]
    except (tarfile.TarError, KeyError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise BaseUnavailable(
            f"{archive} is no image archive that can be read: {error}",
            hint="Write it again with: make base-image, or docker save; zstd layers must be unpacked first.",
        ) from error
    return Image(config, tuple(layers))


def _documents(tar: tarfile.TarFile) -> tuple[bytes, list[str]]:
    """Return the config and the layers' member names, by Docker's ``manifest.json`` when there is one, else by the index."""
    if "manifest.json" in tar.getnames():
        (entry,) = _json(tar, "manifest.json")
        return _document(tar, entry["Config"]), entry["Layers"]
    (described,) = _json(tar, "index.json")["manifests"]
    manifest = _json(tar, _blob(described))
    return _document(tar, _blob(manifest["config"])), [_blob(layer) for layer in manifest["layers"]]


def _blob(descriptor: Mapping[str, Any]) -> str:
    return f"blobs/sha256/{digest.parse(descriptor['digest'])}"


def _json(tar: tarfile.TarFile, name: str) -> Any:
    return canonical.loads(_document(tar, name))


def _document(tar: tarfile.TarFile, name: str) -> bytes:
    with _member(tar, name) as source:
        return source.read(_MAX_DOCUMENT)


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    source = tar.extractfile(name)
    if source is None:
        raise ValueError(f"{name} is no file")
    return source


def _unpacked(source: IO[bytes], archive: Path) -> Iterator[bytes]:
    magic = source.read(4)
    source.seek(0)
    if magic == _ZSTD:
        raise ValueError(f"{archive} holds layers packed with zstd")
    stream = cast("IO[bytes]", gzip.GzipFile(fileobj=source)) if magic.startswith(_GZIP) else source
    with stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _probed(image: Image, setting: str, engine: Engine, store: LayerStore) -> Base:
    """Load the base, ask the Python in it what it is, once, and keep the answer."""
    config = canonical.loads(image.config)
    about = engine.describe()
    if config["architecture"] != about.architecture:
        raise BaseUnavailable(
            f"the base {setting} is for {config['architecture']}, the engine at {about.address} runs {about.architecture}",
            hint="Use a base for this engine's machine.",
        )
    image_id = engine.load(image, store)
    facts = _Facts(store, image.image_id)
    said = facts.said() or _ask(image_id, setting, engine)
    facts.keep(image, said)
    engine.tag(image_id, name_in_engine(image))
    return _as_base(image, said)


def _as_base(image: Image, said: Mapping[str, str]) -> Base:
    config = canonical.loads(image.config)
    return Base(
        image.image_digest,
        image.image_id,
        image.layers,
        tuple((config.get("config") or {}).get("Env") or ()),
        said["python"],
        Target("linux", said["machine"], said["libc"], ".".join(said["python"].split(".")[:2])),
    )


def _ask(image_id: str, setting: str, engine: Engine) -> dict[str, str]:
    name = f"countersign-probe-{secrets.token_hex(6)}"  # two workers may start at once
    outcome = engine.run(Hardened(image_id, name, ["python3", "-I", "-c", _PROBE]), timeout=60)
    try:
        said = {key: str(value) for key, value in json.loads(outcome.stdout).items()}
        version = tuple(int(part) for part in said["python"].split(".")[:2])
    except (ValueError, KeyError, AttributeError) as error:
        raise BaseUnavailable(
            f"the base {setting} has no working python3: {outcome.stderr.decode(errors='replace').strip() or outcome}",
            hint="A base needs python3, sh and head; use python:3.11-slim-bookworm or make base-image.",
        ) from error
    if version < _OLDEST_PYTHON:
        raise BaseUnavailable(f"the base {setting} has Python {said['python']}", hint="Python 3.11 or newer is needed.")
    return said


def remembered(store: LayerStore) -> dict[str, Base]:
    """Bases that were used here before and whose layers are all still in the store, by digest."""
    found = {}
    for path in (store.root / "bases").glob("*.json"):
        facts = _Facts(store, f"sha256:{path.stem}")
        image, said = facts.image(), facts.said()
        if image and said:
            found[image.image_digest] = _as_base(image, said)
    return found


class _Facts:
    """What is known of a base from an earlier look, in the store beside the layers."""

    def __init__(self, store: LayerStore, image_id: str) -> None:
        self._store = store
        self._path = store.root / "bases" / f"{digest.parse(image_id)}.json"

    def _read(self) -> Any:
        try:
            return json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}

    def image(self) -> Image | None:
        """Return the image when all its layers are still in the store."""
        known = self._read()
        layers = [Layer(item["diff_id"], item["size"]) for item in known.get("layers", ())]
        if not layers or not all(layer.diff_id in self._store for layer in layers):
            return None
        return Image(known["config"].encode(), tuple(layers))

    def said(self) -> dict[str, str] | None:
        said: dict[str, str] | None = self._read().get("said")
        return said

    def keep(self, image: Image, said: Mapping[str, str]) -> None:
        if self._read().get("said") == said:
            return
        layers = [{"diff_id": layer.diff_id, "size": layer.size} for layer in image.layers]
        document = {"config": image.config.decode(), "layers": layers, "said": dict(said)}
        self._path.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, suffix=".new", delete=False) as sink:
            json.dump(document, sink, indent=1, sort_keys=True)
        Path(sink.name).replace(self._path)
