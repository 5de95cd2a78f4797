"""What differs between two versions, and where a version comes from."""

import pytest

from registry import approvals, bundles, compare, lineage, references, versions
from registry.errors import NotFound
from registry.lineage import Source
from registry.versions import MetricClaim
from tests import factories
from tests.factories import MODEL
from tests.support import refused

OCTOBER = Source("trained_on", "dataset", "feedback/october", "sha256:" + "1" * 64)
NOVEMBER = Source("trained_on", "dataset", "feedback/november", "sha256:" + "2" * 64)
COMMIT = Source("built_from", "commit", "9f2c41e")


def pair(session, world, first, second):
    """Two ready versions, pushed with these fields."""
    return [factories.ready_version(session, world, **fields) for fields in (first, second)]


def test_a_first_version_is_all_new(world):
    with world.write() as session:
        found = compare.compare(session, None, factories.ready_version(session, world))
    assert found.summary() == "There is no earlier approved version: everything is new."
    assert [change.before for change in found.libraries] == [None]
    assert [(metric.before, metric.after, metric.better) for metric in found.metrics] == [(None, 0.91, None)]


def test_equal_parts_are_not_listed(world):
    with world.write() as session:
        base, version = pair(session, world, {"params": {"alpha": 1}, "content": b"same"}, {"params": {"alpha": 1}})
        version.files[0].digest = base.files[0].digest
        found = compare.compare(session, base, version)
        assert found.parts() == []
        assert found.summary() == "Nothing differs from version 1."
        session.rollback()


def test_every_part_that_differs_is_named(world):
    with world.write() as session:
        base, version = pair(
            session,
            world,
            {"params": {"alpha": 1, "gone": True}, "sources": [OCTOBER, COMMIT]},
            {"params": {"alpha": 2}, "sources": [NOVEMBER, COMMIT], "card": factories.card(purpose="Other")},
        )
        version.lock = factories.lock_document(numpy="2.4.2", scipy="1.17.0")
        version.signature = factories.signature_document("amount", "channel")
        found = compare.compare(session, base, version)
        session.rollback()
    assert found.parts() == ["training data and origin", "parameters", "libraries", "inputs", "the card", "files"]
    assert found.summary().startswith(
        "Changed since version 1, the last approved: training data and origin, parameters"
    )
    assert [(change.name, change.before, change.after) for change in found.params] == [
        ("alpha", 1, 2),
        ("gone", True, None),
    ]
    assert [(change.name, change.before, change.after) for change in found.libraries] == [
        ("numpy", "2.4.1", "2.4.2"),
        ("scipy", None, "1.17.0"),
    ]
    assert [change.name for change in found.inputs] == ["amount", "channel", "text"]
    assert {change.name for change in found.sources} == {
        "trained on dataset feedback/october",
        "trained on dataset feedback/november",
    }
    assert any(line.startswith("+purpose: ") for line in found.card)
    assert [change.name for change in found.files] == ["model.joblib"]


@pytest.mark.parametrize(
    ("before", "after", "higher", "better"),
    [
        (0.9, 0.92, True, True),
        (0.9, 0.88, True, False),
        (0.4, 0.3, False, True),
        (0.3, 0.4, False, False),
        (0.9, 0.9, True, None),
        (0.9, 0.92, None, None),
        (None, 0.92, True, None),
        (0.9, None, True, None),
    ],
)
def test_a_metric_is_better_by_its_own_direction(world, before, after, higher, better):
    def claims(value):
        return {"metrics": [] if value is None else [MetricClaim("f1", value, "october", higher)]}

    with world.write() as session:
        found = compare.compare(session, *pair(session, world, claims(before), claims(after)))
    (metric,) = found.metrics
    assert (metric.before, metric.after, metric.better) == (before, after, better)
    assert metric.declared_by == world.ana.ref
    assert not metric.measured


def test_the_same_metric_on_another_dataset_is_another_metric(world):
    with world.write() as session:
        found = compare.compare(
            session,
            *pair(
                session,
                world,
                {"metrics": [MetricClaim("f1", 0.9, "october")]},
                {"metrics": [MetricClaim("f1", 0.8, "november")]},
            ),
        )
    assert [(metric.dataset, metric.before, metric.after) for metric in found.metrics] == [
        ("november", None, 0.8),
        ("october", 0.9, None),
    ]


# --------------------------------------------------------------------------------------------------- lineage


def test_sources_are_kept_in_the_order_they_were_said(world):
    many = [Source("trained_on", "dataset", f"part-{number}") for number in range(20)]
    with world.write() as session:
        factories.checking_version(session, world, sources=[OCTOBER, COMMIT, *many])
    with world.read() as session:
        found = lineage.sources_of(session, world.version(session))
        assert [edge.ref for edge in found] == [OCTOBER.ref, COMMIT.ref, *(source.ref for source in many)]
        assert {edge.asserted_by for edge in found} == {world.ana.ref}


def test_a_version_knows_what_was_made_of_it_and_with_it(world):
    with world.write() as session:
        factories.approved_version(session, world)
        source = Source("derived_from", "version", f"{MODEL}:1")
        factories.checking_version(session, world, model="payments/tuned", sources=[source])
        bundle = bundles.get(session, MODEL, actor=world.ana)
        build = bundles.bake(session, bundle, actor=world.ana)
        image = factories.released_image(session, build)
    with world.read() as session:
        parent = world.version(session)
        child = references.get_version(session, "payments/tuned", 1, actor=world.ana)
        around = lineage.around(session, parent, actor=world.kim)
        assert [made.id for made in around.children] == [child.id]
        assert [made.id for made in around.images] == [image.id]
        assert [edge.parent_id for edge in lineage.around(session, child, actor=world.kim).sources] == [parent.id]


@pytest.mark.parametrize("reference", ["champion", "latest", "1"])
def test_a_parent_may_be_named_by_any_reference(world, reference):
    with world.write() as session:
        version = factories.checking_version(session, world)
        references.set_alias(session, version, "champion", actor=world.ana, expected=version.model.revision)
        source = Source("derived_from", "version", f"{MODEL}:{reference}")
        child = factories.checking_version(session, world, model="payments/tuned", sources=[source])
        assert [edge.parent_id for edge in lineage.sources_of(session, child)] == [version.id]


@pytest.mark.parametrize("ref", [f"{MODEL}:9", "payments/absent:1", "lending/secret:1"])
def test_a_parent_that_is_not_there_or_not_to_be_seen_is_refused(world, ref):
    with world.write() as session:
        factories.private_model(session, world, "lending/secret", actor=world.lea)
        factories.checking_version(session, world, model="lending/secret", actor=world.lea)
        push = factories.push(session, world, sources=[Source("derived_from", "version", ref)])
    refused(
        world.database,
        NotFound,
        lambda session: versions.register_version(
            session, actor=world.ana, full_name=MODEL, push=push, create_model=True
        ),
    )


def test_a_private_parent_and_private_children_are_not_told_to_outsiders(world):
    with world.write() as session:
        factories.private_model(session, world, "payments/secret", actor=world.ana)
        factories.checking_version(session, world, model="payments/secret")
        source = Source("derived_from", "version", "payments/secret:1")
        factories.checking_version(session, world, sources=[source])
        back = Source("derived_from", "version", f"{MODEL}:1")
        factories.checking_version(session, world, model="payments/secret", sources=[back])
    with world.read() as session:
        version = world.version(session)
        for actor, hidden, children in ((world.kim, 1, 0), (world.ana, 0, 1)):
            around = lineage.around(session, version, actor=actor)
            assert (len(around.hidden), len(around.children)) == (hidden, children)
        told = compare.compare(session, None, version, actor=world.kim)
        assert told.sources == []
        assert approvals.last_approved_before(session, version) is None
