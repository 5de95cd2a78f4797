"""The sealed manifest: strict to read, and opened only under the key that was expected."""

import base64
import copy
import dataclasses

import pytest

from formats import canonical, dsse, keys, manifest
from formats.artifacts import File
from formats.manifest import BadSeal, Manifest, ManifestError


def sha(character):
    return "sha256:" + character * 64


def test_round_trip(manifest_document):
    read = Manifest.from_dict(manifest_document)
    assert read.to_dict() == manifest_document
    assert read.models[0].signature.layout == "text"
    assert read.routes[0].members[1].bounds == (0, 100)


def test_a_shadow_is_said_in_one_way_only_and_no_version_that_answers(manifest_document):
    member = manifest_document["routes"][0]["members"][1]
    member |= {"role": "shadow", "weight": 5, "bounds": [0, 20]}
    read = Manifest.from_dict(manifest_document)
    assert [item.shadow for item in read.routes[0].members] == [False, True]
    assert read.to_dict() == manifest_document
    for value in ("primary", "twin", None):
        member["role"] = value
        with pytest.raises(ManifestError, match="expected one of shadow"):
            Manifest.from_dict(manifest_document)
    for item in manifest_document["routes"][0]["members"]:
        item |= {"role": "shadow", "weight": 5, "bounds": [0, 20]}
    with pytest.raises(ManifestError, match="no version would answer"):
        Manifest.from_dict(manifest_document)


def test_only_dates_have_a_time_zone(manifest_document):
    signature = manifest_document["models"][0]["signature"]
    signature["layout"] = "frame"
    signature["inputs"][0] |= {"content_type": "datetime", "zone": "Europe/Zurich"}
    read = Manifest.from_dict(manifest_document)
    assert read.models[0].signature.inputs[0].zone == "Europe/Zurich"
    assert read.to_dict() == manifest_document
    signature["inputs"][0]["zone"] = "Zurich; drop"
    with pytest.raises(ManifestError, match="a time zone such as"):
        Manifest.from_dict(manifest_document)
    signature["inputs"][0]["zone"] = "+01:00"
    del signature["inputs"][0]["content_type"]
    with pytest.raises(ManifestError, match="only dates have a time zone"):
        Manifest.from_dict(manifest_document)


def test_the_host_can_be_the_base(manifest_document):
    manifest_document["base"] = "host"
    assert Manifest.from_dict(manifest_document).base == "host"


def every_object(value, path=""):
    """Every object in a document with its path."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from every_object(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from every_object(item, f"{path}[{position}]")


def test_an_unknown_key_is_refused_wherever_it_is(manifest_document):
    places = [path for path, _ in every_object(manifest_document)]
    assert len(places) > 15
    for position, path in enumerate(places):
        document = copy.deepcopy(manifest_document)
        list(every_object(document))[position][1]["surprise"] = 1
        with pytest.raises(ManifestError) as caught:
            Manifest.from_dict(document)
        assert caught.value.path == (f"{path}.surprise" if path else "surprise")
        assert "unknown key" in str(caught.value)


def test_a_missing_key_is_named_by_its_path(manifest_document):
    for position, (path, found) in enumerate(every_object(manifest_document)):
        for key in found.keys() - {"labels"}:
            document = copy.deepcopy(manifest_document)
            del list(every_object(document))[position][1][key]
            with pytest.raises(ManifestError) as caught:
                Manifest.from_dict(document)
            assert caught.value.path == (f"{path}.{key}" if path else key)
            assert "missing key" in str(caught.value)


def model(document):
    return document["models"][0]


OWN = {"name": "risk-features", "version": "1.0", "sha256": sha("e")}


def test_a_model_may_name_code_of_its_own(manifest_document):
    model(manifest_document)["own_code"] = [OWN]
    read = Manifest.from_dict(manifest_document)
    assert [wheel.to_dict() for wheel in read.models[0].own_code] == [OWN]
    assert read.to_dict() == manifest_document


def member(document):
    return document["routes"][0]["members"][0]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.update(schema="countersign.manifest/2", news=1), "schema"),
        (lambda d: d.update(schema=1), "schema"),
        (lambda d: d.update(bundle="payments"), "bundle"),
        (lambda d: d.update(base="scratch"), "base"),
        (lambda d: d["target"].update(arch="X86"), "target.arch"),
        (lambda d: d["runtime"].update(path="/opt"), "runtime.path"),
        (lambda d: d["runtime"].update(diff_id="sha256:1"), "runtime.diff_id"),
        (lambda d: d["app"].update(files=[]), "app.files"),
        (lambda d: d["environments"][0].update(id="000000000000"), "environments[0].id"),
        (lambda d: d["environments"].append(d["environments"][0]), "environments"),
        (lambda d: d.update(environments=[]), "models[0].environment"),
        (lambda d: d.update(models=[]), "models"),
        (lambda d: d["models"].append(d["models"][1]), "models"),
        (lambda d: model(d).update(ref="payments/feedback-voice:9"), "models[0].ref"),
        (lambda d: model(d).update(number=0), "models[0].number"),
        (lambda d: model(d).update(environment="ffffffffffff"), "models[0].environment"),
        (lambda d: model(d).update(format="hdf5"), "models[0].format"),
        (lambda d: model(d).update(artifact="other.joblib"), "models[0].files"),
        (lambda d: model(d)["files"].pop(0), "models[0].files"),
        (lambda d: model(d)["files"].reverse(), "models[0].files"),
        (lambda d: model(d).update(compiled={"form": "onnx"}), "models[0].compiled.engine"),
        (lambda d: model(d).update(compiled={"engine": "onnx", "digest": sha("1")}), "models[0].environment"),
        (lambda d: model(d).update(artifact=None), "models[0].artifact"),
        (lambda d: model(d).update(environment=None), "models[0].environment"),
        (lambda d: model(d).update(own_code=[]), "models[0].own_code"),
        (lambda d: model(d).update(own_code=[OWN | {"sha256": "1"}]), "models[0].own_code[0].sha256"),
        (lambda d: compiled(d).update(own_code=[OWN]), "models[0].own_code"),
        (lambda d: compiled(d)["compiled"].update(engine="treelite"), "models[0].compiled.engine"),
        (lambda d: compiled(d)["compiled"].update(digest=sha("1")), "models[0].compiled"),
        (lambda d: compiled(d).update(artifact="model.joblib"), "models[0].artifact"),
        (lambda d: compiled(d)["files"].pop(1), "models[0].files"),
        (lambda d: compiled(d)["files"][0].update(sha256=sha("2")), "models[0].compiled"),
        (lambda d: [compiled(d), compiled(d, 1)], "environments"),
        (lambda d: model(d).update(path="opt/countersign/../etc"), "models[0].path"),
        (lambda d: model(d).update(path=d["models"][1]["path"]), ""),
        (lambda d: model(d).update(path="opt/countersign/app/models"), ""),
        (lambda d: model(d)["signature"].update(layout="frame2"), "models[0].signature.layout"),
        (lambda d: d["routes"][0].update(name="Feedback"), "routes[0].name"),
        (lambda d: d["routes"].append(d["routes"][0]), "routes"),
        (lambda d: d["routes"][0].update(members=[]), "routes[0].members"),
        (lambda d: member(d).update(ref="payments/other:1"), "routes[0].members[0].ref"),
        (lambda d: member(d).update(ref="payments/feedback-voice:2"), "routes[0].members"),
        (lambda d: member(d).update(weight=101), "routes[0].members[0].weight"),
        (lambda d: member(d).update(weight=90.5), "routes[0].members[0].weight"),
        (lambda d: member(d).update(bounds=[0, 50]), "routes[0].members[0].weight"),
        (lambda d: member(d).update(bounds=[0]), "routes[0].members[0].bounds"),
        (lambda d: [m.update(weight=0) for m in d["routes"][0]["members"]], "routes[0].members"),
    ],
)
def test_what_does_not_fit_is_refused_by_place(manifest_document, change, place):
    change(manifest_document)
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(manifest_document)
    assert caught.value.path == place


def compiled(document, place=0):
    """The model at ``place``, made a compiled one."""
    files = [
        File("compiled/coef.npy", sha("a"), 10),
        File("compiled/form.json", sha("b"), 20),
        File("signature.json", sha("f"), 300),
    ]
    found = document["models"][place]
    found.update(
        environment=None,
        artifact=None,
        files=[file.to_dict() for file in files],
        compiled={"engine": "arrays", "digest": manifest.compiled_digest(files)},
    )
    return found


def test_a_compiled_model_needs_no_environment_and_no_artifact(manifest_document):
    compiled(manifest_document, 0)
    mixed = Manifest.from_dict(manifest_document)
    assert (mixed.models[0].compiled.engine, mixed.models[1].compiled) == ("arrays", None)
    compiled(manifest_document, 1)
    manifest_document["environments"] = []
    read = Manifest.from_dict(manifest_document)
    assert (read.environments, read.models[0].artifact) == ((), None)
    assert Manifest.from_dict(read.to_dict()) == read


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(ManifestError, match="document: expected an object"):
        Manifest.from_dict(value)


def test_sealed_and_opened(manifest_document, signer):
    original = Manifest.from_dict(manifest_document)
    sealed = manifest.seal(original, signer)
    assert sealed == manifest.seal(original, signer)
    assert manifest.open_sealed(sealed, signer.fingerprint) == (original, signer.fingerprint)
    assert manifest.open_sealed(sealed, None) == (original, signer.fingerprint)


def test_the_seal_is_an_envelope_that_any_dsse_reader_verifies(manifest_document, signer):
    envelope = canonical.loads(manifest.seal(Manifest.from_dict(manifest_document), signer))
    payload = dsse.verify(envelope, [keys.load_public(signer.public_pem)], payload_type=manifest.PAYLOAD_TYPE)
    assert canonical.loads(payload) == manifest_document


def test_another_key_than_expected_is_refused(manifest_document, signer, other_signer):
    sealed = manifest.seal(Manifest.from_dict(manifest_document), other_signer)
    with pytest.raises(BadSeal, match=f"expected {signer.fingerprint}"):
        manifest.open_sealed(sealed, signer.fingerprint)


def test_a_swapped_public_key_does_not_help(manifest_document, signer, other_signer):
    envelope = canonical.loads(manifest.seal(Manifest.from_dict(manifest_document), other_signer))
    honest = canonical.loads(manifest.seal(Manifest.from_dict(manifest_document), signer))
    envelope["signatures"][0]["publicKey"] = honest["signatures"][0]["publicKey"]
    for key_id in (signer.fingerprint, other_signer.fingerprint):
        envelope["signatures"][0]["keyid"] = key_id
        with pytest.raises(BadSeal):
            manifest.open_sealed(canonical.dumps(envelope), signer.fingerprint)


def reseal(sealed, change):
    envelope = canonical.loads(sealed)
    change(envelope)
    return canonical.dumps(envelope)


def heavier(envelope):
    document = canonical.loads(base64.b64decode(envelope["payload"]))
    document["routes"][0]["members"][0]["weight"] = 91
    envelope["payload"] = base64.b64encode(canonical.dumps(document)).decode()


@pytest.mark.parametrize(
    "change",
    [
        heavier,
        lambda e: e.update(payloadType="application/json"),
        lambda e: e.update(signatures=[]),
        lambda e: e["signatures"].append(e["signatures"][0]),
        lambda e: e["signatures"][0].pop("publicKey"),
        lambda e: e["signatures"][0].update(publicKey="AAAA"),
        lambda e: e["signatures"][0].update(sig=base64.b64encode(bytes(64)).decode()),
        lambda e: e["signatures"][0].update(keyid=sha("0")),
        lambda e: e.pop("payload"),
    ],
)
@pytest.mark.parametrize("expected", [True, False])
def test_a_broken_seal_is_refused(manifest_document, signer, change, expected):
    sealed = reseal(manifest.seal(Manifest.from_dict(manifest_document), signer), change)
    with pytest.raises(BadSeal):
        manifest.open_sealed(sealed, signer.fingerprint if expected else None)


def test_noise_is_not_a_seal():
    with pytest.raises(BadSeal, match="not JSON"):
        manifest.open_sealed(b"noise", None)


def test_a_newer_manifest_under_a_good_seal_is_refused_as_a_manifest(manifest_document, signer):
    manifest_document["schema"] = "countersign.manifest/2"
    envelope = dsse.sign(manifest.PAYLOAD_TYPE, canonical.dumps(manifest_document), signer)
    public = keys.public_der(keys.load_public(signer.public_pem))
    envelope["signatures"][0]["publicKey"] = base64.b64encode(public).decode()
    with pytest.raises(ManifestError, match=r"schema: expected countersign\.manifest/1"):
        manifest.open_sealed(canonical.dumps(envelope), signer.fingerprint)


def test_an_unreadable_manifest_is_not_sealed(manifest_document, signer):
    broken = dataclasses.replace(Manifest.from_dict(manifest_document), bundle="no-team")
    with pytest.raises(ManifestError, match="bundle"):
        manifest.seal(broken, signer)
