"""Lineage: the picture, the list and the JSON say the same, and name nothing that is hidden."""

import re

import pytest

from portal.lineage import picture, walk
from registry.lineage import Source
from tests import factories
from tests.portal.catalog.conftest import VOICE, bake, live, words

EVIL = "<script>alert(1)</script>"
DATA = Source("trained_on", "dataset", "october", "sha256:" + "a" * 64)
COMMIT = Source("built_from", "commit", f"main@4f1c {EVIL}")


def drawn(text: str) -> int:
    """How many boxes the picture has."""
    return text.partition('<svg class="lineage"')[2].partition("</svg>")[0].count("<rect")


def parent(ref: str) -> Source:
    return Source("derived_from", "version", ref)


@pytest.fixture
def family(world):
    """payments/voice:1 from data and a commit, :2 derived from it and in an image, payments/child:1 derived from that."""
    with world.write() as session:
        factories.ready_version(session, world, sources=[DATA, COMMIT])
    with world.write() as session:
        factories.approve(session, world, factories.ready_version(session, world, sources=[parent("payments/voice:1")]))
    bake(world)
    with world.write() as session:
        factories.ready_version(session, world, model="payments/child", sources=[parent("payments/voice:2")])


def test_both_directions_are_followed(ana, family):
    text = ana.get(f"{VOICE}/versions/2/lineage").text
    said = words(text)
    assert "derived from payments/voice:1" in said
    assert "trained on dataset october" in said
    assert f"main@4f1c {EVIL}" in said
    assert "baked into image payments/voice" in said
    assert "derived from it payments/child:1" in said
    assert live(text) == []
    assert drawn(text) == 6
    assert text.count('class="edge"') == 5


def test_the_json_nests_what_the_list_nests(ana, family):
    told = ana.get(f"{VOICE}/versions/2/lineage.json").json
    assert told["version"] == "payments/voice:2"
    (first,) = told["sources"]
    assert (first["relation"], first["ref"]) == ("derived from", "payments/voice:1")
    assert {item["ref"] for item in first["next"]} == {"october", f"main@4f1c {EVIL}"}
    assert {item["ref"] for item in told["products"]} == {"payments/voice", "payments/child:1"}


def test_the_tab_leads_to_the_newest_approved_version(ana, family):
    assert ana.get(f"{VOICE}/lineage").location == f"{VOICE}/versions/2/lineage"
    assert ana.get("/models/payments/child/lineage").location == "/models/payments/child/versions/1/lineage"


def test_a_version_without_lineage_says_how_to_declare_it(world, ana):
    with world.write() as session:
        factories.ready_version(session, world)
    text = ana.get(f"{VOICE}/versions/1/lineage").text
    assert "--dataset october.csv" in text
    assert drawn(text) == 1


def test_private_relatives_are_not_named(world, visit, private):
    with world.write() as session:
        factories.ready_version(session, world, model="payments/open", sources=[parent("payments/secret:1")])
    with world.write() as session:
        factories.ready_version(session, world, model="payments/other")
        factories.ready_version(session, world, model="payments/secret", sources=[parent("payments/other:1")])
    kim = visit("kim")
    for path in (
        "open/versions/1",
        "open/versions/1/lineage",
        "open/versions/1/lineage.json",
        "other/versions/1/lineage",
        "other/versions/1",
    ):
        text = kim.get(f"/models/payments/{path}").text
        assert "secret" not in text, path
    assert walk.HIDDEN in words(kim.get("/models/payments/open/versions/1/lineage").text)
    assert walk.HIDDEN in words(kim.get("/models/payments/open/versions/1").text)
    assert "payments/secret:1" in words(visit("ana").get("/models/payments/open/versions/1/lineage").text)


def test_a_long_line_is_followed_for_three_steps(world):
    for number in range(6):
        sources = [parent(f"payments/voice:{number}")] if number else []
        with world.write() as session:
            factories.ready_version(session, world, sources=sources)
    with world.read() as session:
        found = walk.walk(session, world.version(session, 6), actor=world.ana)
        assert [node.name for node in found.sources.all()] == [f"payments/voice:{number}" for number in (6, 5, 4, 3)]
        found = walk.walk(session, world.version(session, 1), actor=world.ana)
        assert [node.name for node in found.products.all()] == [f"payments/voice:{number}" for number in (1, 2, 3, 4)]


def test_more_than_fits_is_cut_and_said(world, ana):
    many = [Source("trained_on", "dataset", f"part-{number:03}") for number in range(walk.MOST + 5)]
    with world.write() as session:
        factories.ready_version(session, world, sources=many)
    text = ana.get(f"{VOICE}/versions/1/lineage").text
    assert drawn(text) == walk.MOST + 1
    assert "More is there than fits" in words(text)


def test_boxes_do_not_overlap_and_stay_inside(world, family):
    with world.read() as session:
        drawn = picture.draw(walk.walk(session, world.version(session, 2), actor=world.ana))
    for box in drawn.boxes:
        assert 0 <= box.x <= drawn.width - box.width
        assert 0 <= box.y <= drawn.height - box.height
    for place, one in enumerate(drawn.boxes):
        for other in drawn.boxes[place + 1 :]:
            assert abs(one.x - other.x) >= one.width or abs(one.y - other.y) >= one.height
    middle = [box for box in drawn.boxes if box.node.level == 0]
    assert len(middle) == 1
    assert all(re.fullmatch(r"M[\d. ]+C[\d. ]+", line.path) for line in drawn.lines)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("short", "short"), ("a" * 25, "a" * 25), ("start-of-a-long-name-and-the-end", "start-of-a-lon…nd-the-end")],
)
def test_long_names_keep_both_ends(name, shown):
    box = picture.Box(walk.Node("dataset", name, "trained on", -1), 0, 0)
    assert box.title == shown
