"""What a build says of its image to others: a bill of materials (CycloneDX ML-BOM) and its provenance (SLSA in in-toto).

Both are canonical JSON. The bill of materials depends on the plan alone; the provenance also states who built it and when.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from builders.plan import Base, BuildPlan
from formats import canonical, digest, dsse
from formats.artifacts import File
from formats.keys import Signer
from formats.lock import Lock, Wheel

BUILD_TYPE = "urn:countersign:bake:1"
STATEMENT_TYPE = "application/vnd.in-toto+json"

_SERIALS = uuid.UUID(
    "6f2f6ac1-55a3-5d5e-9d3c-5f6a2b6b0d5e"
)  # the namespace of our serial numbers: one per image digest


class InvalidStatement(Exception):
    """A statement does not follow its standard: the build must not publish it."""

    code = "invalid-statement"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a model card; ``dataset`` says what it was taken on."""

    name: str
    value: float
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the statements say of one model version; texts as the approved card has them.

    :ivar ref: ``team/name:number``.
    :ivar lock: of the libraries in the image that run it; None when it is compiled and needs none.
    :ivar own_code: digests of the lock's wheels that the team wrote itself and the approval covers by their source.
    :ivar estimator: class of the estimator, e.g. ``sklearn.pipeline.Pipeline``.
    :ivar inputs: one line per tensor, e.g. ``text: BYTES [-1]``; ``outputs`` too.
    """

    ref: str
    release_digest: str
    files: tuple[File, ...]
    lock: Lock | None
    task: str
    estimator: str
    licence: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    datasets: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    own_code: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Run:
    """The one part of a provenance that differs between two builds of the same image.

    :ivar builder: URI of the installation, e.g. its public address.
    :ivar started_at: RFC 3339 in UTC, ``2026-01-31T12:00:00Z``; ``finished_at`` too.
    """

    builder: str
    invocation: str
    started_at: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class Signatures:
    """OpenSSF signatures of an image's models: fingerprint of their key, and each bundle's digest by ``ref``."""

    key: str
    bundles: Mapping[str, str]


def bill_of_materials(
    plan: BuildPlan, *, runtime: Lock, models: Sequence[ModelFacts], countersign_version: str
) -> bytes:
    """Return the CycloneDX 1.6 ML-BOM of the image.

    :param runtime: the wheels of the serving runtime.
    :raises InvalidStatement: it would not validate against the standard's strict schema.
    """
    wheels = {wheel.sha256: wheel for lock in _locks(runtime, models) for wheel in lock.wheels}
    own_to: dict[str, list[str]] = {}
    for model in models:
        for key in model.own_code:
            own_to.setdefault(key, []).append(model.ref)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SERIALS, plan.image_digest)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "countersign", "version": countersign_version}]},
            "component": {
                "type": "container",
                "bom-ref": plan.image_digest,
                "name": plan.bundle,
                "version": plan.image_digest,
                "hashes": _hashes(plan.image_digest),
            },
        },
        "components": [
            _base(plan.base),
            *(_model(model) for model in models),
            *(
                _wheel(wheels[key], own_to.get(key, ()))
                for key in sorted(wheels, key=lambda key: (wheels[key].name, key))
            ),
        ],
        "dependencies": [
            _needs(plan.image_digest, [_base_ref(plan.base), *(model.ref for model in models), *_refs(runtime)]),
            *(_needs(model.ref, _refs(model.lock or runtime)) for model in models),
        ],
    }
    data = canonical.dumps(document)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()):
        raise InvalidStatement(
            f"the bill of materials of {plan.bundle} is not valid CycloneDX: {fault}",
            hint="A text of a model card may hold what the standard forbids; otherwise this is a fault of Countersign.",
        )
    return data


def provenance(
    plan: BuildPlan,
    *,
    runtime: Lock,
    models: Sequence[ModelFacts],
    manifest_digest: str,
    countersign_version: str,
    run: Run,
    signatures: Signatures,
) -> dict[str, Any]:
    """Return the in-toto statement with SLSA v1 provenance; its subject is the image's manifest digest.

    :param manifest_digest: of the sealed manifest's bytes.
    :param signatures: of the models; named as by-products, so that the release key vouches for the key that made them.
    """
    locks = {lock.digest: lock for lock in _locks(runtime, models)}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": plan.bundle, "digest": _digest(plan.image_digest)}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "bundle": plan.bundle,
                    "models": [{"ref": model.ref, "releaseDigest": model.release_digest} for model in models],
                    "target": plan.base.target.to_dict(),
                },
                "internalParameters": {"countersign": countersign_version, "parts": plan.to_dict()["parts"]},
                "resolvedDependencies": [
                    *_base_dependency(plan.base),
                    _dependency("urn:countersign:manifest", manifest_digest),
                    *(_dependency(f"urn:countersign:lock:{key}", key) for key in sorted(locks)),
                    *(_dependency(_purl(wheel), wheel.sha256) for wheel in _distinct(locks.values())),
                    *(
                        _dependency(
                            f"urn:countersign:model:{quote(model.ref, safe='')}#{quote(file.path)}", file.sha256
                        )
                        for model in models
                        for file in model.files
                    ),
                ],
            },
            "runDetails": {
                "builder": {"id": run.builder, "version": {"countersign": countersign_version}},
                "metadata": {
                    "invocationId": run.invocation,
                    "startedOn": run.started_at,
                    "finishedOn": run.finished_at,
                },
                "byproducts": [
                    {"name": "urn:countersign:models-key", "digest": _digest(signatures.key)},
                    *(
                        {"name": f"urn:countersign:model-signature:{quote(ref, safe='')}", "digest": _digest(of)}
                        for ref, of in sorted(signatures.bundles.items())
                    ),
                ],
            },
        },
    }


def signed(statement: Mapping[str, Any], signer: Signer) -> bytes:
    """Return the statement in a DSSE envelope, as bytes to store and publish."""
    return canonical.dumps(dsse.sign(STATEMENT_TYPE, canonical.dumps(statement), signer))


def _base(base: Base) -> dict[str, Any]:
    if base.is_host:
        return {"type": "platform", "bom-ref": _base_ref(base), "name": "CPython", "version": base.python}
    return {
        "type": "container",
        "bom-ref": _base_ref(base),
        "name": "base",
        "version": base.digest,
        "purl": f"pkg:oci/base@{quote(base.digest, safe='')}",
        "hashes": _hashes(base.digest),
    }


def _base_ref(base: Base) -> str:
    return f"base:{base.digest}"


def _base_dependency(base: Base) -> list[dict[str, Any]]:
    return [] if base.is_host else [_dependency(f"pkg:oci/base@{quote(base.digest, safe='')}", base.digest)]


def _wheel(wheel: Wheel, own_to: Sequence[str] = ()) -> dict[str, Any]:
    own = {"properties": [{"name": "countersign:own-code", "value": ref} for ref in own_to]} if own_to else {}
    return {
        "type": "library",
        "bom-ref": f"{_purl(wheel)}#{digest.parse(wheel.sha256)[:12]}",
        "name": wheel.name,
        "version": wheel.version,
        "purl": _purl(wheel),
        "hashes": _hashes(wheel.sha256),
        **own,
    }


def _model(model: ModelFacts) -> dict[str, Any]:
    name, _, number = model.ref.partition(":")
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": model.ref,
        "name": name,
        "version": number,
        "properties": [
            {"name": "countersign:release", "value": model.release_digest},
            *({"name": f"countersign:file:{file.path}", "value": file.sha256} for file in model.files),
        ],
        "modelCard": {
            "modelParameters": {
                "task": model.task,
                "modelArchitecture": model.estimator,
                "datasets": [{"type": "dataset", "name": name} for name in model.datasets],
                "inputs": [{"format": line} for line in model.inputs],
                "outputs": [{"format": line} for line in model.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": [_metric(metric) for metric in model.metrics]},
            "considerations": {"useCases": list(model.uses), "technicalLimitations": list(model.limits)},
        },
    }
    if model.licence:
        component["licenses"] = [{"license": {"name": model.licence}}]
    return component


def _metric(metric: Metric) -> dict[str, str]:
    figure = {"type": metric.name, "value": canonical.dumps(metric.value).decode()}
    return {**figure, "slice": metric.dataset} if metric.dataset else figure


def _needs(ref: str, on: Iterable[str]) -> dict[str, Any]:
    return {"ref": ref, "dependsOn": sorted(set(on))}


def _locks(runtime: Lock, models: Sequence[ModelFacts]) -> list[Lock]:
    """Of everything in the image: the runtime, and the libraries of models that are not compiled."""
    return [runtime, *(model.lock for model in models if model.lock)]


def _refs(lock: Lock) -> list[str]:
    return [str(_wheel(wheel)["bom-ref"]) for wheel in lock.wheels]


def _distinct(locks: Iterable[Lock]) -> list[Wheel]:
    wheels = {wheel.sha256: wheel for lock in locks for wheel in lock.wheels}
    return sorted(wheels.values(), key=lambda wheel: (wheel.name, wheel.sha256))


def _purl(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{quote(wheel.version, safe='')}"


def _hashes(of: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.parse(of)}]


def _digest(of: str) -> dict[str, str]:
    return {"sha256": digest.parse(of)}


def _dependency(uri: str, of: str) -> dict[str, Any]:
    return {"uri": uri, "digest": _digest(of)}
