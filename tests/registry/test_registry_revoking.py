"""Revoking: compliance stops a version, and everything that goes by stages follows."""

import dataclasses
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from registry import accounts, bundles, catalog, clock, paging, references, revoking, waiting
from registry.errors import Blocked, Forbidden, InteractiveOnly, Invalid, MissingRole, SecondFactorRequired, WrongStage
from registry.orm.catalog import Stage
from registry.orm.image import Build
from tests import factories
from tests.factories import MODEL
from tests.registry.bundling import approved, ready
from tests.support import bodies_of, refused


def revoke(session, world, number=1, *, actor=None, reason="It leaks customers' names."):
    version = references.get_version(session, MODEL, number, actor=world.ana)
    revoking.revoke(session, version, actor=actor or world.cora, reason=reason, method="password+totp")


def revoked(world, number=1):
    with world.write() as session:
        revoke(session, world, number)


@pytest.fixture
def released(world):
    """The model's own bundle with an image of version 1, and team lending, which uses the model."""
    approved(world)
    with world.write() as session:
        build = session.scalars(select(Build)).one()
        factories.released_image(session, build)
        model = catalog.get_model(session, MODEL, actor=world.kim)
        lending = accounts.get_team(session, "lending")
        catalog.declare_use(session, model, lending, actor=world.kim, purpose="triage of mail")


def items(world, actor):
    with world.read() as session:
        return {item.what for item in waiting.for_actor(session, actor) if "revoked" in item.what}


def test_the_stage_the_pointer_and_the_record(world):
    approved(world, 2)
    revoked(world, 2)
    with world.read() as session:
        version = world.version(session, 2)
        assert (version.stage, version.model.latest_approved) == (Stage.REVOKED, 1)
        (told,) = bodies_of(session, "version:revoked")
    assert told == {"reason": "It leaks customers' names.", "method": "password+totp"}
    revoked(world, 1)
    with world.read() as session:
        assert world.version(session, 1).model.latest_approved is None


def test_nothing_with_it_is_baked(world):
    approved(world)
    revoked(world)
    with world.write() as session:
        factories.bundle(session, world, factories.pinned(1))
    error = refused(
        world.database,
        Blocked,
        lambda session: bundles.bake(session, bundles.get(session, "payments/desk", actor=world.ana), actor=world.ana),
    )
    assert "which is revoked" in str(error)


def test_its_images_their_owners_and_those_who_use_it(world, released):
    with world.read() as session:
        page = revoking.images_of(session, world.version(session), paging.Cursor(), actor=world.cora)
        assert [image.bundle.full_name for image in page.items] == [MODEL]
    assert items(world, world.ana) == items(world, world.kim) == set()
    revoked(world)
    front = f"The current image of {MODEL} holds {MODEL}:1, which was revoked"
    use = f"Version 1 of {MODEL}, which your team uses, was revoked"
    assert items(world, world.ana) == items(world, world.ops) == {front}
    assert items(world, world.kim) == items(world, world.lea) == {use}
    assert items(world, world.cora) == items(world, world.nil) == set()
    with time_machine.travel(clock.now() + revoking.TOLD + timedelta(days=1), tick=False):
        assert items(world, world.kim) == set()
        assert items(world, world.ana) == {front}, "its owner is told until it is gone"


@pytest.mark.parametrize("act", ["again", "ready"])
def test_only_what_is_approved_is_revoked(world, act):
    if act == "again":
        approved(world)
        revoked(world)
    else:
        ready(world)
    refused(world.database, WrongStage, lambda session: revoke(session, world))


def test_a_reason_is_needed(world):
    approved(world)
    refused(world.database, Invalid, lambda session: revoke(session, world, reason="  "))


def test_who_may_not(world):
    approved(world)
    refused(world.database, MissingRole, lambda session: revoke(session, world, actor=world.vic))
    with world.read() as session:
        cora = accounts.load_person(session, username="cora")
        single = accounts.actor_for(cora, second_factor=False)
    refused(world.database, SecondFactorRequired, lambda session: revoke(session, world, actor=single))
    with_token = dataclasses.replace(world.cora, scopes=frozenset({"read", "submit"}))
    refused(world.database, InteractiveOnly, lambda session: revoke(session, world, actor=with_token))


def test_somebody_disabled_meanwhile_revokes_nothing(world):
    approved(world)
    with world.write() as session:
        accounts.disable_person(session, accounts.load_person(session, username="cora"), actor=world.root)
    refused(world.database, Forbidden, lambda session: revoke(session, world))
