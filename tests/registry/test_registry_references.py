"""Pointing at versions: aliases, numbers, digests, tags."""

import pytest

from registry import audit, catalog, reading, references, versions
from registry.errors import Forbidden, Invalid, NotFound
from registry.orm.catalog import Visibility
from registry.paging import Cursor
from tests import databases, factories
from tests.factories import MODEL
from tests.support import refused

# --------------------------------------------------------------------------------------------------- aliases


@pytest.fixture
def aliased(world):
    """Versions 1 and 2, and the alias champion on 1."""
    with world.write() as session:
        first = factories.ready_version(session, world)
        factories.ready_version(session, world)
        references.set_alias(session, first, "champion", actor=world.ana, expected=first.model.revision)
    return world


def move(session, world, number, name="champion"):
    version = world.version(session, number)
    references.set_alias(session, version, name, actor=world.ana, expected=version.model.revision)


def test_an_alias_is_a_pointer_that_moves(aliased):
    with aliased.read() as session:
        assert aliased.version(session, "champion").number == 1
    with aliased.write() as session:
        move(session, aliased, 2)
    with aliased.read() as session:
        assert aliased.version(session, "champion").number == 2
        assert [alias.name for alias in aliased.version(session, 2).aliases] == ["champion"]
        assert aliased.version(session, 1).aliases == []


@pytest.mark.parametrize("name", ["approved", "latest", "12", "Champion", "a b", ""])
def test_some_names_are_no_aliases(aliased, name):
    assert refused(aliased.database, Invalid, lambda session: move(session, aliased, 1, name)).hint


def test_a_private_model_takes_others_no_more_statements_than_one_that_is_not_there(aliased):
    with aliased.write() as session:
        catalog.get_model(session, MODEL, actor=aliased.ana).visibility = Visibility.PRIVATE
        audit.record(
            session,
            audit.Action.MODEL_CHANGED,
            actor=aliased.ana,
            subject=aliased.version(session, 1).model,
            model=MODEL,
        )
    taken = []
    for name in (MODEL, "payments/nothing"):
        with databases.statements(aliased.database) as seen, aliased.read() as session:
            with pytest.raises(NotFound) as told:
                references.get_version(session, name, "champion", actor=aliased.kim)
            taken.append((len(seen), str(told.value).replace(name, "X")))
    assert taken[0] == taken[1]


def test_an_alias_that_a_bundle_follows_stays(aliased):
    with aliased.write() as session:
        factories.bundle(session, aliased, factories.following("champion"))

    def remove(session):
        model = catalog.get_model(session, MODEL, actor=aliased.ana)
        alias = references.get_alias(session, model, "champion")
        references.remove_alias(session, alias, model, actor=aliased.ana, expected=model.revision)

    assert "payments/desk" in str(refused(aliased.database, Forbidden, remove))


def test_an_alias_can_be_taken_away(aliased):
    with aliased.write() as session:
        model = catalog.get_model(session, MODEL, actor=aliased.ana)
        alias = references.get_alias(session, model, "champion")
        references.remove_alias(session, alias, model, actor=aliased.ana, expected=model.revision)
    with aliased.read() as session, pytest.raises(NotFound):
        aliased.version(session, "champion")


# --------------------------------------------------------------------------------------------------- references


def test_a_version_is_found_by_every_reference(aliased):
    with aliased.write() as session:
        factories.approve(session, aliased, aliased.version(session, 1))
    with aliased.read() as session:
        first = aliased.version(session, 1)
        for reference in (1, "1", "champion", "approved", first.artifact_digest, first.release_digest):
            assert aliased.version(session, reference).id == first.id
            assert reading.read_version(session, MODEL, reference, actor=aliased.kim).version.id == first.id
        assert aliased.version(session, "latest").number == 2


@pytest.mark.parametrize(
    "reference",
    [0, 3, "9" * 9, "9" * 30, "nothing", "sha256:" + "0" * 64, "sha256:", "", "-1", "1.0", "٣", "approved"],
)
def test_a_reference_to_nothing_is_not_found(aliased, reference):
    with aliased.read() as session:
        for read in (references.get_version, reading.read_version):
            with pytest.raises(NotFound) as caught:
                read(session, MODEL, reference, actor=aliased.kim)
            assert caught.value.hint


@pytest.mark.parametrize("name", ["payments/absent", "absent", "", "/"])
def test_a_model_that_is_not_there_is_not_found(aliased, name):
    with aliased.read() as session, pytest.raises(NotFound):
        catalog.get_model(session, name, actor=aliased.kim)


@pytest.mark.parametrize("text", ["payments/\x00", "payments/voice\ud800", "x" * 10_000])
def test_a_name_that_no_database_holds_is_refused_without_its_sql(aliased, text):
    for act in (
        lambda session: catalog.get_model(session, text, actor=aliased.kim),
        lambda session: aliased.version(session, text),
        lambda session: catalog.search(session, catalog.Filters(team=text), Cursor(), actor=aliased.kim).items[0],
    ):
        with aliased.read() as session, pytest.raises((NotFound, Invalid, IndexError)) as caught:
            act(session)
        assert "SELECT" not in str(caught.value)


def test_tags_are_set_changed_and_removed(world):
    with world.write() as session:
        version = factories.checking_version(session, world, tags={"run": "1"})
        versions.tag(session, version, "run", "2", actor=world.ana)
        versions.tag(session, version, "note", "x", actor=world.ana)
        versions.tag(session, version, "note", None, actor=world.ana)
        versions.tag(session, version, "absent", None, actor=world.ana)
    with world.read() as session:
        assert {tag.key: tag.value for tag in world.version(session).tags} == {"run": "2"}
