"""Registered models: names, what is private, what is said of them, and who uses them."""

import pytest

from registry import accounts, bundles, catalog, reading, references
from registry.errors import AlreadyExists, Invalid, NotFound, PreconditionMissing, Stale
from registry.orm.catalog import RegisteredModel, Visibility
from tests import factories
from tests.factories import MODEL
from tests.registry.shelving import SECRET, found, register
from tests.support import at_once, kinds, refused

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
            for read in (references.get_version, reading.read_version):
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


def test_what_is_approved_goes_on_saying_what_it_is_for(world):
    with world.write() as session:
        factories.approved_version(session, world)
    with world.read() as session:
        seen = catalog.get_model(session, MODEL, actor=world.ana).revision
    with pytest.raises(Invalid, match="the purpose"):
        describe(world, " ", expected=seen)
    describe(world, "Routes feedback", expected=seen)


def _describe(session, world, expected):
    model = catalog.get_model(session, MODEL, actor=world.ana)
    catalog.describe(session, model, actor=world.ana, expected=expected, purpose="Second")


def test_of_two_changes_at_once_one_is_stale(world):
    seen = register(world, MODEL).revision
    answers = at_once(*[lambda n=n: describe(world, f"number {n}", expected=seen) for n in range(4)])
    assert kinds(answers) == ["NoneType"] + ["Stale"] * 3
