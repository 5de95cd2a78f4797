"""init, check, push."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from countersign import cards, checks, collecting, config, files, refs, waiting
from countersign.cli.common import App, Waiting, pairs, wait_option, with_app
from countersign.collecting import Facts, Plan
from countersign.errors import CheckFailed, Unusable
from countersign.models import Version
from countersign.output import column, size
from countersign.uploading import size_of

_FILE = click.Path(path_type=Path, dir_okay=False)


def _push_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `check` and `push` take alike, so that what was checked is what is pushed."""
    options = [
        click.argument("path", type=click.Path(path_type=Path, exists=True), default=Path()),
        click.option("--name", metavar="TEAM/MODEL", help="Model to push to; by default `name` of countersign.toml."),
        click.option("--label", help="Your own name for the version, as in 1.4.0."),
        click.option("--author", metavar="USER", help="Who trained it, where a pipeline pushes."),
        click.option("--card", type=_FILE, help="Card; by default card.md beside the model."),
        click.option("--sample", type=_FILE, help="Sample rows; by default sample.jsonl beside the model."),
        click.option("--requirements", type=_FILE, help="Pins; by default requirements.txt beside the model."),
        click.option("--wheel", "wheels", multiple=True, metavar="FILE|PIN", help="Code the model brings: a wheel, or name==version@sha256:... of the index; repeatable."),
        click.option("--format", "model_format", help="What the file is, if its extension does not say: joblib, pickle, skops, onnx, lightgbm, xgboost."),
        click.option("--metrics", type=_FILE, help="Metrics as JSON; by default metrics.json beside the model."),
        click.option("--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter; repeatable."),
        click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="A tag; repeatable."),
        click.option("--dataset", "datasets", multiple=True, metavar="REF", help="Trained on: name@sha256:..., a file, a reference."),
        click.option("--evaluated-on", multiple=True, metavar="REF", help="Evaluated on, as for --dataset."),
        click.option("--commit", metavar="REF", help="Commit it was built from; in CI, that of the pipeline."),
        click.option("--run", metavar="REF", help="Training run that made it; in CI, the job's address."),
        click.option("--parent", metavar="REF", help="Version it was derived from, as team/model:3."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--name", metavar="TEAM/MODEL", required=True, help="Model that the folder is pushed to.")
@with_app
def init_command(app: App, *, folder: Path, name: str) -> None:
    """Write card.md and countersign.toml into FOLDER, without touching those that are there."""
    refs.parse_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (folder / collecting.CARD, cards.template(name)),
        (folder / config.PROJECT_FILE, config.dump_toml({"name": name})),
    ):
        if path.exists():
            app.out.note(f"{path} is there already")
        else:
            files.write_whole(path, text.encode())
            app.out.data(str(path))
    app.out.note("fill in the card, put model.joblib and sample.jsonl beside it, then run `countersign check`")


@click.command("check")
@_push_options
@with_app
def check_command(app: App, /, *, path: Path, **options: Any) -> None:
    """Judge the push of PATH here, without sending anything: exit 0 when nothing stands against it.

    PATH is a folder, a model file, or a folder written by MLflow. Without a server, what needs its limits is left out.
    """
    plan = _collect(app, path, options)
    server = app.client.server if app.settings.get("url") else None
    findings = checks.judge(plan, server)
    if server is None:
        app.out.note("no server is set: its Python versions, formats and limits were not compared")
    _tell_left_out(app, plan)
    app.out.items(
        (
            {"level": found.level, "code": found.code, "message": found.message, "hint": found.hint}
            for found in findings
        ),
        [column("Level"), column("What", "message"), column("What to do", "hint")],
        name="code",
        empty="Nothing to say.",
    )
    errors = [found for found in findings if found.level == checks.ERROR]
    if errors:
        count = f"{len(errors)} problem{'s' if len(errors) > 1 else ''}"
        raise CheckFailed(f"{path} cannot be pushed yet: {count}", findings=())


@click.command("push", cls=Waiting)
@_push_options
@wait_option
@click.option("--submit", is_flag=True, help="When the checks passed, ask for approval (waits for them).")
@click.option("-m", "--note", help="What reviewers should know; with --submit.")
@click.option("--no-create", is_flag=True, help="Refuse when the model is not registered yet.")
@click.option("--dry-run", is_flag=True, help="Check and say what would be sent; send nothing.")
@with_app
def push_command(
    app: App,
    /,
    *,
    path: Path,
    wait: str | None,
    submit: bool,
    note: str | None,
    no_create: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Register PATH as a version of a model.

    PATH is a folder with model.joblib (or .skops, .onnx, .pkl, LightGBM's model.txt, XGBoost's model.json), sample.jsonl and
    card.md (requirements.txt, metrics.json and lineage.json if you have them), a model file with these beside it, or a folder written by MLflow. Pushing the same content again returns the version
    that exists, and exits 0.
    """
    if submit and not note:
        raise Unusable("--submit needs a note", hint="Say what reviewers should know with -m.")
    if submit or wait:
        wait = wait or "10m"
        waiting.duration(wait)
    plan = _collect(app, path, options)
    _tell_left_out(app, plan)
    if dry_run:
        checks.refuse_errors(checks.judge(plan, app.client.server))
        total = sum(size_of(content) for content in plan.files.values())
        app.out.note(f"would push {', '.join(plan.files)} ({size(total)}) to {plan.name}; nothing was sent")
        return
    with app.progress() as on_progress:
        version = app.client.push_plan(plan, create_model=not no_create, on_progress=on_progress)
    if version.is_new:
        app.out.note(f"pushed {version.ref}")
    else:
        app.out.note(f"{version.ref} holds exactly this content already: nothing new was registered")
    if wait:
        version = app.wait_version(version.ref, "ready", wait)
    if submit and version.stage == "ready":
        review = app.client.submit(version.ref, note or "")
        app.out.note(f"asked for approval: {review.url or review.id}")
        version = app.client.get(version.ref)
    elif submit:
        app.out.note(f"not submitted again: {version.ref} is {version.stage.replace('_', ' ')}")
    app.out.item(version.to_dict(), _pushed_fields(version), name="ref")


def _pushed_fields(version: Version) -> list[tuple[str, object]]:
    return [
        ("Ref", version.ref),
        ("Digest", version.artifact_digest),
        ("Stage", version.stage),
        ("Status", version.status),
        ("Page", version.url),
    ]


def _collect(app: App, path: Path, options: Mapping[str, Any]) -> Plan:
    name = options["name"] or _name_nearby(app, path)
    metrics = collecting.read_metrics(options["metrics"]) if options["metrics"] else ()
    in_pipeline = _from_pipeline()
    return collecting.collect(
        path,
        name=name,
        facts=Facts(
            label=options["label"],
            author=options["author"],
            metrics=metrics,
            params=pairs(options["params"], "--param"),
            tags=pairs(options["tags"], "--tag"),
            lineage=collecting.lineage(
                datasets=options["datasets"],
                evaluated_on=options["evaluated_on"],
                commit=options["commit"] or in_pipeline.get("commit"),
                run=options["run"] or in_pipeline.get("run"),
                parent=options["parent"],
            ),
        ),
        model_format=options["model_format"],
        card=options["card"],
        sample=options["sample"],
        requirements=options["requirements"],
        wheels=options["wheels"],
    )


def _name_nearby(app: App, path: Path) -> str:
    """`name` of the project file at or above the folder that is pushed, else of the one at the working folder."""
    found = config.find_project_file(path if path.is_dir() else path.parent)
    name = config.read_toml(found).get("name") if found else app.settings.get("name")
    if not isinstance(name, str):
        raise Unusable("no model is named", hint="Add --name team/model, or `name` to countersign.toml.")
    return name


def _from_pipeline() -> dict[str, str]:
    """Commit and job of the CI pipeline we run in, by GitLab's and GitHub's variables."""
    environ = os.environ
    if not environ.get("CI"):
        return {}
    if environ.get("CI_COMMIT_SHA"):
        project = environ.get("CI_PROJECT_URL", "")
        commit = f"{project}/-/commit/{environ['CI_COMMIT_SHA']}" if project else environ["CI_COMMIT_SHA"]
        return {"commit": commit, **({"run": environ["CI_JOB_URL"]} if environ.get("CI_JOB_URL") else {})}
    if environ.get("GITHUB_SHA"):
        project = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        run = environ.get("GITHUB_RUN_ID")
        return {
            "commit": f"{project}/commit/{environ['GITHUB_SHA']}",
            **({"run": f"{project}/actions/runs/{run}"} if run else {}),
        }
    return {}


def _tell_left_out(app: App, plan: Plan) -> None:
    if plan.left_out:
        shown = ", ".join(plan.left_out[:8]) + (", ..." if len(plan.left_out) > 8 else "")
        app.out.note(f"not part of a push, stays here: {shown}")
