"""Images: what is inside, how it runs, how a stranger checks it, and its documents as stored."""

import base64
import json

import pytest
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from formats import digest as digests
from registry import builds, rebuilds
from registry.orm.image import Build, ImageRebuild
from registry.rebuilds import Difference
from tests import factories
from tests.factories import World
from tests.portal.approvals.conftest import EVIL, words

KEY = digests.of_bytes(b"key")
ENGINE = digests.of_bytes(b"config")


def sealed(bundle: str = "payments/voice") -> dict[str, object]:
    members = [{"ref": "payments/voice:1", "weight": 100, "bounds": [0, 100]}]
    body = {"bundle": bundle, "routes": [{"name": "voice", "members": members}]}
    return {"payloadType": "x", "payload": base64.b64encode(json.dumps(body).encode()).decode(), "signatures": []}


def bake(world: World, **fields: object) -> str:
    """Release the newest build; returns the digest of its image."""
    with world.write() as session:
        query = select(Build).options(joinedload(Build.bundle)).order_by(Build.id.desc())
        build = session.scalars(query).first()
        assert build is not None
        valid = {
            "sealed": sealed(),
            "isolation": "container",
            "base": digests.of_bytes(b"base"),
            "smoke": {"summary": "It answered 20 approved rows as approved."},
            "sbom": {"bomFormat": "CycloneDX", "note": EVIL},
            "layers": [{"role": "model", "path": "opt/x", "diff_id": digests.of_bytes(b"l"), "size": 2_000_000}],
        }
        return builds.release(session, build, factories.baked(build, **{**valid, **fields})).digest


def test_the_page_answers_what_is_inside_how_to_run_and_how_to_check(visit, image) -> None:
    text = visit("kim").get(f"/images/{image}").text
    said = words(text)
    wanted = [
        "Image of voice Current",
        "What is inside?",
        "payments/voice, version 1 Approved",
        "Route voice payments/voice:1 100 %",
        "Before release It answered 20 approved rows as approved.",
        "Run it",
        f"python -m builders archive {image} voice.oci.tar docker load -i voice.oci.tar",
        f"-e COUNTERSIGN_KEY_FINGERPRINT={KEY} \\ -e COUNTERSIGN_IMAGE_DIGEST={image} \\ {ENGINE}",
        "How does a stranger check it?",
        "Compare what your engine says with",
        "Take the fingerprint from here, or from a person you know, never from the image itself.",
        f"{ENGINE} verify",
        "1 layer, 1 kB",
        "Documents",
    ]
    place = 0
    for part in wanted:
        found = said.find(part, place)
        assert found >= 0, f"{part!r} is missing in {said}"
        place = found


def test_what_was_pushed_is_run_by_its_reference(world, visit) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
    reference = f"registry.bank.example/models/payments/voice@{digests.of_bytes(b'x')}"
    said = words(visit("kim").get(f"/images/{bake(world, reference=reference)}").text)
    assert f"docker pull {reference}" in said
    assert f"{KEY} \\ {reference}" in said
    assert f"image: {reference}" in said
    assert f"Pushed as {reference.partition('@')[0]}" in said
    assert "registry.example.com" not in said


def test_a_process_image_is_never_offered_to_an_engine(world, visit) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
    said = words(visit("ana").get(f"/images/{bake(world, isolation='process', base='host')}").text)
    assert "Weak isolation" in said
    assert "docker" not in said
    assert "python -m builders run payments/voice" in said
    assert "the host's Python" in said


def test_whoever_may_asks_for_a_rebuild_and_reads_what_came_out(world, visit, image) -> None:
    auditor = visit("aud")
    assert "Rebuild and compare" in auditor.get(f"/images/{image}").text
    assert auditor.act(f"/images/{image}/rebuild").status_code == 303
    waiting = words(auditor.get(f"/images/{image}").text)
    assert "Waiting It waits for a worker" in waiting
    assert "Rebuild and compare" not in waiting
    found, other = digests.of_bytes(b"other"), Difference("model", "opt/x", digests.of_bytes(b"l"), "")
    with world.write() as session:
        asked = session.scalars(select(ImageRebuild.id)).one()
        rebuilds.finish(session, rebuilds.load(session, asked), found_digest=found, difference=other)
    said = words(auditor.get(f"/images/{image}").text)
    assert "Not equal" in said
    assert "First difference: Model, /opt/x." in said
    assert "found nothing" in said
    assert "Rebuild and compare" in said
    reader = visit("kim")
    assert "Rebuild and compare" not in words(reader.get(f"/images/{image}").text)
    assert reader.act(f"/images/{image}/rebuild").status_code == 403


@pytest.mark.parametrize("name", ["sbom", "provenance", "manifest", "smoke"])
def test_documents_are_as_stored(visit, image, name) -> None:
    answer = visit("kim").get(f"/images/{image}/{name}.json")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}-{image[7:19]}.json"'
    assert answer.headers["Content-Type"].partition(";")[0].endswith("json")
    body = json.loads(answer.text)
    if name == "sbom":
        assert body == {"bomFormat": "CycloneDX", "note": EVIL}
    if name == "manifest":
        assert body == sealed()


@pytest.mark.parametrize("path", ["/images/sha256:00", "/images/{}/other.json", "/images/nothing/sbom.json"])
def test_what_is_not_there(visit, image, path) -> None:
    assert visit("ana").get(path.format(image)).status_code == 404


def test_the_list_says_which_is_current(world, visit, image) -> None:
    with world.write() as session:
        factories.approved_version(session, world)
    newer = bake(world)
    browser = visit("aud")
    text = browser.get("/images").text
    assert text.index(newer) < text.index(image)
    said = words(text)
    assert said.index("Current") < said.index("Replaced")
    assert "Replaced by a newer one" in words(browser.get(f"/images/{image}").text)


def test_the_empty_list_says_the_next_act(visit) -> None:
    assert "No image yet" in words(visit("kim").get("/images").text)


def test_images_of_private_models_are_for_their_team(world, visit) -> None:
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        factories.approve(session, world, factories.ready_version(session, world, model="payments/secret"))
    digest = bake(world, sealed=sealed("payments/secret"))
    outsider = visit("lea")
    assert outsider.get(f"/images/{digest}").status_code == 404
    assert outsider.get(f"/images/{digest}/sbom.json").status_code == 404
    assert digest not in outsider.get("/images").text
    assert visit("ana").get(f"/images/{digest}").status_code == 200
