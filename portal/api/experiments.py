"""Experiments on the routes of a bundle: start, end, conclude."""

from portal.api.answers import Answer
from portal.api.calls import Call, ident
from portal.api.contract import operation
from portal.api.documents.base import Listing, Nothing
from portal.api.documents.experiments import Conclusion, ExperimentDocument, ExperimentPage, NewExperiment
from registry import bundles, experiments
from registry.access import Permission
from registry.errors import AlreadyExists, NotInTeam, WrongStage


@operation("GET", "/bundles/<team>/<name>/experiments", answers={200: ExperimentPage})
def list_experiments(call: Call, team: str, name: str, query: Listing) -> Answer:
    """List the experiments of a bundle, newest first."""
    bundle = bundles.get(call.session, f"{team}/{name}", actor=call.actor)
    found = experiments.listing(call.session, bundle, query.place(), actor=call.actor)
    return Answer(ExperimentPage(items=[ExperimentDocument.of(row) for row in found.items], next=found.next))


@operation(
    "POST",
    "/bundles/<team>/<name>/experiments",
    answers={201: ExperimentDocument},
    needs=Permission.EDIT_BUNDLE,
    refuses=(NotInTeam, AlreadyExists),
)
def start_experiment(call: Call, team: str, name: str, body: NewExperiment) -> Answer:
    """Say what a route is split or shadowed for, and until when.

    It moves no weight. When it has ended and the split goes on, the bundle's team is told.
    """
    bundle = bundles.get(call.session, f"{team}/{name}", actor=call.actor)
    made = experiments.start(
        call.session,
        bundle,
        actor=call.actor,
        route=body.route,
        hypothesis=body.hypothesis,
        metric=body.metric,
        starts_at=body.starts_at,
        ends_at=body.ends_at,
    )
    return _answer(call, str(made.id), status=201)


@operation("GET", "/experiments/<experiment_id>", answers={200: ExperimentDocument})
def show_experiment(call: Call, experiment_id: str) -> Answer:
    """Show an experiment."""
    return _answer(call, experiment_id)


@operation(
    "POST",
    "/experiments/<experiment_id>/end",
    answers={200: ExperimentDocument},
    needs=Permission.EDIT_BUNDLE,
    refuses=(NotInTeam, WrongStage),
)
def end_experiment(call: Call, experiment_id: str, body: Nothing) -> Answer:  # noqa: ARG001 - declares the body
    """End an experiment before its time."""
    found = experiments.get(call.session, ident(experiment_id, "experiment"), actor=call.actor)
    experiments.end(call.session, found, actor=call.actor)
    return _answer(call, experiment_id)


@operation(
    "POST",
    "/experiments/<experiment_id>/conclusion",
    answers={200: ExperimentDocument},
    needs=Permission.EDIT_BUNDLE,
    refuses=(NotInTeam, WrongStage),
)
def conclude_experiment(call: Call, experiment_id: str, body: Conclusion) -> Answer:
    """Say what came of an experiment that has ended; once."""
    found = experiments.get(call.session, ident(experiment_id, "experiment"), actor=call.actor)
    experiments.conclude(call.session, found, actor=call.actor, result=body.result)
    return _answer(call, experiment_id)


def _answer(call: Call, experiment_id: str, *, status: int = 200) -> Answer:
    call.session.flush()
    found = experiments.get(call.session, ident(experiment_id, "experiment"), actor=call.actor)
    location = f"/api/v1/experiments/{found.id}" if status == 201 else None
    return Answer(ExperimentDocument.of(found), status, location=location)
