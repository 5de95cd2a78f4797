"""Archive and registry, read by others: skopeo, a real registry, the engine. What is there is what was planned."""

import contextlib
import hashlib
import json
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import requests

from builders import bake, distribution, image, publish, tarball
from builders.base import host_base
from builders.distribution import Credentials, RegistryAway, RegistryRefused, Repository
from builders.image import Image
from builders.jobs import JobFailed, TryLater
from builders.layers import LayerDamaged
from builders.platform import Platform
from builders.publish import Attachment
from formats import digest
from registry.settings import Settings
from registry.store import LocalStore
from tests.builders import oci_registry
from tests.builders.conftest import missing
from tests.builders.oci_registry import PASSWORD, USER

BAKER = Credentials(USER, PASSWORD)
BOM = Attachment("application/vnd.cyclonedx+json", "bom.cdx.json", b'{"bomFormat":"CycloneDX"}')
PROVENANCE = Attachment("application/vnd.dsse.envelope.v1+json", "provenance.dsse.json", b'{"payload":"x"}')


@pytest.fixture
def registry(tmp_path, request):
    """A real registry, as the test's parameter says."""
    if not oci_registry.available():
        missing("needs a registry server: apt-get install docker-registry")
    with oci_registry.served(tmp_path / "registry", **getattr(request, "param", {})) as made:
        yield made


@pytest.fixture
def small(layer_store) -> Image:
    """An image of two layers."""
    layers = [
        layer_store.add([tarball.file("etc/name", b"one\n")]),
        layer_store.add([tarball.file("opt/model", b"\0" * 3_000_000)]),
    ]
    return image.assemble("linux", "amd64", {"Labels": {"countersign.kind": "release"}, "Cmd": ["/none"]}, layers)


def skopeo(*arguments: str) -> bytes:
    if not shutil.which("skopeo"):
        missing("needs skopeo: apt-get install skopeo")
    done = subprocess.run(["skopeo", *arguments], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def push(registry, made, store, *attachments, name="payments/voice", credentials=None, said=None):
    with contextlib.closing(
        Repository(registry.url, name, credentials=credentials, ca_bundle=registry.ca)
    ) as repository:
        return publish.push(made, store, repository, attachments, (said if said is not None else []).append)


@pytest.fixture
def archive(small, layer_store, tmp_path):
    path = tmp_path / "image.oci.tar"
    with path.open("wb") as sink:
        image.write_archive(small, layer_store, sink)
    return path


def test_oci_tools_read_the_archive(archive, small):
    raw = skopeo("inspect", "--raw", f"oci-archive:{archive}")
    assert digest.of_bytes(raw) == small.image_digest
    told = json.loads(skopeo("inspect", f"oci-archive:{archive}"))
    assert told["Digest"] == small.image_digest
    assert told["Layers"] == [layer.diff_id for layer in small.layers]
    assert told["Labels"] == {"countersign.kind": "release"}


def test_oci_tools_copy_the_archive_to_a_registry_under_the_same_digest(archive, small, registry):
    place = f"{registry.url.removeprefix('http://')}/copied:1"
    skopeo("copy", "--dest-tls-verify=false", "--preserve-digests", f"oci-archive:{archive}", f"docker://{place}")
    with contextlib.closing(Repository(registry.url, "copied")) as repository:
        assert repository.get_manifest(small.image_digest) == small.manifest


def test_a_pushed_image_is_what_was_planned(registry, small, layer_store, tmp_path):
    said = []
    reference = push(registry, small, layer_store, BOM, PROVENANCE, said=said)
    assert reference == f"{registry.url.removeprefix('http://')}/payments/voice@{small.image_digest}"
    assert said == [f"pushed {reference}, 3.0 MB were not there yet"]
    told = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{reference}"))
    assert told["Digest"] == small.image_digest
    assert small.image_digest[7:19] in told["RepoTags"]
    skopeo("copy", "--src-tls-verify=false", "--preserve-digests", f"docker://{reference}", f"dir:{tmp_path / 'out'}")
    found = {f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in (tmp_path / "out").iterdir()}
    assert {small.image_digest, small.image_id, *(layer.diff_id for layer in small.layers)} <= found


def referrers(registry, small, name="payments/voice"):
    """What refers to the image, by the tag that registries without the API have: kind -> document."""
    with contextlib.closing(Repository(registry.url, name)) as repository:
        index = json.loads(repository.get_manifest(small.image_digest.replace(":", "-")))
        found = []
        for item in index["manifests"]:
            manifest = json.loads(repository.get_manifest(item["digest"]))
            assert manifest["subject"]["digest"] == small.image_digest
            assert manifest["artifactType"] == item["artifactType"]
            blob = requests.get(f"{registry.url}/v2/{name}/blobs/{manifest['layers'][0]['digest']}", timeout=5).content
            found.append((item["annotations"][publish.TITLE], item["artifactType"], blob))
    return found


def test_documents_are_found_by_the_image_they_are_about(registry, small, layer_store):
    push(registry, small, layer_store, BOM, PROVENANCE)
    assert referrers(registry, small) == [(item.title, item.kind, item.data) for item in (BOM, PROVENANCE)]


def test_a_second_push_sends_nothing_and_replaces_a_document(registry, small, layer_store):
    push(registry, small, layer_store, BOM, PROVENANCE)
    later = Attachment(PROVENANCE.kind, PROVENANCE.title, b'{"payload":"y"}')
    said = []
    assert push(registry, small, layer_store, BOM, later, said=said).endswith(small.image_digest)
    assert "0.0 MB were not there yet" in said[0]
    assert [data for _, _, data in referrers(registry, small)] == [BOM.data, later.data]


def test_a_push_that_was_cut_off_is_done_again(registry, small, layer_store, monkeypatch):
    real = Repository.put_manifest
    monkeypatch.setattr(Repository, "put_manifest", lambda *_, **__: (_ for _ in ()).throw(RegistryAway("x", hint="y")))
    with pytest.raises(RegistryAway):
        push(registry, small, layer_store, BOM)
    monkeypatch.setattr(Repository, "put_manifest", real)
    assert push(registry, small, layer_store, BOM).endswith(small.image_digest)


@pytest.mark.parametrize("registry", [{"auth": "password", "tls": True}, {"auth": "token"}], indirect=True)
def test_a_registry_that_asks_who_pushes(registry, small, layer_store, caplog):
    caplog.set_level("DEBUG")
    assert push(registry, small, layer_store, BOM, credentials=BAKER).endswith(small.image_digest)
    with pytest.raises(RegistryRefused, match="401") as caught:
        push(registry, small, layer_store, name="payments/other", credentials=Credentials(USER, "wrong one"))
    assert "COUNTERSIGN_REGISTRY_USER" in caught.value.hint
    with pytest.raises(RegistryRefused, match="401"):
        push(registry, small, layer_store, name="payments/other")
    for secret in (PASSWORD, "wrong one", "Bearer ", "Basic "):
        assert secret not in caplog.text + str(caught.value) + repr(BAKER) + registry.said()
    assert not registry.tokens_given or set(registry.tokens_given) == {"repository:payments/voice:pull,push"}


@pytest.mark.parametrize("registry", [{"tls": True}], indirect=True)
def test_an_authority_that_is_not_trusted_is_said(registry, small, layer_store):
    registry.ca = ""
    with pytest.raises(RegistryAway, match="certificate") as caught:
        push(registry, small, layer_store)
    assert "COUNTERSIGN_REGISTRY_CA_BUNDLE" in caught.value.hint


def test_a_password_never_travels_readably():
    with pytest.raises(RegistryRefused, match="not encrypted"):
        Repository("http://registry.example.com", "a/b", credentials=BAKER)
    Repository("http://127.0.0.1:5000", "a/b", credentials=BAKER).close()


def test_a_path_in_the_address_prefixes_the_repository(registry, small, layer_store):
    registry.url += "/models/"
    reference = push(registry, small, layer_store, name="payments/voice")
    assert "/models/payments/voice@" in reference


def test_a_registry_that_is_not_there_is_worth_another_try(small, layer_store, tmp_path):
    nobody = oci_registry.Registry("http://127.0.0.1:1", tmp_path, tmp_path / "log")
    with pytest.raises(RegistryAway, match=r"127\.0\.0\.1:1 does not answer"):
        push(nobody, small, layer_store)


def test_a_damaged_layer_is_not_pushed(registry, small, layer_store):
    path = layer_store.path(small.layers[1].diff_id)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"x")
    with pytest.raises((LayerDamaged, RegistryRefused)):
        push(registry, small, layer_store)
    with contextlib.closing(Repository(registry.url, "payments/voice")) as repository:
        assert repository.get_manifest(small.image_digest) is None


def test_what_a_registry_gives_under_a_digest_must_have_it(registry, small, layer_store):
    push(registry, small, layer_store)
    stored = (
        registry.root / "docker/registry/v2/blobs/sha256" / small.image_digest[7:9] / small.image_digest[7:] / "data"
    )
    stored.write_bytes(small.manifest.replace(b"tar", b"TAR"))
    with (
        contextlib.closing(Repository(registry.url, "payments/voice")) as repository,
        pytest.raises(RegistryRefused),
    ):
        repository.get_manifest(small.image_digest)


def test_something_else_under_the_tag_of_the_list_is_said():
    with pytest.raises(RegistryRefused, match="no index"):
        distribution.document(b"<html>")


@pytest.fixture
def bake_pushes(small, layer_store, tmp_path):
    """Runs the step of a bake that pushes, under settings."""
    said = bake.Said({"bomFormat": "CycloneDX"}, {"payload": "x"}, {"bundles": {"payments/voice:1": {"a": 1}}})

    def run(*, loadable=True, **settings):
        given = Settings(data_dir=tmp_path, **settings)
        platform = Platform(host_base(), None, "", layer_store, LocalStore(tmp_path / "store"), given)
        built = SimpleNamespace(loadable=loadable, bundle="payments/voice", image=small)
        return bake._push(SimpleNamespace(log=print), built, platform, said)

    return run


def test_a_bake_pushes_where_a_registry_is_configured(bake_pushes, registry, small):
    reference = bake_pushes(registry_url=registry.url)
    assert reference.endswith(f"/payments/voice@{small.image_digest}")
    assert {title for title, _, _ in referrers(registry, small)} == {
        "bom.cdx.json", "provenance.dsse.json", "payments/voice:1.sig",
    }  # fmt: skip
    assert bake_pushes(registry_url=registry.url) == reference


def test_a_bake_pushes_nothing_without_a_registry_or_an_image_that_runs_by_itself(bake_pushes):
    assert bake_pushes() is None
    assert bake_pushes(loadable=False, registry_url="http://127.0.0.1:1") is None


@pytest.mark.parametrize("registry", [{"auth": "password"}], indirect=True)
def test_a_bake_waits_for_a_registry_that_is_away_and_fails_at_one_that_refuses(bake_pushes, registry):
    with pytest.raises(TryLater) as caught:
        bake_pushes(registry_url="http://127.0.0.1:1")
    assert (caught.value.code, caught.value.retry) == ("registry-unavailable", True)
    with pytest.raises(JobFailed) as caught:
        bake_pushes(registry_url=registry.url, registry_user="x", registry_password="y")
    assert (caught.value.code, caught.value.retry) == ("registry-refused", False)


@pytest.mark.engine
def test_an_engine_pulls_by_digest_what_was_pushed(registry, base, base_store, engine, tmp_path):
    layer = base_store.add([tarball.file("opt/model", b"pulled " + str(tmp_path).encode())])
    made = image.assemble("linux", image.go_architecture(base.target.arch), {}, [*base.layers, layer])
    reference = push(registry, made, base_store)
    try:
        engine.pull(reference)
        assert engine.inspect(reference)["Id"] in (made.image_id, made.image_digest)
    finally:
        engine.remove_image(reference)
