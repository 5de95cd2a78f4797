"""experiment."""

from datetime import UTC, datetime, timedelta

import click

from countersign.cli.common import App, Listing, with_app
from countersign.experiments import Experiment
from countersign.output import column


@click.group("experiment", cls=Listing)
def experiment_command() -> None:
    """List, start, end and conclude experiments: what a route is split or shadowed for, until when, what came of it."""


@experiment_command.command("list")
@click.argument("name", metavar="TEAM/BUNDLE")
@with_app
def list_experiments(app: App, *, name: str) -> None:
    """List the experiments of a bundle, newest first."""
    app.out.items(
        (found.to_dict() for found in app.client.experiments(name)),
        [column("Id"), column("Route"), column("State"), column("Ends", "ends_at"), column("Hypothesis")],
        name="id",
        empty="No experiments. `countersign experiment start` says what a split is for.",
    )


@experiment_command.command("start")
@click.argument("name", metavar="TEAM/BUNDLE")
@click.argument("route")
@click.option("--hypothesis", required=True, help="What you expect, in words.")
@click.option("--metric", required=True, help="What you look at to tell.")
@click.option("--days", required=True, type=click.IntRange(1, 365), help="How long it goes on, from now.")
@with_app
def start_experiment(app: App, *, name: str, route: str, hypothesis: str, metric: str, days: int) -> None:
    """Say what ROUTE is split or shadowed for. It moves no weight; when it has ended, the bundle's team is told."""
    ends_at = datetime.now(UTC) + timedelta(days=days)
    _show(app, app.client.start_experiment(name, route, hypothesis=hypothesis, metric=metric, ends_at=ends_at))


@experiment_command.command("end")
@click.argument("experiment_id", metavar="ID")
@with_app
def end_experiment(app: App, *, experiment_id: str) -> None:
    """End an experiment before its time."""
    _show(app, app.client.end_experiment(experiment_id))


@experiment_command.command("conclude")
@click.argument("experiment_id", metavar="ID")
@click.option("-r", "--result", required=True, help="What came of it.")
@with_app
def conclude_experiment(app: App, *, experiment_id: str, result: str) -> None:
    """Say what came of an experiment that has ended. It can be said once."""
    _show(app, app.client.conclude_experiment(experiment_id, result))


def _show(app: App, found: Experiment) -> None:
    fields = [
        ("Id", found.id),
        ("Bundle", found.bundle),
        ("Route", found.route),
        ("State", found.state),
        ("Hypothesis", found.hypothesis),
        ("Metric", found.metric),
        ("Ends", found.ends_at),
        ("Result", found.result),
        ("Page", found.url),
    ]
    app.out.item(found.to_dict(), fields, name="id")
