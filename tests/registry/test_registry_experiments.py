"""Experiments: what a split is for, by when, and what came of it; ended ones are read only but for their conclusion."""

from datetime import timedelta

import pytest
import time_machine

from registry import bundles, clock, experiments, paging, waiting
from registry.errors import AlreadyExists, Invalid, NotFound, NotInTeam, WrongStage
from registry.experiments import State
from registry.orm.image import Rebuild
from registry.routes import RouteSpec
from tests import factories
from tests.factories import in_shadow, pinned
from tests.registry.bundling import DESK, bundle, get, ready
from tests.support import bodies_of, refused


@pytest.fixture
def split(world):
    ready(world, 2)
    bundle(world, pinned(1, 90), pinned(2, 10))


def start(session, world, **fields):
    return factories.experiment(session, get(session, world), **{"actor": world.ana, **fields})


def started(world, **fields):
    with world.write() as session:
        return start(session, world, **fields).id


def act(world, what, experiment_id, **named):
    with world.write() as session:
        what(session, experiments.get(session, experiment_id, actor=world.ana), actor=world.ana, **named)


def state(world, experiment_id):
    with world.read() as session:
        return experiments.state(experiments.get(session, experiment_id, actor=world.ana))


def items(world, actor):
    with world.read() as session:
        return [item for item in waiting.for_actor(session, actor) if item.kind == "bundle"]


def test_it_runs_ends_and_is_concluded(world, split):
    made = started(world)
    assert state(world, made) is State.RUNNING
    with world.read() as session:
        told = bodies_of(session, "experiment:started")[0]
    assert (told["route"], told["metric"]) == ("feedback", "share of moved cases")
    act(world, experiments.end, made)
    assert state(world, made) is State.ENDED
    act(world, experiments.conclude, made, result="2 of 100 fewer")
    assert state(world, made) is State.CONCLUDED
    with world.read() as session:
        assert bodies_of(session, "experiment:concluded") == [{"result": "2 of 100 fewer"}]
        assert len(bodies_of(session, "experiment:ended")) == 1
        page = experiments.listing(session, get(session, world), paging.Cursor(), actor=world.kim)
        assert [row.result for row in page.items] == ["2 of 100 fewer"]


def test_the_clock_ends_it_too_and_a_planned_one_may_be_ended(world, split):
    made = started(world)
    with time_machine.travel(clock.now() + timedelta(days=15), tick=False):
        assert state(world, made) is State.ENDED
        planned = started(world, starts_at=clock.now() + timedelta(days=1), ends_at=clock.now() + timedelta(days=2))
        assert state(world, planned) is State.PLANNED
        act(world, experiments.end, planned)
        assert state(world, planned) is State.ENDED


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"route": "feedbak"}, "/route"),
        ({"hypothesis": " "}, "/hypothesis"),
        ({"metric": "x" * 201}, "/metric"),
        ({"ends_at": clock.now() - timedelta(days=1)}, "/ends_at"),
        ({"ends_at": clock.now() + timedelta(days=400)}, "/ends_at"),
        ({"starts_at": clock.now() - timedelta(days=1)}, "/ends_at"),
        ({"starts_at": clock.now() + timedelta(days=20)}, "/ends_at"),
    ],
)
def test_what_does_not_fit_says_where(world, split, fields, pointer):
    error = refused(world.database, Invalid, lambda session: start(session, world, **fields))
    assert [at for at, _ in error.errors] == [pointer]


def test_a_route_with_one_version_compares_nothing_and_a_shadow_does(world):
    ready(world, 2)
    bundle(world, pinned(1))
    error = refused(world.database, Invalid, lambda session: start(session, world))
    assert "one version" in str(error)
    with world.write() as session:
        found = get(session, world)
        routes = [RouteSpec("feedback", [pinned(1), in_shadow(pinned(2, 5))])]
        bundles.change(session, found, actor=world.ana, routes=routes, rebuild=Rebuild.AUTO, expected=found.revision)
    started(world)


def test_one_at_a_time_on_a_route(world, split):
    made = started(world)
    refused(world.database, AlreadyExists, lambda session: start(session, world))
    act(world, experiments.end, made)
    started(world)


def test_ended_ones_are_read_only(world, split):
    made = started(world)

    def again(what, **named):
        return lambda session: what(session, experiments.get(session, made, actor=world.ana), actor=world.ana, **named)

    refused(world.database, WrongStage, again(experiments.conclude, result="too early"))
    act(world, experiments.end, made)
    refused(world.database, WrongStage, again(experiments.end))
    act(world, experiments.conclude, made, result="nothing came of it")
    refused(world.database, WrongStage, again(experiments.conclude, result="something else"))


def test_it_is_the_bundles_teams(world, split):
    made = started(world)
    refused(world.database, NotInTeam, lambda session: start(session, world, actor=world.lea))
    for what, named in ((experiments.end, {}), (experiments.conclude, {"result": "ours"})):
        refused(
            world.database,
            NotInTeam,
            lambda session, what=what, named=named: what(
                session, experiments.get(session, made, actor=world.lea), actor=world.lea, **named
            ),
        )


def test_those_of_private_models_are_not_there_for_others(world):
    with world.write() as session:
        factories.private_model(session, world, "lending/secret", actor=world.lea)
        factories.ready_version(session, world, model="lending/secret", actor=world.lea)
        factories.ready_version(session, world, model="lending/secret", actor=world.lea)
        shares = [pinned(number, 50, model="lending/secret") for number in (1, 2)]
        factories.bundle(session, world, *shares, name="lending/desk", actor=world.lea)
        made = experiments.start(
            session, bundles.get(session, "lending/desk", actor=world.lea), actor=world.lea, route="feedback",
            hypothesis="secret", metric="secret", ends_at=clock.now() + timedelta(days=1),
        ).id  # fmt: skip
    refused(world.database, NotFound, lambda session: experiments.get(session, made, actor=world.ana))


def test_its_team_is_told_until_it_is_concluded_and_the_split_is_gone(world, split):
    made = started(world)
    assert items(world, world.ana) == []
    act(world, experiments.end, made)
    (item,) = items(world, world.ben)
    assert (item.ref, item.next_step) == (DESK, "Say what came of it.")
    assert items(world, world.lea) == []
    assert len(items(world, world.ops)) == 1
    act(world, experiments.conclude, made, result="nothing came of it")
    assert items(world, world.ana)[0].next_step.startswith("Take its split out")
    with world.write() as session:
        found = get(session, world)
        routes = [RouteSpec("feedback", [pinned(1)])]
        bundles.change(session, found, actor=world.ana, routes=routes, rebuild=Rebuild.AUTO, expected=found.revision)
    assert items(world, world.ana) == []


def test_a_later_one_on_the_route_takes_its_place(world, split):
    first = started(world)
    act(world, experiments.end, first)
    started(world)
    assert items(world, world.ana) == []
