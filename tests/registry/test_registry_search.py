"""Finding models: words and prefixes, filters, and pages that show every item once."""

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import catalog, clock, references
from registry.errors import Invalid
from registry.orm.catalog import Stage
from registry.paging import Cursor, Page
from tests import factories
from tests.factories import MODEL
from tests.registry.shelving import found, register

# --------------------------------------------------------------------------------------------------- search


@pytest.fixture
def shelf(world):
    for name, purpose in (
        ("payments/feedback-voice", "Routes customer feedback to teams"),
        ("payments/fraud-score", "Scores card payments"),
        ("lending/churn", "Predicts who will leave; Überziehung is German"),
    ):
        register(world, name, purpose=purpose, actor=world.lea if name.startswith("lending") else world.ana)
    return world


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["lending/churn", "payments/fraud-score", "payments/feedback-voice"]),
        ("feedback", ["payments/feedback-voice"]),
        ("feed", ["payments/feedback-voice"]),
        ("FEED", ["payments/feedback-voice"]),
        ("feed cust", ["payments/feedback-voice"]),
        ("cust feed", ["payments/feedback-voice"]),
        ("feed churn", []),
        ("pay", ["payments/fraud-score", "payments/feedback-voice"]),
        ("payments/fraud", ["payments/fraud-score"]),
        ("eed", []),
        ("zzz", []),
        ("%", ["lending/churn", "payments/fraud-score", "payments/feedback-voice"]),
        ("x" * 300, []),
        ("churn\x00", ["lending/churn"]),
    ],
)
def test_every_word_asked_for_begins_a_word_of_the_model(shelf, text, names):
    assert found(shelf, text=text) == names


def test_filters_narrow_together(shelf):
    with shelf.write() as session:
        factories.ready_version(session, shelf, model="payments/fraud-score")
        factories.approved_version(session, shelf, model="payments/feedback-voice")
    assert found(shelf, team="payments", text="pay") == ["payments/feedback-voice", "payments/fraud-score"]
    assert found(shelf, team="nowhere") == []
    assert found(shelf, task="text-classification", stage="ready") == ["payments/fraud-score"]
    assert found(shelf, stage="approved") == ["payments/feedback-voice"]
    assert found(shelf, mine=True) == ["lending/churn"]
    assert found(shelf, mine=True, actor=shelf.vic) == []


def test_an_unknown_stage_is_told(shelf):
    with shelf.read() as session, pytest.raises(Invalid) as caught:
        catalog.search(session, catalog.Filters(stage="nearly"), Cursor(), actor=shelf.kim)
    assert all(stage in caught.value.hint for stage in Stage)


def test_words_follow_what_is_said_of_the_model(shelf):
    with shelf.write() as session:
        model = catalog.get_model(session, "payments/fraud-score", actor=shelf.ana)
        catalog.describe(
            session, model, actor=shelf.ana, expected=model.revision, purpose="Finds thieves", task="scoring"
        )
    assert found(shelf, text="thie") == ["payments/fraud-score"]
    assert found(shelf, text="cards") == []
    assert found(shelf, text="scoring") == ["payments/fraud-score"]


# --------------------------------------------------------------------------------------------------- paging


def walk(limit, fetch):
    """Every page of a list, checked for size; the items in order."""
    items, cursor = [], Cursor(limit=limit)
    while True:
        page = fetch(cursor)
        items += page.items
        assert len(page.items) == limit if page.next else len(page.items) <= limit
        if page.next is None:
            return items
        cursor = Cursor(limit=limit, after=page.next)


MOMENTS = [clock.now() for _ in range(3)]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=st.lists(st.sampled_from(MOMENTS), min_size=1, max_size=12), limit=st.integers(1, 5))
def test_paging_shows_every_item_once_and_in_order(world, moments, limit):
    """Many rows share their first key, as after a bulk import: the second key decides."""
    with world.database.session(write=True) as session:
        for number, moment in enumerate(moments):
            model = catalog.register_model(session, actor=world.ana, full_name=f"payments/m-{number}")
            model.updated_at = moment
        session.flush()
        items = walk(limit, lambda cursor: catalog.search(session, catalog.Filters(), cursor, actor=world.kim))
        assert len(items) == len({model.id for model in items}) == len(moments)
        keys = [(model.updated_at, model.id) for model in items]
        assert keys == sorted(keys, reverse=True)
        session.rollback()


def test_what_is_added_while_paging_does_not_shift_the_pages(world):
    for number in range(6):
        register(world, f"payments/m-{number}")
    with world.read() as session:
        page = catalog.search(session, catalog.Filters(), Cursor(limit=3), actor=world.kim)
    register(world, "payments/newer")
    with world.read() as session:
        rest = catalog.search(session, catalog.Filters(), Cursor(limit=3, after=page.next), actor=world.kim)
    names = [model.full_name for model in (*page.items, *rest.items)]
    assert names == [f"payments/m-{number}" for number in (5, 4, 3, 2, 1, 0)]


def test_versions_are_paged_newest_first(world):
    with world.write() as session:
        for _ in range(5):
            factories.checking_version(session, world)
    with world.read() as session:
        model = catalog.get_model(session, MODEL, actor=world.kim)
        items = walk(2, lambda cursor: references.versions_of(session, model, cursor))
    assert [version.number for version in items] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("limit", [0, -1, 201, 10**30])
def test_a_page_has_a_size(limit):
    with pytest.raises(Invalid) as caught:
        Cursor(limit=limit)
    assert caught.value.hint


def cursor_of(plain):
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.lists(VALUES, max_size=3).map(cursor_of))
def test_any_text_as_a_cursor_gives_a_page_or_a_refusal(world, text):
    with world.read() as session:
        try:
            page = catalog.search(session, catalog.Filters(), Cursor(after=text), actor=world.kim)
        except Invalid:
            return
        assert isinstance(page, Page)
