"""A new version from the browser: a plain form that streams its files.

js/upload.js improves it: it sends each file by itself to /api/v1/blobs/<digest>, and the form then carries digests.
"""

from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db
from portal.catalog import reading, receiving
from portal.catalog.upload_form import UploadForm, template
from portal.installation import here
from registry import catalog, references, versions
from registry.access import Permission
from registry.orm.catalog import ModelVersion

bp = Blueprint("uploads", __name__, url_prefix="/upload")
bp.record_once(lambda state: receiving.install(state.app))


@bp.url_value_preprocessor
def _allow_a_long_card(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
    request.max_form_memory_size = receiving.TEXT_BYTES


@bp.teardown_request
def _drop_unwanted(_error: BaseException | None) -> None:
    receiving.drop()


@bp.route("", methods=["GET", "POST"])
@access.needs(Permission.PUSH)
@access.takes_files
def new() -> str | tuple[str, int] | BaseResponse:
    """The form; what was typed and sent stays in it when it is refused."""
    with db.reading() as unit:
        teams = reading.teams_of(unit, g.actor)
        names = reading.names_of(unit, g.actor)
        start = _start(unit)
    form = UploadForm(teams=teams, start=start)
    if form.is_submitted():
        form.take(*receiving.keep(request.files))
        if (document := form.own_code()) is not None:
            receiving.write(document)
    if form.validate_on_submit() and form.attempt(_register, form):
        version, is_new = form.result
        word = "is uploaded. Its checks begin now" if is_new else "held the same content already; nothing was added"
        flash(f"Version {version.number} {word}.", "ok" if is_new else "wait")
        team, _, name = version.model.full_name.partition("/")
        return redirect(url_for("catalog.version", team=team, name=name, ref=version.number), 303)
    return render_template(
        "catalog/upload.html", form=form, teams=teams, names=names, most=here().settings.max_upload_bytes
    ), form.status


def _start(unit: Any) -> dict[str, str]:
    """What an empty form begins with: the model of the address, and the card of its newest version."""
    full_name = request.args.get("model", "")
    team, separator, name = full_name.partition("/")
    if not separator:
        return {"card": template(g.actor, "")}
    model = catalog.get_model(unit, full_name, actor=g.actor)
    card = template(g.actor, full_name)
    if model.versions_made:
        card = references.get_version(unit, full_name, "latest", actor=g.actor).card
    return {"team": team, "name": name, "card": card}


def _register(form: UploadForm) -> tuple[ModelVersion, bool]:
    """One push, as from the command line."""
    push = versions.Push(
        files=form.files(),
        format=str(form.format.data),
        card=(form.card.data or "").replace("\r\n", "\n"),
        label=form.label.data or "",
        metrics=form.claims(),
    )
    full_name = f"{form.team.data}/{(form.name.data or '').strip()}"
    version, is_new = versions.register_version(
        db.session(), actor=g.actor, full_name=full_name, push=push, create_model=True
    )
    db.session().flush()
    return references.get_version(db.session(), full_name, version.number, actor=g.actor), is_new
