"""Finding models: what is private stays unseen, words and prefixes find, and paging shows every item once."""

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import accounts, bundles, catalog, clock, reading, versions
from registry.errors import AlreadyExists, Forbidden, Invalid, NotFound, PreconditionMissing, Stale
from registry.orm.catalog import RegisteredModel, Stage, Visibility
from registry.paging import Cursor, Page
from tests import factories
from tests.factories import MODEL
from tests.support import at_once, kinds, refused

SECRET = "payments/secret"


def register(world, full_name, *, actor=None, **fields):
    with world.write() as session:
        return catalog.register_model(session, actor=actor or world.ana, full_name=full_name, **fields)


def found(world, *, actor=None, limit=50, **filters):
    with world.read() as session:
        page = catalog.search(session, catalog.Filters(**filters), Cursor(limit=limit), actor=actor or world.kim)
        return [model.full_name for model in page.items]


# --------------------------------------------------------------------------------------------------- registering


def test_a_model_comes_with_a_bundle_that_follows_it(world):
    model = register(world, MODEL, purpose="Routes feedback")
    assert (model.owner_id, model.versions_made, model.latest_approved) == (world.ana.person_id, 0, None)
    with world.read() as session:
        (member,) = bundles.get(session, MODEL, actor=world.kim).members
        assert (member.route, member.follow, member.weight) == ("voice", "approved", 100)


@pytest.mark.parametrize("full_name", ["voice", "payments/", "payments/Voice", "payments/a b", "payments/a/b", "/", ""])
def test_a_bad_name_is_refused(world, full_name):
    error = refused(
        world.database, Invalid, lambda session: catalog.register_model(session, actor=world.ana, full_name=full_name)
    )
    assert error.errors
    assert error.hint


def test_a_team_that_is_not_there_is_told(world):
    refused(
        world.database,
        NotFound,
        lambda session: catalog.register_model(session, actor=world.ana, full_name="risk/voice"),
    )


def test_a_name_is_given_once(world):
    register(world, MODEL)
    refused(
        world.database, AlreadyExists, lambda session: catalog.register_model(session, actor=world.ben, full_name=MODEL)
    )


def test_a_name_that_a_bundle_has_is_refused_in_words(world):
    register(world, MODEL)
    with world.write() as session:
        factories.bundle(session, world, name="payments/desk")
    error = refused(
        world.database,
        AlreadyExists,
        lambda session: catalog.register_model(session, actor=world.ana, full_name="payments/desk"),
    )
    assert "bundle" in str(error)


def test_the_same_model_registered_at_once_is_registered_once(world):
    answers = at_once(*[lambda: register(world, MODEL)] * 4)
    assert kinds(answers) == ["AlreadyExists"] * 3 + ["RegisteredModel"]


# --------------------------------------------------------------------------------------------------- private


def test_a_private_model_and_a_missing_one_look_the_same(world):
    register(world, SECRET, visibility=Visibility.PRIVATE)
    told = []
    for name in (SECRET, "payments/absent"):
        with world.read() as session, pytest.raises(NotFound) as caught:
            catalog.get_model(session, name, actor=world.lea)
        told.append((str(caught.value).replace(name, "NAME"), caught.value.hint))
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["lea", "kim", "vic", "cora", "aud", "ops", "root"])
def test_a_private_model_is_in_no_answer_to_an_outsider(world, name):
    with world.write() as session:
        factories.private_model(session, world, SECRET, actor=world.ana)
        version = factories.approved_version(session, world, model=SECRET)
        factories.ready_version(session, world)
        digest = version.artifact_digest
    actor = getattr(world, name)
    assert found(world, actor=actor) == [MODEL]
    assert found(world, actor=actor, text="secret") == []
    assert found(world, actor=actor, stage="approved") == []
    with world.read() as session:
        facets = catalog.facets(session, actor=actor)
        assert facets == {"team": [("payments", 1)], "task": [("text-classification", 1)]}
        for reference in (1, "approved", "latest", digest):
            for read in (catalog.get_version, reading.read_version):
                with pytest.raises(NotFound):
                    read(session, SECRET, reference, actor=actor)


@pytest.mark.parametrize("name", ["ana", "ben", "max"])
def test_a_private_model_is_there_for_its_team(world, name):
    register(world, SECRET, visibility=Visibility.PRIVATE)
    assert found(world, actor=getattr(world, name)) == [SECRET]


def test_artifacts_are_for_the_team_declared_users_and_reviewers(world):
    model = register(world, MODEL)

    def readers():
        with world.read() as session:
            row = session.get_one(RegisteredModel, model.id)
            return {n for n, actor in world.actors.items() if catalog.may_read_artifacts(session, row, actor=actor)}

    team, reviewers = {"ana", "ben", "max"}, {"vic", "val", "cora", "carl", "max"}
    assert readers() == team | reviewers
    with world.write() as session:
        lending = accounts.get_team(session, "lending")
        catalog.declare_use(
            session, session.get_one(RegisteredModel, model.id), lending, actor=world.kim, purpose="triage"
        )
    assert readers() == team | reviewers | {"kim", "lea"}


def test_a_reviewers_token_reads_no_artifacts(world):
    model = register(world, MODEL)
    with world.write() as session:
        by_token = factories.token(session, world.vic, "read")
    with world.read() as session:
        assert not catalog.may_read_artifacts(session, session.get_one(RegisteredModel, model.id), actor=by_token)


def test_a_use_is_declared_once_and_can_be_reworded(world):
    model = register(world, MODEL)

    def declare(purpose):
        with world.write() as session:
            row = session.get_one(RegisteredModel, model.id)
            catalog.declare_use(session, row, accounts.get_team(session, "lending"), actor=world.kim, purpose=purpose)

    declare("triage of mail")
    declare("triage of mail and calls")
    with world.read() as session:
        uses = catalog.uses_of(session, model)
        assert [(use.team.slug, use.purpose) for use in uses] == [("lending", "triage of mail and calls")]


def test_a_private_models_use_cannot_be_declared(world):
    model = register(world, SECRET, visibility=Visibility.PRIVATE)
    refused(
        world.database,
        NotFound,
        lambda session: catalog.declare_use(
            session,
            session.get_one(RegisteredModel, model.id),
            accounts.get_team(session, "lending"),
            actor=world.kim,
            purpose="triage",
        ),
    )


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


# --------------------------------------------------------------------------------------------------- describing


def describe(world, purpose, *, expected):
    with world.write() as session:
        model = catalog.get_model(session, MODEL, actor=world.ana)
        catalog.describe(session, model, actor=world.ana, expected=expected, purpose=purpose)


def test_a_change_is_to_the_revision_that_was_seen(world):
    seen = register(world, MODEL).revision
    describe(world, "First", expected=seen)
    for expected, error in ((seen, Stale), (None, PreconditionMissing), (99, Stale)):
        assert refused(world.database, error, lambda session, e=expected: _describe(session, world, e)).hint
    with world.read() as session:
        assert catalog.get_model(session, MODEL, actor=world.ana).purpose == "First"


def _describe(session, world, expected):
    model = catalog.get_model(session, MODEL, actor=world.ana)
    catalog.describe(session, model, actor=world.ana, expected=expected, purpose="Second")


def test_of_two_changes_at_once_one_is_stale(world):
    seen = register(world, MODEL).revision
    answers = at_once(*[lambda n=n: describe(world, f"number {n}", expected=seen) for n in range(4)])
    assert kinds(answers) == ["NoneType"] + ["Stale"] * 3


# --------------------------------------------------------------------------------------------------- aliases


@pytest.fixture
def aliased(world):
    """Versions 1 and 2, and the alias champion on 1."""
    with world.write() as session:
        first = factories.ready_version(session, world)
        factories.ready_version(session, world)
        catalog.set_alias(session, first, "champion", actor=world.ana, expected=first.model.revision)
    return world


def move(session, world, number, name="champion"):
    version = world.version(session, number)
    catalog.set_alias(session, version, name, actor=world.ana, expected=version.model.revision)


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


def test_an_alias_that_a_bundle_follows_stays(aliased):
    with aliased.write() as session:
        factories.bundle(session, aliased, factories.following("champion"))

    def remove(session):
        model = catalog.get_model(session, MODEL, actor=aliased.ana)
        alias = catalog.get_alias(session, model, "champion")
        catalog.remove_alias(session, alias, model, actor=aliased.ana, expected=model.revision)

    assert "payments/desk" in str(refused(aliased.database, Forbidden, remove))


def test_an_alias_can_be_taken_away(aliased):
    with aliased.write() as session:
        model = catalog.get_model(session, MODEL, actor=aliased.ana)
        alias = catalog.get_alias(session, model, "champion")
        catalog.remove_alias(session, alias, model, actor=aliased.ana, expected=model.revision)
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
        for read in (catalog.get_version, reading.read_version):
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
        items = walk(2, lambda cursor: catalog.versions_of(session, model, cursor))
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


def test_tags_are_set_changed_and_removed(world):
    with world.write() as session:
        version = factories.checking_version(session, world, tags={"run": "1"})
        versions.tag(session, version, "run", "2", actor=world.ana)
        versions.tag(session, version, "note", "x", actor=world.ana)
        versions.tag(session, version, "note", None, actor=world.ana)
        versions.tag(session, version, "absent", None, actor=world.ana)
    with world.read() as session:
        assert {tag.key: tag.value for tag in world.version(session).tags} == {"run": "2"}
