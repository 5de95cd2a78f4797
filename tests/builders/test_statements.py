"""What is said of an image: valid by the standards' own schemas, complete, and the same for the same image."""

import base64
import json
import subprocess
from dataclasses import replace

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from builders import plan, statements
from builders.base import host_base
from builders.plan import Base, Part
from builders.statements import InvalidStatement, Metric, ModelFacts, Run, Signatures
from builders.tarball import Layer
from formats import digest, dsse, keys
from formats.artifacts import File
from formats.lock import Lock, Wheel
from tests.builders.wheelhouse import TARGET

RUN = Run("https://registry.example", "job-7-1", "2026-01-31T12:00:00Z", "2026-01-31T12:00:03Z")

# The parts of in-toto v1 and SLSA provenance v1 that a verifier reads, as their specifications demand them.
_DIGEST_SET = {"type": "object", "minProperties": 1, "properties": {"sha256": {"pattern": "^[0-9a-f]{64}$"}}}
_RESOURCE = {
    "type": "object",
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}],
    "properties": {"uri": {"type": "string", "format": "uri", "pattern": "^[a-z]+:[^ ]+$"}, "digest": _DIGEST_SET},
}
PROVENANCE = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {"required": ["digest"], "properties": {"digest": _DIGEST_SET}},
        },
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^[a-z]+:"},
                        "externalParameters": {"type": "object"},
                        "internalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": _RESOURCE},
                    },
                },
                "runDetails": {
                    "required": ["builder"],
                    "additionalProperties": False,
                    "properties": {
                        "builder": {
                            "required": ["id"],
                            "properties": {"id": {"type": "string", "pattern": "^[a-z]+:"}},
                        },
                        "metadata": {
                            "additionalProperties": False,
                            "properties": {
                                "invocationId": {"type": "string"},
                                "startedOn": {"pattern": "^[0-9T:-]+Z$"},
                                "finishedOn": {"pattern": "^[0-9T:-]+Z$"},
                            },
                        },
                        "byproducts": {"type": "array", "items": _RESOURCE},
                    },
                },
            },
        },
    },
}


def of(name: str) -> str:
    return digest.of_bytes(name.encode())


def wheel(name: str, version: str = "1.0") -> Wheel:
    return Wheel(name, version, f"{name}-{version}-py3-none-any.whl", of(name + version), 10)


RUNTIME = Lock(TARGET, (wheel("grpcio"), wheel("numpy", "2.4.6")))
MODEL = ModelFacts(
    ref="payments/feedback-voice:1",
    release_digest=of("release"),
    files=(File("model.joblib", of("weights"), 7), File("allow.json", of("allow"), 2)),
    lock=Lock(TARGET, (wheel("numpy", "2.4.6"), wheel("scikit-learn", "1.9.1+local"))),
    task="text-classification",
    estimator="sklearn.pipeline.Pipeline",
    licence="internal use",
    inputs=("text: BYTES [-1]",),
    outputs=("predict: BYTES [-1]",),
    metrics=(Metric("accuracy", 0.93, "feedback 2025-Q4"), Metric("f1", 0.9)),
    datasets=("feedback 2025",),
    uses=("Routing feedback to teams",),
    limits=("English only",),
)


def planned(base: Base | None = None) -> plan.BuildPlan:
    base = base or Base(of("base"), of("id"), (Layer(of("base layer"), 5),), (), "3.11.2", TARGET)

    def part(role: str) -> Part:
        return Part(role, f"opt/countersign/{role}", Layer(of(role), 5), of(f"of {role}"))

    return plan.plan(
        bundle="payments/feedback-voice",
        base=base,
        runtime=part("runtime"),
        environments=[part("environment")],
        app=part("app"),
        models=[part("model")],
        manifest=part("manifest"),
        releases=[MODEL.release_digest],
    )


def bill(model: ModelFacts = MODEL, base: Base | None = None) -> bytes:
    return statements.bill_of_materials(planned(base), runtime=RUNTIME, models=[model], countersign_version="0.1.0")


def test_the_bill_of_materials_is_valid_and_the_same_every_time():
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill().decode()) is None
    assert bill() == bill()


def test_it_names_the_base_every_wheel_once_and_the_models():
    components = json.loads(bill())["components"]
    assert [(found["type"], found["name"]) for found in components] == [
        ("container", "base"),
        ("machine-learning-model", "payments/feedback-voice"),
        ("library", "grpcio"),
        ("library", "numpy"),
        ("library", "scikit-learn"),
    ]
    learn = components[-1]
    assert learn["purl"] == "pkg:pypi/scikit-learn@1.9.1%2Blocal"
    assert learn["hashes"] == [{"alg": "SHA-256", "content": digest.parse(of("scikit-learn1.9.1+local"))}]


def test_wheels_of_own_code_say_whose_they_are():
    own = wheel("riskfeatures")
    lock = Lock(TARGET, (*MODEL.lock.wheels[:1], own))
    data = bill(replace(MODEL, lock=lock, own_code=frozenset({own.sha256}))).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data) is None
    marked = {
        part["name"]: part["properties"]
        for part in json.loads(data)["components"]
        if part["type"] == "library" and "properties" in part
    }
    assert marked == {"riskfeatures": [{"name": "countersign:own-code", "value": MODEL.ref}]}


def test_the_subject_is_the_image():
    document = json.loads(bill())
    assert document["metadata"]["component"]["version"] == planned().image_digest
    assert "timestamp" not in document["metadata"]


def test_the_model_card_is_in_it():
    (model,) = [found for found in json.loads(bill())["components"] if found["type"] == "machine-learning-model"]
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "text-classification"
    assert card["modelParameters"]["inputs"] == [{"format": "text: BYTES [-1]"}]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "accuracy", "value": "0.93", "slice": "feedback 2025-Q4"},
        {"type": "f1", "value": "0.9"},
    ]
    assert card["considerations"]["useCases"] == ["Routing feedback to teams"]
    assert {"name": "countersign:release", "value": MODEL.release_digest} in model["properties"]


def test_every_dependency_leads_to_a_component():
    document = json.loads(bill())
    known = {found["bom-ref"] for found in (*document["components"], document["metadata"]["component"])}
    named = {ref for item in document["dependencies"] for ref in (item["ref"], *item["dependsOn"])}
    assert named <= known
    (model,) = [item for item in document["dependencies"] if item["ref"] == MODEL.ref]
    assert len(model["dependsOn"]) == 2


def test_an_image_on_the_host_names_its_interpreter():
    components = json.loads(bill(base=host_base()))["components"]
    assert (components[0]["type"], components[0]["name"]) == ("platform", "CPython")


def test_a_bill_that_would_not_be_valid_is_not_published():
    with pytest.raises(InvalidStatement) as caught:
        bill(replace(MODEL, ref=""))
    assert caught.value.hint


def provenance(run: Run = RUN, base: Base | None = None) -> dict:
    return statements.provenance(
        planned(base),
        runtime=RUNTIME,
        models=[MODEL],
        manifest_digest=of("sealed"),
        countersign_version="0.1.0",
        run=run,
        signatures=Signatures(of("models key"), {MODEL.ref: of("bundle")}),
    )


@pytest.mark.parametrize("base", [None, host_base()], ids=["image", "host"])
def test_the_provenance_has_the_shape_that_verifiers_expect(base):
    jsonschema.Draft202012Validator(PROVENANCE).validate(provenance(base=base))


def test_its_subject_is_the_image_digest_and_its_materials_are_complete():
    found = provenance()
    assert found["subject"] == [
        {"name": "payments/feedback-voice", "digest": {"sha256": digest.parse(planned().image_digest)}}
    ]
    materials = {item["digest"]["sha256"] for item in found["predicate"]["buildDefinition"]["resolvedDependencies"]}
    needed = [of("base"), of("sealed"), of("weights"), of("allow"), RUNTIME.digest, MODEL.lock.digest]
    needed += [wheel.sha256 for wheel in (*RUNTIME.wheels, *MODEL.lock.wheels)]
    assert {digest.parse(text) for text in needed} == materials


def test_two_builds_of_one_image_differ_only_in_who_and_when():
    once, again = provenance(), provenance(replace(RUN, invocation="job-9-2", finished_at="2026-02-01T00:00:00Z"))
    assert once["predicate"]["runDetails"].pop("metadata") != again["predicate"]["runDetails"].pop("metadata")
    assert once == again


def test_a_stranger_checks_the_signature(signer, tmp_path):
    sealed = statements.signed(provenance(), signer)
    envelope = json.loads(sealed)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = dsse.verify(envelope, [keys.load_public(signer.public_pem)], payload_type=statements.STATEMENT_TYPE)
    assert json.loads(payload) == provenance()
    assert statements.signed(provenance(), signer) == sealed


def test_stock_openssl_checks_it_too(signer, tmp_path):
    envelope = json.loads(statements.signed(provenance(), signer))
    payload = base64.b64decode(envelope["payload"])
    (tmp_path / "message").write_bytes(dsse.pae(envelope["payloadType"], payload))
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "key.pub").write_bytes(signer.public_pem)
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "key.pub",
        "-rawin",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ]
    assert (
        "Verified Successfully"
        in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )
    (tmp_path / "message").write_bytes(dsse.pae(envelope["payloadType"], payload + b" "))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0
