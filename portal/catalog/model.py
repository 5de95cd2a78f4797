"""A registered model: may I use it, how, and what people know of it."""

from typing import Any

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse
from wtforms import SelectChoice

from portal import access, db, filters, snippets
from portal.catalog import bp, cards, history, reading
from portal.catalog.forms import AliasForm, SettingsForm, UseForm
from portal.forms import Form
from registry import access as rules
from registry import accounts, approvals, bundles, catalog, paging, references
from registry.access import Permission
from registry.errors import Stale
from registry.orm.catalog import ModelVersion, RegisteredModel, Visibility

Answer = str | tuple[str, int] | BaseResponse


def load(team: str, name: str) -> RegisteredModel:
    """The model of an address."""
    return catalog.get_model(db.session(), f"{team}/{name}", actor=g.actor)


def frame(model: RegisteredModel, current: str) -> dict[str, Any]:
    """What the head of every page about a model shows."""
    team, name = model.team.slug, model.name
    places = (
        ("Overview", "catalog.model", None),
        ("Versions", "catalog.versions", model.versions_made),
        ("Lineage", "lineage.model", None),
        ("Consumers", "catalog.consumers", len(catalog.uses_of(db.session(), model))),
        ("Activity", "catalog.activity", None),
    )
    tabs = [(label, url_for(end, team=team, name=name), end == current, count) for label, end, count in places]
    if access.may(Permission.PUSH, model.team_id):
        tabs.append(
            ("Settings", url_for("catalog.settings", team=team, name=name), current == "catalog.settings", None)
        )
    return {
        "model": model,
        "at": {"team": team, "name": name},
        "tabs": tabs,
        "approved": reading.newest_approved(db.session(), [model]).get(model.id),
    }


@bp.get("/models/<team>/<name>")
def model(team: str, name: str) -> str:
    """Purpose, may I use it, inputs and outputs, how to call it, and the card."""
    found = load(team, name)
    session = db.session()
    approved = found.latest_approved is not None
    version = None
    if found.versions_made:
        version = references.get_version(session, found.full_name, "approved" if approved else "latest", actor=g.actor)
    asked = approvals.open_request_of(session, version) if version and approved else None
    holders = bundles.holding(session, found) if version and approved else []
    served = [item for item in reading.serving(session, version, holders) if not item.shadow] if version else []
    form = _use_form()
    return render_template(
        "catalog/model.html",
        **frame(found, "catalog.model"),
        version=version,
        asked=asked,
        served=served,
        usage=_usage(found, version, served) if version and approved else [],
        card=cards.body(version) if version else None,
        tensors=cards.tensors(version) if version else None,
        form=form,
        owner=f"person:{found.owner_id.hex}" if found.owner_id else "",
    )


def _usage(found: RegisteredModel, version: ModelVersion, served: list[reading.Serving]) -> list[tuple[str, str]]:
    may_read = catalog.may_read_artifacts(db.session(), found, actor=g.actor)
    example = cards.example_row(version) if may_read else None
    place = None
    if served:
        first = served[0]
        place = snippets.Place(
            bundle=first.bundle.full_name,
            route=first.route,
            version=first.version_name,
            image_digest=first.image.digest,
            engine_id=first.image.engine_id,
            isolation=first.image.isolation,
            key=first.image.key_fingerprint,
            reference=first.image.reference,
        )
    return snippets.usage(version, place, example)


@bp.route("/models/<team>/<name>/versions", methods=["GET", "POST"])
def versions(team: str, name: str) -> Answer:
    """All versions, and the aliases that point at them; the form sets one."""
    form = AliasForm()
    if form.validate_on_submit() and form.attempt(_set_alias, f"{team}/{name}", form):
        flash(f"{form.alias.data} is version {form.number.data} now.", "ok")
        return redirect(url_for("catalog.versions", team=team, name=name), 303)
    found = load(team, name)
    _show_current(form, found)
    cursor = paging.Cursor(25, request.args.get("cursor"))
    page = references.versions_of(db.session(), found, cursor)
    filters.name_actors({version.author for version in page.items})
    aliases = reading.aliases_of(db.session(), found)
    filters.name_actors({alias.moved_by for alias in aliases})
    return render_template(
        "catalog/versions.html", **frame(found, "catalog.versions"), page=page, aliases=aliases, form=form
    ), form.status


def _set_alias(full_name: str, form: AliasForm) -> None:
    version = references.get_version(db.session(), full_name, form.number.data or 0, actor=g.actor)
    alias = (form.alias.data or "").strip()
    references.set_alias(db.session(), version, alias, actor=g.actor, expected=_revision(form.revision.data))


@bp.post("/models/<team>/<name>/aliases/<alias>/remove")
def remove_alias(team: str, name: str, alias: str) -> BaseResponse:
    """Take an alias away; refused while a bundle follows it."""
    found = load(team, name)
    row = references.get_alias(db.session(), found, alias)
    references.remove_alias(db.session(), row, found, actor=g.actor, expected=_revision(request.form.get("revision")))
    flash(f"The alias {alias} is gone.", "ok")
    return redirect(url_for("catalog.versions", team=team, name=name), 303)


def _revision(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _show_current(form: Form, found: RegisteredModel) -> None:
    """Bind the form to the revision that is shown now; a refused one is sent again knowing what changed."""
    if not form.is_submitted() or isinstance(form.refusal, Stale):
        form["revision"].data = str(found.revision)


@bp.route("/models/<team>/<name>/settings", methods=["GET", "POST"])
def settings(team: str, name: str) -> Answer:
    """What the team says of its model."""
    found = load(team, name)
    rules.require(g.actor, Permission.PUSH, team_id=found.team_id)
    form = SettingsForm(
        purpose=found.purpose, task=found.task, contact=found.contact, visibility=found.visibility.value
    )
    if form.validate_on_submit() and form.attempt(_describe, found, form):
        flash("Saved.", "ok")
        return redirect(url_for("catalog.model", team=team, name=name), 303)
    if form.refusal is not None:
        found = load(team, name)
    _show_current(form, found)
    return render_template("catalog/settings.html", **frame(found, "catalog.settings"), form=form), form.status


def _describe(found: RegisteredModel, form: SettingsForm) -> None:
    catalog.describe(
        db.session(),
        found,
        actor=g.actor,
        expected=_revision(form.revision.data),
        purpose=form.purpose.data,
        contact=form.contact.data,
        task=form.task.data,
        visibility=Visibility(form.visibility.data),
    )


@bp.route("/models/<team>/<name>/consumers", methods=["GET", "POST"])
def consumers(team: str, name: str) -> Answer:
    """Who uses it and what for; the form declares a use."""
    form = _use_form()
    if form.validate_on_submit() and form.attempt(_declare, f"{team}/{name}", form):
        flash(f"Declared. Team {form.team.data} can read the files, and the owners know whom to tell.", "ok")
        return redirect(url_for("catalog.consumers", team=team, name=name), 303)
    found = load(team, name)
    uses = catalog.uses_of(db.session(), found)
    filters.name_actors({use.declared_by for use in uses})
    return render_template(
        "catalog/consumers.html", **frame(found, "catalog.consumers"), uses=uses, form=form
    ), form.status


def _use_form() -> UseForm:
    form = UseForm()
    form.team.choices = [SelectChoice(team.slug, team.slug) for team in reading.teams_of(db.session(), g.actor)]
    return form


def _declare(full_name: str, form: UseForm) -> None:
    session = db.session()
    found = catalog.get_model(session, full_name, actor=g.actor)
    team = accounts.get_team(session, form.team.data)
    catalog.declare_use(session, found, team, actor=g.actor, purpose=form.purpose.data or "")


@bp.get("/models/<team>/<name>/activity")
def activity(team: str, name: str) -> str:
    """What happened to the model, newest first."""
    found = load(team, name)
    log, labels = reading.log_of_model(db.session(), found)
    return render_template(
        "catalog/activity.html", **frame(found, "catalog.activity"), events=history.tell(log, labels, now=True)
    )
