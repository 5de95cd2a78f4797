"""Two versions side by side: verdict first, then only what differs."""

import pytest

from registry import checking
from registry.lineage import Source
from registry.versions import MetricClaim
from tests import factories
from tests.portal.catalog.conftest import VOICE, live, words

EVIL = "<script>alert(1)</script>"


def version(world, *, lock=None, approved=False, **fields):
    with world.write() as session:
        found = factories.checking_version(session, world, **fields)
        reports = factories.reports()
        signature = factories.signature_document()
        checking.pass_checks(session, found, reports, lock=lock or factories.lock_document(), signature=signature)
        found = factories.reload(session, found, actor=world.ana)
        if approved:
            factories.approve(session, world, found)


@pytest.fixture
def pair(world):
    """Version 1, approved, and version 2 that differs in everything but its inputs."""
    dataset = [Source("trained_on", "dataset", "september", "sha256:" + "1" * 64)]
    claims = [
        MetricClaim("accuracy", 0.8, "", higher_is_better=True),
        MetricClaim("loss", 0.3, "", higher_is_better=False),
    ]
    version(world, params={"C": 1}, metrics=claims, sources=dataset, approved=True)
    dataset = [Source("trained_on", "dataset", "october", "sha256:" + "2" * 64)]
    claims = [
        MetricClaim("accuracy", 0.9, "", higher_is_better=True),
        MetricClaim("loss", 0.4, "", higher_is_better=False),
    ]
    lock = factories.lock_document(numpy="2.5.0")
    version(
        world,
        params={"C": EVIL},
        metrics=claims,
        sources=dataset,
        lock=lock,
        card=factories.card() + f"\nRetrained {EVIL}\n",
    )


def test_the_verdict_comes_first_then_each_part(ana, pair):
    text = ana.get(f"{VOICE}/compare/1...2").text
    said = words(text)
    assert (
        "Training data and origin, parameters, libraries, the card and files differ. Metrics: 1 better, 1 worse."
        in said
    )
    assert "version 1 is the last approved before it" in said
    assert "accuracy 0.8 0.9 ▲ 0.1 better" in said
    assert "loss 0.3 0.4 ▲ 0.1 worse" in said
    assert "numpy 2.4.1 2.5.0" in said
    assert f"C 1 {EVIL}" in said
    assert "trained on dataset october not there" in said
    assert "trained on dataset september" in said
    assert f"+Retrained {EVIL}" in said
    assert "Inputs" not in said, "only what differs"
    assert live(text) == []
    for anchor in ("metrics", "sources", "params", "libraries", "files", "card"):
        assert f'id="{anchor}"' in text
        assert f'href="#{anchor}"' in text


def test_the_default_base_is_the_last_approved(ana, pair):
    assert ana.get(f"{VOICE}/compare/2").location == f"{VOICE}/compare/1...2"
    assert ana.get(f"{VOICE}/compare").location == f"{VOICE}/compare/1...2"
    assert ana.get(f"{VOICE}/compare?base=2&version=1").location == f"{VOICE}/compare/2...1"
    assert f'href="{VOICE}/compare/1...2"' in ana.get(f"{VOICE}/versions/2").text
    assert ana.get(f"{VOICE}/compare/1").location == f"{VOICE}/versions/1", "nothing was approved before it"


def test_a_version_differs_in_nothing_from_itself(ana, pair):
    said = words(ana.get(f"{VOICE}/compare/1...1").text)
    assert "Nothing differs from version 1" in said


def test_there_is_nothing_to_compare_with_yet(world, ana):
    version(world)
    assert ana.get(f"{VOICE}/compare").location == f"{VOICE}/versions"
    assert ana.get(f"{VOICE}/compare/1...2").status_code == 404


def test_callers_are_told_whether_they_must_change(world, ana, pair):
    said = words(ana.get(f"{VOICE}/compare/1...2").text)
    assert "Same contract What it takes and answers is the same." in said
    with world.write() as session:
        found = factories.checking_version(session, world)
        signature = factories.signature_document("amount")
        checking.pass_checks(session, found, factories.reports(), lock=factories.lock_document(), signature=signature)
    said = words(ana.get(f"{VOICE}/compare/2...3").text)
    assert "Callers must change Requests for one do not fit the other:" in said
    assert "The input text is no longer taken. The input amount is needed and was not." in said
