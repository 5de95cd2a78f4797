"""Every published schema is one, takes what the readers take, and refuses what they refuse."""

import copy
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from formats import artifacts, lock, own_code, platforms, release
from formats.artifacts import File
from formats.manifest import Manifest
from formats.revocations import Revocations
from formats.shapes import ShapeError

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
NAMES = [
    "artifacts",
    "card-head",
    "decision",
    "dossier-entry",
    "form",
    "lock",
    "manifest",
    "own-code",
    "platform-decision",
    "platform",
    "policy",
    "release",
    "report",
    "revocations",
]


def sha(character):
    return "sha256:" + character * 64


def schema(name):
    return json.loads((FOLDER / f"{name}.v1.json").read_text(encoding="utf-8"))


def accepts(name, document):
    return Draft202012Validator(schema(name)).is_valid(document)


CARD = {
    "purpose": "Sort customer feedback so that the right team answers it today.",
    "task": "text-classification",
    "owner": "payments",
    "contact": "feedback-voice@example.com",
    "inputs": "One message, any length, English.",
    "outputs": [{"name": "category", "values": 52}],
    "training_data": {"name": "feedback corpus", "rows": 20000},
    "metrics": ["macro F1 0.91 on the held-out month"],
    "limits": ["not for complaints under investigation"],
    "licence": "internal",
    "sample_kind": "synthetic",
    "uses": ["routing"],
    "prohibited_uses": ["scoring of customers"],
    "tags": ["kept, though not ours"],
}
REPORT = {
    "schema": "countersign.report/1",
    "step": "scan",
    "outcome": "failed",
    "isolation": "none",
    "summary": "The file imports a name that no model needs.",
    "findings": [{"code": "unknown-global", "message": "os:system is not allowed", "hint": "Retrain without it."}],
    "facts": {"globals": ["os:system"]},
}
ENTRY = {
    "schema": "countersign.dossier-entry/1",
    "kind": "validation",
    "author": "person:7c1f",
    "text": "I repeated the evaluation on the sealed set.",
    "previous": None,
    "digest": sha("a"),
    "files": [{"path": "report.pdf", "sha256": sha("b"), "size": 90_000}],
}
POLICY = {
    "schema": "countersign.policy/1",
    "name": "standard",
    "tier": "high",
    "revision": 3,
    "gates": [
        {"code": "checks", "title": "Every check passed", "kind": "checks", "steps": ["scan", "lock"]},
        {"code": "two", "title": "Two people", "kind": "people", "count": 2, "roles": ["validator", "compliance"]},
        {"code": "second-line", "title": "Compliance", "kind": "people", "count": 1, "roles": ["compliance"]},
        {"code": "validated", "title": "Validated", "kind": "evidence", "entry": "validation", "count": 1},
        {"code": "quality", "title": "Good enough", "kind": "metric", "metric": "macro_f1", "at_least": 0.85},
    ],
    "validity_days": 365,
}
DECISION = {
    "schema": "countersign.decision/1",
    "id": "0198c0de-0000-7000-8000-000000000001",
    "nonce": "f3b5c1a09d7e4c2f",
    "ref": "payments/feedback-voice:3",
    "release_digest": sha("a"),
    "dossier_digest": sha("b"),
    "uses": ["routing"],
    "environments": ["production"],
    "meaning": "approval of release",
    "outcome": "approve",
    "person": "person:7c1f",
    "printed_name": "Ines Okafor",
    "at": "2026-03-04T09:30:00Z",
    "policy": {"name": "standard", "revision": 3, "digest": sha("c")},
    "method": "password+totp",
    "statement": "I approve payments/feedback-voice:3 for routing in production.",
}


PLATFORM_DECISION = {
    "schema": "countersign.platform-decision/1",
    "id": "0198c0de-0000-7000-8000-000000000001",
    "nonce": "f3b5c1a09d7e4c2f",
    "change": "0198c0de-0000-7000-8000-000000000002",
    "platform": sha("a"),
    "replaces": sha("b"),
    "images": 300,
    "images_digest": sha("c"),
    "outcome": "approve",
    "person": "person:7c1f",
    "printed_name": "Ines Okafor",
    "at": "2026-03-04T09:30:00Z",
    "method": "password+totp",
    "statement": "I approve the platform change.",
}


REVOCATIONS = {
    "schema": "countersign.revocations/1",
    "issued_at": "2026-03-04T09:30:00Z",
    "revoked": [
        {
            "kind": "release",
            "digest": sha("a"),
            "name": "payments/feedback-voice:2",
            "revoked_at": "2026-03-04T09:29:10Z",
        },
        {"kind": "image", "digest": sha("b"), "name": "payments/desk", "revoked_at": "2026-03-04T09:29:10Z"},
    ],
}


FORM = {
    "schema": "countersign.form/1",
    "engine": "arrays",
    "stage": {
        "kind": "columns",
        "blocks": [
            {"kind": "numbers", "inputs": [0, 2], "steps": [{"do": "fill", "with": "a000"}]},
            {
                "kind": "codes",
                "input": 1,
                "keys": ["Basel", "Bern"],
                "codes": [0, 1],
                "missing": 1,
                "unknown": None,
                "width": 2,
            },
        ],
    },
    "core": {"kind": "linear"},
    "outputs": [{"name": "predict", "datatype": "INT64", "link": "positive", "labels": [0, 1]}],
}


@pytest.fixture
def good(lock_document, manifest_document):
    return {
        "artifacts": artifacts.build([File("model.joblib", sha("a"), 4096), File("café/sample.jsonl", sha("b"), 10)]),
        "card-head": copy.deepcopy(CARD),
        "decision": copy.deepcopy(DECISION),
        "dossier-entry": copy.deepcopy(ENTRY),
        "form": copy.deepcopy(FORM),
        "lock": lock_document,
        "manifest": manifest_document,
        "own-code": own_code.declaration([own_code.Declared("risk-features", "1.0", sha("e"))]),
        "platform": platforms.of_manifest(Manifest.from_dict(manifest_document)).to_dict(),
        "platform-decision": copy.deepcopy(PLATFORM_DECISION),
        "policy": copy.deepcopy(POLICY),
        "release": release.build(
            artifacts=sha("a"), lock=sha("b"), card=sha("c"), signature=sha("d"), reports=[("scan", sha("1"))]
        ),
        "report": copy.deepcopy(REPORT),
        "revocations": copy.deepcopy(REVOCATIONS),
    }


def test_the_folder_and_its_readme_hold_these_schemas():
    assert sorted(path.name for path in FOLDER.glob("*.json")) == [f"{name}.v1.json" for name in NAMES]
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"({name}.v1.json)" not in readme] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_valid_and_complete_in_itself(name):
    document = schema(name)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:countersign:schema:{name}:1"
    Draft202012Validator.check_schema(document)
    references = [line for line in json.dumps(document, indent=0).splitlines() if '"$ref"' in line]
    assert [line for line in references if '"#/$defs/' not in line] == []


def test_a_definition_is_the_same_in_every_schema():
    seen = {}
    for name in NAMES:
        for key, definition in schema(name).get("$defs", {}).items():
            assert seen.setdefault(key, definition) == definition, f"{key} differs in {name}"


@pytest.mark.parametrize("name", NAMES)
def test_good_documents_are_accepted(name, good):
    Draft202012Validator(schema(name)).validate(good[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_other_member_is_refused(name, good):
    for key in schema(name)["required"]:
        assert not accepts(name, {k: v for k, v in good[name].items() if k != key}), key
    if name != "card-head":  # cards come from other tools too
        assert not accepts(name, {**good[name], "surprise": 1})
        assert not accepts(name, {**good[name], "schema": f"countersign.{name}/2"})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("card-head", lambda d: d.update(owner="")),
        ("card-head", lambda d: d.update(sample_kind="anonymised")),
        ("card-head", lambda d: d.update(uses=[])),
        ("report", lambda d: d.update(outcome="skipped")),
        ("report", lambda d: d.update(isolation="vm")),
        ("report", lambda d: d["findings"][0].pop("hint")),
        ("report", lambda d: d.update(at="2026-03-04T09:30:00Z")),
        ("dossier-entry", lambda d: d.update(kind="decision")),
        ("dossier-entry", lambda d: d.update(author="ines")),
        ("dossier-entry", lambda d: d["files"][0].update(path="../report.pdf")),
        ("policy", lambda d: d.update(gates=[])),
        ("policy", lambda d: d.update(validity_days=0)),
        ("policy", lambda d: d["gates"][0].update(steps=[])),
        ("policy", lambda d: d["gates"][1].update(count=0)),
        ("policy", lambda d: d["gates"][1].update(kind="person")),
        ("policy", lambda d: d["gates"][1].update(roles=[])),
        ("dossier-entry", lambda d: d.update(previous="none")),
        ("policy", lambda d: d["gates"][1].pop("kind")),
        ("policy", lambda d: d["gates"][2].update(role="compliance")),
        ("policy", lambda d: d["gates"][4].pop("at_least")),
        ("decision", lambda d: d.update(outcome="abstain")),
        ("decision", lambda d: d.update(person="service:ci")),
        ("decision", lambda d: d.update(at="2026-03-04T09:30:00+01:00")),
        ("decision", lambda d: d.update(uses=[])),
        ("decision", lambda d: d.update(nonce="short")),
        ("decision", lambda d: d.update(outcome="approve_with_conditions")),
        ("decision", lambda d: d["policy"].pop("digest")),
        ("platform", lambda d: d.update(app=[])),
        ("platform", lambda d: d.update(base="debian")),
        ("platform-decision", lambda d: d.update(outcome="request_changes")),
        ("platform-decision", lambda d: d.update(images=-1)),
        ("release", lambda d: d.update(reports=[])),
        ("manifest", lambda d: d["models"][0].update(format="hdf5")),
        ("manifest", lambda d: d["models"][0].update(compiled={"engine": "treelite", "digest": sha("1")})),
        ("manifest", lambda d: d["models"][0].update(own_code=[])),
        ("own-code", lambda d: d["wheels"][0].update(name="Risk_Features")),
        ("own-code", lambda d: d.update(wheels=[])),
        ("revocations", lambda d: d["revoked"][0].update(kind="model")),
        ("revocations", lambda d: d.update(issued_at="2026-03-04T09:30:00+01:00")),
        ("form", lambda d: d.update(engine="python")),
        ("form", lambda d: d["core"].update(kind="pickle")),
        ("form", lambda d: d["stage"]["blocks"][0]["steps"][0].update(do="eval")),
        ("form", lambda d: d["stage"]["blocks"][1].update(width=-1)),
        ("form", lambda d: d["outputs"][0].update(link="os.system")),
    ],
)
def test_bad_documents_are_refused(name, change, good):
    assert accepts(name, good[name])
    change(good[name])
    assert not accepts(name, good[name])


def test_conditions_go_with_a_conditional_approval():
    assert accepts("decision", {**DECISION, "outcome": "approve_with_conditions", "conditions": ["Monitor drift."]})


READERS = {
    "platform": platforms.Platform.from_dict,
    "artifacts": artifacts.parse,
    "lock": lock.Lock.from_dict,
    "manifest": Manifest.from_dict,
    "own-code": own_code.parse,
    "release": release.check,
    "revocations": Revocations.from_dict,
}
ODD_VALUES = [None, True, -1, 0, 1.5, "", "x", "sha256:zz", "../x", [], [1], {}]


def places(value):
    """Every container and key or position in a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield value, key
        yield from places(item)


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_whatever_a_schema_refuses_its_reader_refuses(name, good):
    """The reader may know more (order, references), never less."""
    READERS[name](good[name])
    validator = Draft202012Validator(schema(name))
    refused = 0
    for container, key in list(places(good[name])):
        kept = container[key]
        for odd in ODD_VALUES:
            container[key] = odd
            if not validator.is_valid(good[name]):
                refused += 1
                with pytest.raises(ShapeError):
                    READERS[name](good[name])
        container[key] = kept
    assert refused > 20
