"""Bake a released image anew, from what its sealed manifest names by digest, and compare.

The manifest names locks, models and our own modules; the store holds each under its digest. Nothing else goes in: no
database, no key, no layer that was made before.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from builders import base as bases
from builders import layers, plan, runtimes
from builders.jobs import Job, JobFailed
from builders.layers import LayerStore
from builders.plan import BuildPlan, Part
from builders.platform import Platform
from builders.tarball import Layer
from formats import canonical, manifest
from formats import digest as digests
from formats.lock import Lock
from registry import jobs, rebuilds
from registry.errors import NotFound
from registry.rebuilds import Difference
from registry.store import LocalStore

MAX_DOCUMENT = 16 << 20


@dataclass(frozen=True)
class Released:
    """An image as it was recorded: its digest, its sealed manifest, and (role, path, diff_id) of each layer."""

    digest: str
    sealed: bytes
    layers: tuple[tuple[str, str, str], ...]


def run(job: Job, store: LocalStore, platform: Platform) -> None:
    """Do one rebuild and record what came out."""
    with job.database.read() as session:
        image = rebuilds.load(session, job.subject_id).image
        listed = tuple((layer["role"], layer["path"], layer["diff_id"]) for layer in image.layers)
        released = Released(image.digest, canonical.dumps(image.sealed), listed)
    job.log(f"baking {released.digest} anew")
    suited = on_base_of(released.sealed, replace(platform, store=store))
    with _empty(suited, job.name) as fresh:
        built = assemble(released.sealed, replace(suited, layers=fresh), job.name)
        difference = compare(released, built)
        if difference is None:
            for part in built.parts:
                platform.layers.adopt(fresh, part.layer.diff_id)
    job.log(f"it came out as {built.image_digest}: {_say(difference)}")
    with job.database.write() as session:
        rebuild = rebuilds.load(session, job.subject_id)
        rebuilds.finish(session, rebuild, found_digest=built.image_digest, difference=difference)
        jobs.finish(session, job.id, job.fence)


def give_up(session: Session, job: Job, error: dict[str, str]) -> None:
    """The last attempt failed: the image's page says why."""
    rebuilds.fail(session, rebuilds.load(session, job.subject_id), error)


def on_base_of(sealed: bytes, platform: Platform) -> Platform:
    """The platform with the base of an image, when that is another one that was used here before."""
    document, _ = manifest.open_sealed(sealed, None)
    if platform.engine is None or document.base == platform.base.digest:
        return platform
    return replace(platform, base=bases.remembered(platform.layers).get(document.base, platform.base))


def assemble(sealed: bytes, platform: Platform, name: str) -> BuildPlan:
    """Write every layer that the sealed manifest describes; the seal itself goes in as it is.

    :param platform: its base is what the image stands on, see :func:`on_base_of`; its layers should be empty but for the base's.
    :param name: prefix of containers that compile.
    :raises JobFailed: the image stands on another base, or something it was made of is no longer stored.
    """
    document, _ = manifest.open_sealed(sealed, None)
    if document.base != platform.base.digest or document.target != platform.base.target:
        raise JobFailed(
            "other-base",
            f"the image stands on {document.base} for Python {document.target.python}, "
            f"here is {platform.base.digest} for Python {platform.base.target.python}",
            hint="Run a worker with that base (COUNTERSIGN_BASE_IMAGE), then ask again.",
        )
    try:
        return _assemble(document, sealed, platform, name)
    except NotFound as error:
        raise JobFailed(
            "input-missing",
            f"something the image was made of is no longer stored: {error}",
            hint="Restore the store from its backup, then ask again.",
        ) from error


def _assemble(document: manifest.Manifest, sealed: bytes, platform: Platform, name: str) -> BuildPlan:
    store = platform.store

    def site(lock_digest: str, path: str) -> Layer:
        lock = Lock.from_dict(canonical.loads(store.read(lock_digest, limit=MAX_DOCUMENT)))
        return platform.site_layer(lock, path, name)

    sources = {
        file.path: store.read(file.sha256, limit=MAX_DOCUMENT)
        for file in document.app.files
        if file.path.endswith(".py")
    }
    app, _ = runtimes.app_layer(sources, base=platform.base, store=platform.layers, compiler=platform.compiler(name))
    runtime = document.runtime
    return plan.plan(
        bundle=document.bundle,
        base=platform.base,
        runtime=Part("runtime", runtime.path, site(runtime.lock, runtime.path), runtime.lock),
        environments=[
            Part("environment", found.path, site(found.lock, found.path), found.lock) for found in document.environments
        ],
        app=Part("app", document.app.path, app, canonical.digest([file.to_dict() for file in document.app.files])),
        models=[
            Part(
                "model",
                model.path,
                layers.model_layer(platform.layers, model.path, model.files, store.open),
                canonical.digest([file.to_dict() for file in model.files]),
            )
            for model in document.models
        ],
        manifest=Part(
            "manifest",
            plan.MANIFEST_PATH,
            layers.manifest_layer(platform.layers, plan.MANIFEST_PATH, sealed),
            digests.of_bytes(sealed),
        ),
        releases=[model.release_digest for model in document.models],
    )


def compare(released: Released, built: BuildPlan) -> Difference | None:
    """The first layer that differs, or None when the image is equal."""
    if built.image_digest == released.digest:
        return None
    for expected, found in zip_longest(released.layers, listed(built)):
        if expected != found:
            role, path, _ = expected or found
            return Difference(role, path, expected[2] if expected else "", found[2] if found else "")
    return Difference("config", "", released.digest, built.image_digest)


def listed(built: BuildPlan) -> Sequence[tuple[str, str, str]]:
    """Role, path and diff_id of every layer, the base's first."""
    base = [("base", "", layer.diff_id) for layer in built.base.layers]
    return [*base, *((part.role, part.path, part.layer.diff_id) for part in built.parts)]


@contextmanager
def _empty(platform: Platform, name: str) -> Iterator[LayerStore]:
    """A store for one rebuild that holds the base only: no layer that was made before may be taken for a new one."""
    root = platform.layers.root / "incoming" / name
    shutil.rmtree(root, ignore_errors=True)
    try:
        fresh = LayerStore(root)
        for layer in platform.base.layers:
            fresh.adopt(platform.layers, layer.diff_id)
        yield fresh
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _say(difference: Difference | None) -> str:
    if difference is None:
        return "equal, byte for byte"
    return f"not equal, the first difference is the {difference.role} {difference.path}".rstrip()


def command(sealed: Path, platform: Platform) -> dict[str, Any]:
    """``python -m builders rebuild``: what comes out, for somebody who has the manifest and the store but no database."""
    name = f"countersign-rebuild-{os.getpid()}"
    # As downloaded it may be laid out for reading; in the image its JSON is canonical.
    document = canonical.dumps(canonical.loads(sealed.read_bytes()))
    suited = on_base_of(document, platform)
    with _empty(suited, name) as fresh:
        built = assemble(document, replace(suited, layers=fresh), name)
    return {
        "image_digest": built.image_digest,
        "image_id": built.image_id,
        "layers": [{"role": role, "path": path, "diff_id": diff_id} for role, path, diff_id in listed(built)],
    }
