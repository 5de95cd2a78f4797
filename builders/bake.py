"""From a build request to a released image: approval checked again, layers, plan, engine, smoke test, record."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from builders import approved, layers, modelsigning, pinning, plan, publish, smoke, statements
from builders.checks import own_code
from builders.checks.introspect import allow_document
from builders.distribution import RegistryAway, RegistryRefused
from builders.jobs import Job, JobFailed, TryLater
from builders.plan import BuildPlan, Part
from builders.platform import ENVIRONMENTS_PATH, Platform
from formats import canonical, manifest
from formats import digest as digests
from formats import platforms as documents
from formats.artifacts import File
from formats.lock import environment_id
from formats.own_code import Declared
from registry import VERSION, builds, clock, faults, jobs, platforms
from registry.orm.image import Build
from registry.store import LocalStore


@dataclass(frozen=True)
class Said:
    """Bill of materials, signed provenance, and ``{"public_key", "bundles": {ref: OpenSSF model signature}}``."""

    bom: dict[str, Any]
    provenance: dict[str, Any]
    models: dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What to bake, since when, and whether every sample row is asked before release, or the first few."""

    bundle: str
    recipe: dict[str, Any]
    started: datetime
    every_row: bool = False


@dataclass(frozen=True)
class Made:
    """An image that is there but not released, and how it answered."""

    wanted: Wanted
    built: BuildPlan
    sealed: bytes
    releases: list[approved.Release]
    report: dict[str, Any]


def run(job: Job, store: LocalStore, platform: Platform) -> None:
    """Bake one build. Same inputs, same image digest: doing it again after a crash does no harm."""
    with job.database.write() as session:
        started = jobs.own(session, job.id, job.fence).started_at or clock.now()
        build = builds.start(session, job.subject_id)
        wanted = Wanted(build.bundle.full_name, build.recipe, started)
    suited = pinning.in_force(job, platform)
    made = make(job, store, suited, wanted)
    if made.report["outcome"] != "passed":
        raise JobFailed(
            "smoke-test", made.report["summary"], hint="Nothing was released. Read the log, then retry or push again."
        )
    baked = ready(job, made, suited)
    stands_on, wheels = _stands_on(made.sealed), pinning.wheels_of(suited)
    with job.database.write() as session:
        image = builds.release(session, _build(session, job.subject_id), baked)
        platforms.lay_first(session, stands_on, wheels=wheels, worker=f"job:{job.id.hex}")
        jobs.log(session, job.id, job.fence, f"released {image.digest}, isolation: {platform.isolation}")
        jobs.finish(session, job.id, job.fence)


def make(job: Job, store: LocalStore, platform: Platform, wanted: Wanted) -> Made:
    """Check what was approved again, write the layers, start the image and ask it.

    :raises JobFailed: a version is not approved, is not what was approved, or is for another target.
    """
    releases = approved.read(job, wanted.recipe)
    job.log(f"baking {wanted.bundle}: {', '.join(release.ref for release in releases)}")
    approved.check_target(releases, platform.base.target)
    built, sealed = _plan(job, store, platform, wanted.bundle, wanted.recipe, releases)
    job.log(f"image digest will be {built.image_digest}")
    report = smoke.test(job, platform, built, approved.rows_from_outside(releases, store, every=wanted.every_row))
    job.log(report["summary"])
    return Made(wanted, built, sealed, releases, report)


def ready(job: Job, made: Made, platform: Platform) -> builds.Baked:
    """Say what the image is, name it on the engine and push it: all that comes before the record of its release."""
    said = _statements(job, made.built, made.sealed, made.releases, platform, made.wanted.started)
    baked = _baked(made.built, made.sealed, made.report, made.releases, platform, said)
    if platform.engine:
        platform.engine.tag(made.built.image_id, tag(made.wanted.bundle, made.built.image_digest))
    faults.reach("tagged")
    baked = replace(baked, reference=_push(job, made.built, platform, said))
    faults.reach("pushed")
    return baked


def give_up(session: Session, job: Job, error: dict[str, str]) -> None:
    """The last attempt failed: the bundle's owners are told, its last image stays."""
    builds.fail(session, _build(session, job.subject_id), error)


def _build(session: Session, build_id: UUID) -> Build:
    return session.get_one(Build, build_id)


# ------------------------------------------------------------------------------------------------- layers and the plan


def _plan(
    job: Job,
    store: LocalStore,
    platform: Platform,
    bundle: str,
    recipe: dict[str, Any],
    releases: Sequence[approved.Release],
) -> tuple[BuildPlan, bytes]:
    """Write the layers that are not there yet; returns the plan and the sealed manifest's bytes."""
    runtime = platform.runtime_part(job.name)
    if runtime is None:
        raise TryLater(
            "no-runtime", "the serving runtime's wheels are not in the store", hint="Any check fetches them: retry one."
        )
    locks = {release.lock.digest: release.lock for release in releases if not release.compiled}
    environments = [
        Part("environment", f"{ENVIRONMENTS_PATH}/{environment_id(digest)}", layer, digest)
        for digest, lock in sorted(locks.items())
        if (layer := platform.site_layer(lock, f"{ENVIRONMENTS_PATH}/{environment_id(digest)}", job.name))
    ]
    job.log(
        f"environments: {', '.join(part.path.rpartition('/')[2] for part in environments) or 'none, all are compiled'}"
    )
    platform.keep(canonical.dumps(lock.to_dict()) for lock in (platform.runtime_lock(), *locks.values()))
    app, app_files = platform.app_layer(job.name)
    models, described = [], []
    for release in releases:
        part, entry = _model(release, store, platform)
        models.append(part)
        described.append(entry)
    document = manifest.Manifest(
        bundle=bundle,
        target=platform.base.target,
        base=platform.base.digest,
        runtime=manifest.Runtime(runtime.made_of, runtime.path, runtime.layer.diff_id),
        app=manifest.App(plan.APP_PATH, app_files),
        environments=tuple(
            manifest.Environment(environment_id(part.made_of), part.made_of, part.path, part.layer.diff_id)
            for part in environments
        ),
        models=tuple(described),
        routes=tuple(
            manifest.Route(
                route["name"],
                tuple(
                    manifest.Member(
                        member["ref"], member["weight"], tuple(member["bounds"]), member.get("role", manifest.PRIMARY)
                    )
                    for member in route["members"]
                ),
            )
            for route in recipe["routes"]
        ),
    )
    sealed = manifest.seal(document, platform.release_key)
    layer = layers.manifest_layer(platform.layers, plan.MANIFEST_PATH, sealed)
    built = plan.plan(
        bundle=bundle,
        base=platform.base,
        runtime=runtime,
        environments=environments,
        app=Part("app", plan.APP_PATH, app, canonical.digest([file.to_dict() for file in app_files])),
        models=models,
        manifest=Part("manifest", plan.MANIFEST_PATH, layer, digests.of_bytes(sealed)),
        releases=[release.release_digest for release in releases],
    )
    return built, sealed


def _model(release: approved.Release, store: LocalStore, platform: Platform) -> tuple[Part, manifest.Model]:
    """The layer of one model and its entry in the manifest: what answers, its signature and sealed rows.

    What answers is the compiled form, exactly the files that were compared; else the artifact with the names it may import.
    """
    written = {"signature.json": canonical.dumps(release.signature.to_dict())}
    if release.compiled:
        files = [File.from_dict(file) for file in release.compiled["files"]]
        compiled = manifest.Compiled(release.compiled["engine"], release.compiled["digest"])
    else:
        written["allow.json"] = allow_document(release.names, own_code.at_load(release.own_code))
        files, compiled = [File(release.artifact, *release.files[release.artifact])], None
    if release.synthetic:
        written["sealed.json"] = canonical.dumps(approved.rows(release, store))
    platform.keep(written.values())
    files += [File(name, digests.of_bytes(data), len(data)) for name, data in written.items()]
    files.sort(key=lambda file: file.path)
    layer = layers.model_layer(platform.layers, release.path, files, store.open)
    described = manifest.Model(
        ref=release.ref,
        model=release.model,
        number=release.number,
        release_digest=release.release_digest,
        environment=None if compiled else environment_id(release.lock.digest),
        path=release.path,
        format=release.format,
        artifact=None if compiled else release.artifact,
        files=tuple(files),
        signature=release.signature,
        compiled=compiled,
        own_code=tuple(Declared(wheel["name"], wheel["version"], wheel["sha256"]) for wheel in release.own_code),
    )
    return Part("model", release.path, layer, canonical.digest([file.to_dict() for file in files])), described


# ----------------------------------------------------------------------------------------------------------- the record


def tag(bundle: str, image_digest: str) -> str:
    """The name of a released image on an engine."""
    return f"countersign/{bundle}:{digests.parse(image_digest)[:12]}"


def _push(job: Job, built: BuildPlan, platform: Platform, said: Said) -> str | None:
    """Push the image to the registry, if there is one; its reference there."""
    if not platform.settings.registry_url or not built.loadable:
        return None
    attachments = [
        publish.Attachment("application/vnd.cyclonedx+json", "bom.cdx.json", canonical.dumps(said.bom)),
        publish.Attachment(
            "application/vnd.dsse.envelope.v1+json", "provenance.dsse.json", canonical.dumps(said.provenance)
        ),
        *(
            publish.Attachment(modelsigning.BUNDLE_TYPE, f"{ref}.sig", canonical.dumps(bundle))
            for ref, bundle in said.models["bundles"].items()
        ),
    ]
    try:
        with platform.repository(built.bundle) as repository:
            return publish.push(built.image, platform.layers, repository, attachments, job.log)
    except RegistryAway as error:
        raise TryLater(error.code, str(error), hint=error.hint) from error
    except RegistryRefused as error:
        raise JobFailed(error.code, str(error), hint=error.hint) from error


def _statements(
    job: Job,
    built: BuildPlan,
    sealed: bytes,
    releases: Sequence[approved.Release],
    platform: Platform,
    started: datetime,
) -> Said:
    """What the build says of its image to others."""
    runtime, models = platform.runtime_lock(), [_facts(release) for release in releases]
    bom = statements.bill_of_materials(built, runtime=runtime, models=models, countersign_version=VERSION)
    ran = statements.Run(platform.settings.public_url, job.id.hex, clock.rfc3339(started), clock.rfc3339(clock.now()))
    bundles = {model.ref: modelsigning.sign(model.ref, model.files, platform.models_key) for model in models}
    statement = statements.provenance(
        built,
        runtime=runtime,
        models=models,
        manifest_digest=digests.of_bytes(sealed),
        countersign_version=VERSION,
        run=ran,
        signatures=statements.Signatures(
            platform.models_key.fingerprint, {ref: canonical.digest(bundle) for ref, bundle in bundles.items()}
        ),
    )
    return Said(
        json.loads(bom),
        json.loads(statements.signed(statement, platform.release_key)),
        {"public_key": platform.models_key.public_pem.decode(), "bundles": bundles},
    )


def _facts(release: approved.Release) -> statements.ModelFacts:
    def lines(value: Any) -> tuple[str, ...]:
        return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),) if value else ()

    card = release.card
    return statements.ModelFacts(
        ref=release.ref,
        release_digest=release.release_digest,
        lock=None if release.compiled else release.lock,
        own_code=frozenset(wheel["sha256"] for wheel in release.own_code),
        task=str(card.get("task", "")),
        files=(
            *(File(path, digest, size) for path, (digest, size) in sorted(release.files.items())),
            *(File.from_dict(file) for file in (release.compiled or {"files": ()})["files"]),
        ),
        estimator=release.estimator,
        licence=str(card.get("licence", "")),
        inputs=tuple(f"{item.name}: {item.datatype} {list(item.shape)}" for item in release.signature.inputs),
        outputs=tuple(f"{item.name}: {item.datatype} {list(item.shape)}" for item in release.signature.outputs),
        metrics=release.metrics,
        uses=lines(card.get("uses")),
        limits=lines(card.get("limits")),
    )


def _baked(
    built: BuildPlan,
    sealed: bytes,
    report: dict[str, Any],
    releases: Sequence[approved.Release],
    platform: Platform,
    said: Said,
) -> builds.Baked:
    base = [{"role": "base", "path": "", "diff_id": layer.diff_id, "size": layer.size} for layer in built.base.layers]
    listed = base + [
        {key: part.to_dict()[key] for key in ("role", "path", "diff_id", "size", "made_of")} for part in built.parts
    ]
    return builds.Baked(
        digest=built.image_digest,
        engine_id=built.image_id,
        isolation=platform.isolation,
        base=built.base.digest,
        target=built.base.target.to_dict(),
        size=sum(layer.size for layer in built.image.layers),
        layers=listed,
        config=built.image.config.decode(),
        manifest=built.image.manifest.decode(),
        sealed=json.loads(sealed),
        sbom=said.bom,
        provenance=said.provenance,
        model_signatures=said.models,
        smoke=report,
        key_fingerprint=platform.release_key.fingerprint,
        members=[release.version_id for release in releases],
        platform=_stands_on(sealed).digest,
    )


def _stands_on(sealed: bytes) -> documents.Platform:
    return documents.of_manifest(manifest.open_sealed(sealed, None)[0])
