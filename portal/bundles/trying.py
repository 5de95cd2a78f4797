"""Experiments on the routes of a bundle: start, end, conclude."""

from datetime import timedelta
from uuid import UUID

from flask import flash, g, redirect, render_template, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db
from portal.bundles import bp
from portal.bundles.forms import ConclusionForm, ExperimentForm
from registry import bundles, clock, experiments
from registry.access import Permission
from registry.orm.experiment import Experiment
from registry.orm.image import Bundle

Answer = str | tuple[str, int] | BaseResponse


@bp.route("/<team>/<name>/experiments/new", methods=["GET", "POST"])
@access.needs(Permission.EDIT_BUNDLE)
def start(team: str, name: str) -> Answer:
    """Say what a route is split or shadowed for."""
    found = bundles.get(db.session(), f"{team}/{name}", actor=g.actor)
    form = ExperimentForm()
    form.route.choices = list(dict.fromkeys(member.route for member in found.members))
    if form.validate_on_submit() and form.attempt(_start, found, form):
        flash("The experiment runs. Weights stay as they are; when it has ended, your team is told.", "ok")
        return _back(found)
    return render_template("bundles/experiment_new.html", bundle=found, form=form), form.status


def _start(bundle: Bundle, form: ExperimentForm) -> Experiment:
    return experiments.start(
        db.session(),
        bundle,
        actor=g.actor,
        route=form.route.data,
        hypothesis=form.hypothesis.data or "",
        metric=form.metric.data or "",
        ends_at=clock.now() + timedelta(days=form.days.data),
    )


@bp.post("/experiments/<uuid:experiment_id>/end")
@access.needs(Permission.EDIT_BUNDLE)
def end(experiment_id: UUID) -> BaseResponse:
    """End it before its time."""
    found = experiments.get(db.session(), experiment_id, actor=g.actor)
    experiments.end(db.session(), found, actor=g.actor)
    flash("The experiment has ended. Say what came of it, and take its split out of the routes.", "ok")
    return _back(found.bundle)


@bp.route("/experiments/<uuid:experiment_id>/conclusion", methods=["GET", "POST"])
@access.needs(Permission.EDIT_BUNDLE)
def conclude(experiment_id: UUID) -> Answer:
    """Say what came of it."""
    found = experiments.get(db.session(), experiment_id, actor=g.actor)
    form = ConclusionForm()
    if form.validate_on_submit() and form.attempt(_conclude, found, form):
        flash("What came of it is kept with the bundle.", "ok")
        return _back(found.bundle)
    return render_template("bundles/experiment_conclude.html", experiment=found, form=form), form.status


def _conclude(experiment: Experiment, form: ConclusionForm) -> None:
    experiments.conclude(db.session(), experiment, actor=g.actor, result=form.result.data or "")


def _back(bundle: Bundle) -> BaseResponse:
    team, _, name = bundle.full_name.partition("/")
    return redirect(url_for("bundles.bundle", team=team, name=name, _anchor="experiments"), 303)
