"""Bundles: list, read, change, bake."""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from portal import access, db, filters
from portal.bundles import bp
from portal.bundles.forms import NewBundleForm, RoutesForm, read, write
from registry import builds, bundles, experiments, paging, waiting
from registry.access import Permission
from registry.orm.image import Bundle, Rebuild, RouteMember

Answer = str | tuple[str, int] | BaseResponse
PAGE = 50
TRIED = 5  # experiments that a bundle's page lists; the API has all


@bp.get("")
def index() -> str:
    """All bundles one may know of, by name."""
    page = bundles.listing(db.session(), paging.Cursor(limit=PAGE, after=request.args.get("cursor")), actor=g.actor)
    return render_template("bundles/index.html", page=page)


@bp.route("/new", methods=["GET", "POST"])
@access.needs(Permission.EDIT_BUNDLE)
def new() -> Answer:
    """A bundle of several models in one container."""
    form = NewBundleForm()
    if form.validate_on_submit() and form.attempt(_create, form):
        flash(f"{form.result.full_name} is there; bake it when its versions are approved.", "ok")
        return redirect(_url(form.result.full_name), 303)
    return render_template("bundles/new.html", form=form), form.status


def _create(form: NewBundleForm) -> Bundle:
    return bundles.create(
        db.session(),
        actor=g.actor,
        full_name=(form.name.data or "").strip(),
        routes=read(form.routes.data or ""),
        rebuild=Rebuild(form.rebuild.data),
    )


@bp.route("/<team>/<name>", methods=["GET", "POST"])
def bundle(team: str, name: str) -> Answer:
    """What is in it, what would be baked now, and its builds."""
    form = RoutesForm()
    if form.validate_on_submit() and form.attempt(_change, f"{team}/{name}", form):
        flash("The routes are changed. Nothing was baked: press Bake when you want it.", "ok")
        return redirect(_url(f"{team}/{name}"), 303)
    session = db.session()
    found = bundles.get(session, f"{team}/{name}", actor=g.actor)
    if request.method == "GET":
        form.routes.data, form.rebuild.data = write(found), found.rebuild.value
    # Whoever was overtaken sees the routes as they are now above their own text: sending it again replaces those.
    form.revision.data = str(found.revision)
    history = builds.list_builds(session, paging.Cursor(limit=10), actor=g.actor, bundle=found)
    tried = experiments.listing(session, found, paging.Cursor(limit=TRIED), actor=g.actor).items
    filters.name_actors({found.created_by})
    routes: dict[str, list[RouteMember]] = {}
    for member in found.members:
        routes.setdefault(member.route, []).append(member)
    return render_template(
        "bundles/bundle.html",
        bundle=found,
        routes=routes,
        form=form,
        tried=[(item, experiments.state(item)) for item in tried],
        history=history.items,
        resolution=bundles.resolve(session, found),
        previous=builds.previous_image(session, found),
        isolation=waiting.isolation(session),
        may_edit=access.may(Permission.EDIT_BUNDLE, found.team_id),
        may_bake=access.may(Permission.BAKE, found.team_id),
    ), form.status


def _change(full_name: str, form: RoutesForm) -> None:
    found = bundles.get(db.session(), full_name, actor=g.actor)
    expected = int(form.revision.data) if (form.revision.data or "").isdecimal() else None
    bundles.change(
        db.session(),
        found,
        actor=g.actor,
        routes=read(form.routes.data or ""),
        rebuild=Rebuild(form.rebuild.data),
        expected=expected,
    )


@bp.post("/<team>/<name>/bake")
def bake(team: str, name: str) -> BaseResponse:
    """Ask for an image now."""
    found = bundles.get(db.session(), f"{team}/{name}", actor=g.actor)
    build = bundles.bake(db.session(), found, actor=g.actor)
    return redirect(url_for("builds.build", build_id=build.id), 303)


@bp.post("/<team>/<name>/rollback")
def roll_back(team: str, name: str) -> BaseResponse:
    """Put the previous image in front again."""
    found = bundles.get(db.session(), f"{team}/{name}", actor=g.actor)
    builds.roll_back(db.session(), found, actor=g.actor, seen=request.form.get("seen", ""))
    flash("The previous image is the current one again. Whoever runs the bundle's image has to run that one.", "ok")
    return redirect(_url(found.full_name), 303)


@bp.post("/proposals/<uuid:build_id>/accept")
def accept(build_id: UUID) -> BaseResponse:
    """The owner says yes to a proposed build."""
    build = builds.get_build(db.session(), build_id, actor=g.actor)
    bundles.accept(db.session(), build, actor=g.actor)
    flash("The build is in the queue.", "ok")
    return redirect(url_for("builds.build", build_id=build.id), 303)


def _url(full_name: str) -> str:
    team, _, name = full_name.partition("/")
    return url_for("bundles.bundle", team=team, name=name)
