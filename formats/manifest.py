"""Sealed manifest: what an image holds and serves, under one signature. builders write it, serving refuses what it does not know.

It holds no times, no proofs and no approval dates, so that the same inputs give the same bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import artifacts, keys, lock, own_code, seals
from .artifacts import File
from .lock import Target
from .own_code import Declared
from .seals import BadSeal as BadSeal  # noqa: PLC0414  # what opening a manifest raises is caught from here
from .shapes import Node, ShapeError
from .signature import Signature

SCHEMA = "countersign.manifest/1"
PAYLOAD_TYPE = "application/vnd.countersign.manifest+json"
HOST_BASE = "host"  # the base of an archive that runs on the host's interpreter, without an image below it
PRIMARY, SHADOW = "primary", "shadow"
"""What a member of a route does: answer, or be asked a copy of requests whose answers nobody gets."""
FORMATS = ("joblib", "pickle", "skops", "onnx", "lightgbm", "xgboost")
ENGINES = ("arrays", "onnx")
"""What answers for a compiled model: arrays by our own code, or graphs by ONNX Runtime beside it."""
COMPILED = "compiled"
"""Folder of a compiled form, below its model's."""
FORM = "form.json"
"""The file of a compiled form that says what is done; docs/schemas/form.v1.json."""

NAME = r"[a-z0-9][a-z0-9-]{0,62}"
_LINE = rf"{NAME}/{NAME}"


class ManifestError(ShapeError):
    """The manifest is not of this version of the format; ``path`` names the place, as in `models[0].format`."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The layer of serving's own wheels. ``path`` is relative to the root of the image; ``diff_id`` is the layer's digest."""

    lock: str
    path: str
    diff_id: str

    def to_dict(self) -> dict[str, Any]:
        return {"lock": self.lock, "path": self.path, "diff_id": self.diff_id}


@dataclass(frozen=True, slots=True)
class App:
    """Our own code in the image. The files' paths are relative to ``path``."""

    path: str
    files: tuple[File, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "files": [file.to_dict() for file in self.files]}


@dataclass(frozen=True, slots=True)
class Environment:
    """The layer of one model lock's wheels. ``id``: the first 12 hex digits of the lock's digest."""

    id: str
    lock: str
    path: str
    diff_id: str

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "lock": self.lock, "path": self.path, "diff_id": self.diff_id}


@dataclass(frozen=True, slots=True)
class Compiled:
    """The form that answers in the model's place. Its files are those below `compiled/`, and ``digest`` is over them."""

    engine: str
    digest: str

    def to_dict(self) -> dict[str, Any]:
        return {"engine": self.engine, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Model:
    """One approved model version. ``artifact`` and the files' paths are relative to ``path``.

    A compiled one has neither ``environment`` nor ``artifact``: its library and the pushed file are not in the image.
    """

    ref: str
    model: str
    number: int
    release_digest: str
    environment: str | None
    path: str
    format: str
    artifact: str | None
    files: tuple[File, ...]
    signature: Signature
    compiled: Compiled | None = None
    own_code: tuple[Declared, ...] = ()
    """Wheels of the model's own that are in its environment; only a model that is not compiled has some."""

    def to_dict(self) -> dict[str, Any]:
        own = {"own_code": [wheel.to_dict() for wheel in self.own_code]} if self.own_code else {}
        return {
            "ref": self.ref,
            "model": self.model,
            "number": self.number,
            "release_digest": self.release_digest,
            "environment": self.environment,
            "path": self.path,
            "format": self.format,
            "artifact": self.artifact,
            "files": [file.to_dict() for file in self.files],
            "signature": self.signature.to_dict(),
            "compiled": self.compiled.to_dict() if self.compiled else None,
            **own,
        }


@dataclass(frozen=True, slots=True)
class Member:
    """A version on a route. ``weight`` is a share of 100; ``bounds`` are the weights that the approval allows.

    The weight of a shadow is the share of the route's requests that are copied to it. ``role`` stands in the file for shadows
    only, so that a manifest without them is, byte for byte, what it was before there were any.
    """

    ref: str
    weight: int
    bounds: tuple[int, int]
    role: str = PRIMARY

    @property
    def shadow(self) -> bool:
        return self.role == SHADOW

    def to_dict(self) -> dict[str, Any]:
        role = {"role": self.role} if self.shadow else {}
        return {"ref": self.ref, "weight": self.weight, "bounds": list(self.bounds), **role}


@dataclass(frozen=True, slots=True)
class Route:
    """A public name and the versions that answer for it, in the order that sticky routing counts them; and their shadows."""

    name: str
    members: tuple[Member, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "members": [member.to_dict() for member in self.members]}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one image holds. ``base`` is the base image's digest, or `host`."""

    bundle: str
    target: Target
    base: str
    runtime: Runtime
    app: App
    environments: tuple[Environment, ...]
    models: tuple[Model, ...]
    routes: tuple[Route, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "bundle": self.bundle,
            "target": self.target.to_dict(),
            "base": self.base,
            "runtime": self.runtime.to_dict(),
            "app": self.app.to_dict(),
            "environments": [environment.to_dict() for environment in self.environments],
            "models": [model.to_dict() for model in self.models],
            "routes": [route.to_dict() for route in self.routes],
        }

    @classmethod
    def from_dict(cls, value: Any) -> "Manifest":
        """Read a manifest strictly, its references between parts included.

        :raises ManifestError: unknown or missing key, other version, or a reference to nothing; names the place.
        """
        try:
            return _manifest(Node(value))
        except ShapeError as error:
            raise ManifestError(error.path, error.problem) from None


def seal(manifest: Manifest, signer: keys.Signer) -> bytes:
    """The manifest under its seal (`seals.seal`), as the bytes that go into the image.

    :raises ManifestError: ``manifest`` would not be readable again.
    """
    Manifest.from_dict(manifest.to_dict())
    return seals.seal(manifest.to_dict(), PAYLOAD_TYPE, signer)


def open_sealed(data: bytes, fingerprint: str | None) -> tuple[Manifest, str]:
    """Check the seal, then read the manifest.

    :param fingerprint: of the key that must have signed. None checks only that nothing changed since *some* key signed:
        the caller then says `origin not checked`.
    :returns: the manifest and the fingerprint of the key that signed it.
    :raises BadSeal: not an envelope, changed, or signed by another key.
    :raises ManifestError: the seal holds, and the manifest is not of this version of the format.
    """
    hint = "wrong image, or the setting names another key"
    value, found = seals.open_sealed(data, PAYLOAD_TYPE, fingerprint, what="the sealed manifest", hint=hint)
    return Manifest.from_dict(value), found


def _manifest(node: Node) -> Manifest:
    node.schema(SCHEMA)
    parts = ("schema", "bundle", "target", "base", "runtime", "app", "environments", "models", "routes")
    fields = node.fields(parts)
    if fields["base"].value != HOST_BASE:
        fields["base"].digest()
    manifest = Manifest(
        bundle=fields["bundle"].text(_LINE, "team/name"),
        target=Target.from_dict(fields["target"].value, "target"),
        base=fields["base"].value,
        runtime=_runtime(fields["runtime"]),
        app=_app(fields["app"]),
        environments=tuple(_environment(item) for item in fields["environments"].items()),
        models=tuple(_model(item) for item in fields["models"].items(least=1)),
        routes=tuple(_route(item) for item in fields["routes"].items(least=1)),
    )
    _check_references(manifest, fields)
    return manifest


def _check_references(manifest: Manifest, fields: dict[str, Node]) -> None:
    environments = {environment.id for environment in manifest.environments}
    refs = {model.ref for model in manifest.models}
    for what, names in (
        ("environments", [environment.id for environment in manifest.environments]),
        ("models", [model.ref for model in manifest.models]),
        ("routes", [route.name for route in manifest.routes]),
    ):
        _once(names, fields[what])
    for model, node in zip(manifest.models, fields["models"].items(), strict=True):
        if model.environment is not None and model.environment not in environments:
            raise ShapeError(f"{node.path}.environment", f"no environment {model.environment!r} in this manifest")
    used = {model.environment for model in manifest.models}
    for environment in manifest.environments:
        if environment.id not in used:
            raise fields["environments"].fail(f"no model runs in {environment.id}")
    for route, node in zip(manifest.routes, fields["routes"].items(), strict=True):
        for position, member in enumerate(route.members):
            if member.ref not in refs:
                raise ShapeError(f"{node.path}.members[{position}].ref", f"no model {member.ref!r} in this manifest")
    paths = [manifest.runtime.path, manifest.app.path]
    paths += [environment.path for environment in manifest.environments]
    paths += [model.path for model in manifest.models]
    try:
        artifacts.check_distinct(paths)
    except artifacts.BadPath as error:
        raise ShapeError("", f"two parts share a folder: {error}") from None


def _runtime(node: Node) -> Runtime:
    fields = node.fields(("lock", "path", "diff_id"))
    return Runtime(fields["lock"].digest(), _path(fields["path"]), fields["diff_id"].digest())


def _app(node: Node) -> App:
    fields = node.fields(("path", "files"))
    return App(_path(fields["path"]), _files(fields["files"]))


def _environment(node: Node) -> Environment:
    fields = node.fields(("id", "lock", "path", "diff_id"))
    digest = fields["lock"].digest()
    expected = lock.environment_id(digest)
    if fields["id"].value != expected:
        raise fields["id"].expected(f"{expected}, the first 12 hex digits of its lock")
    return Environment(expected, digest, _path(fields["path"]), fields["diff_id"].digest())


def _model(node: Node) -> Model:
    required = ("ref", "model", "number", "release_digest", "environment", "path", "format", "artifact", "files")
    fields = node.fields((*required, "signature", "compiled"), ("own_code",))
    compiled = _compiled(fields["compiled"])
    own = fields["own_code"].items(least=1, most=own_code.MOST_WHEELS) if "own_code" in fields else []
    if compiled is not None:
        if own:
            raise fields["own_code"].fail("a compiled model runs no code of its own")
        for name in ("environment", "artifact"):
            if fields[name].value is not None:
                raise fields[name].expected("null: a compiled model needs none")
    model = Model(
        ref=fields["ref"].text(),
        model=fields["model"].text(_LINE, "team/name"),
        number=fields["number"].integer(least=1),
        release_digest=fields["release_digest"].digest(),
        environment=None if compiled else fields["environment"].text(),
        path=_path(fields["path"]),
        format=fields["format"].one_of(FORMATS),
        artifact=None if compiled else fields["artifact"].text(),
        files=_files(fields["files"]),
        signature=Signature.from_dict(fields["signature"].value, fields["signature"].path),
        compiled=compiled,
        own_code=tuple(Declared.from_dict(item.value, item.path) for item in own),
    )
    if model.ref != f"{model.model}:{model.number}":
        raise fields["ref"].expected(f"{model.model}:{model.number}, its model and number")
    needed = [f"{COMPILED}/{FORM}"] if model.artifact is None else [model.artifact, "allow.json"]
    for name in (*needed, "signature.json"):
        if name not in {file.path for file in model.files}:
            raise fields["files"].fail(f"{name!r} is not among the files")
    if compiled is not None and compiled.digest != compiled_digest(model.files):
        raise fields["compiled"].fail(f"its digest is not that of the files below {COMPILED}/")
    return model


def _compiled(node: Node) -> Compiled | None:
    if node.value is None:
        return None
    fields = node.fields(("engine", "digest"))
    return Compiled(fields["engine"].one_of(ENGINES), fields["digest"].digest())


def compiled_digest(files: Iterable[File]) -> str:
    """The digest of the compiled form among a model's files: of the artifact manifest of what is below `compiled/`."""
    return artifacts.digest(artifacts.build(file for file in files if file.path.startswith(f"{COMPILED}/")))


def _route(node: Node) -> Route:
    fields = node.fields(("name", "members"))
    members = tuple(_member(item) for item in fields["members"].items(least=1))
    _once([member.ref for member in members], fields["members"])
    if sum(member.weight for member in members if not member.shadow) == 0:
        raise fields["members"].fail("every weight is 0, so no version would answer: give one a weight")
    return Route(fields["name"].text(NAME, "a route name: a-z, 0-9 and -, at most 63"), members)


def _member(node: Node) -> Member:
    fields = node.fields(("ref", "weight", "bounds"), ("role",))
    low, high = (bound.integer(most=100) for bound in fields["bounds"].items(least=2, most=2))
    weight = fields["weight"].integer(most=100)
    if not low <= weight <= high:
        raise fields["weight"].expected(f"a weight within its bounds, {low} to {high}")
    role = (
        fields["role"].one_of((SHADOW,)) if "role" in fields else PRIMARY
    )  # written for shadows only: one way to say it
    return Member(fields["ref"].text(), weight, (low, high), role)


def _files(node: Node) -> tuple[File, ...]:
    files = tuple(File.from_dict(item.value, item.path) for item in node.items(least=1))
    return artifacts.in_order(files, node)


def _path(node: Node) -> str:
    try:
        return artifacts.check_path(node.text())
    except artifacts.BadPath as error:
        raise node.fail(str(error)) from None


def _once(names: list[str], node: Node) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise node.fail(f"{min(twice)!r} appears twice")
