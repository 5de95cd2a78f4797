"""list, search, show, card, files, lineage, diff."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from countersign.cli.common import App, with_app
from countersign.models import Change, Metric, Model, Version
from countersign.output import Column, cell, column, size

_limit = click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Show so many at most.")

MODEL_COLUMNS = [
    column("Name"),
    column("Approved"),
    column("Latest"),
    column("Task"),
    column("Purpose"),
]
VERSION_COLUMNS = [
    column("Ref"),
    column("Label"),
    column("Stage"),
    column("Aliases"),
    column("Digest", "artifact_digest"),
    column("Created", "created_at"),
]
CALLERS = {
    "unchanged": "Callers: what it takes and answers is the same.",
    "backward": "Callers keep working: whoever calls the base can call it unchanged.",
    "forward": "Callers must change; its own requests also fit the base.",
    "breaking": "Callers must change.",
}
NO_MODELS = "No models. `countersign init --name team/model` begins one."
NONE_FOUND = "No model fits. Search for fewer words, or for the beginning of one."


@click.command("list")
@click.argument("model", required=False, metavar="[TEAM/MODEL]")
@click.option("--team", help="Only models of this team.")
@click.option("--task", help="Only models with this task.")
@click.option("--stage", help="Only models with a version in this stage, as in approved.")
@_limit
@with_app
def list_command(
    app: App, *, model: str | None, team: str | None, task: str | None, stage: str | None, limit: int
) -> None:
    """List models, or the versions of one model, newest first."""
    if model is None:
        found: Iterator[Model] = app.client.search(team=team, task=task, stage=stage)
        _show_models(app, found, limit, empty=NONE_FOUND if team or task or stage else NO_MODELS)
        return
    versions = app.first(app.client.versions(model), limit)
    app.out.items(
        (version.to_dict() for version in versions), VERSION_COLUMNS, name="ref", empty=f"{model} has no versions."
    )


@click.command("search")
@click.argument("text")
@click.option("--team", help="Only models of this team.")
@click.option("--task", help="Only models with this task.")
@click.option("--stage", help="Only models with a version in this stage, as in approved.")
@_limit
@with_app
def search_command(app: App, *, text: str, team: str | None, task: str | None, stage: str | None, limit: int) -> None:
    """Find models whose name, purpose or task holds every word of TEXT."""
    _show_models(app, app.client.search(text, team=team, task=task, stage=stage), limit, empty=NONE_FOUND)


@click.command("show")
@click.argument("ref")
@click.option(
    "--report",
    metavar="STEP",
    help="The report of a check: own-code, scan, lock, introspect, predict, compile or parity.",
)
@with_app
def show_command(app: App, *, ref: str, report: str | None) -> None:
    """Show the version REF: where it is, what it holds, what its checks said."""
    if report:
        found = app.client.report(ref, report)
        app.out.item(found, _report_fields(found), name="outcome")
        return
    version = app.client.get(ref)
    app.out.item(version.to_dict(), version_fields(version), name="ref")
    if app.out.style == "table" and version.stage == "check_failed":
        _tell_findings(app, version)


@click.command("card")
@click.argument("ref")
@with_app
def card_command(app: App, *, ref: str) -> None:
    """Print the card of the version REF, Markdown as it was pushed."""
    app.out.text(app.client.card(ref))


@click.command("files")
@click.argument("ref")
@with_app
def files_command(app: App, *, ref: str) -> None:
    """List the files of the version REF."""
    version = app.client.get(ref)
    columns = [column("Path"), Column("Size", lambda item: item["size"]), Column("Digest", lambda item: item["digest"])]
    app.out.items((file.to_dict() for file in version.files), columns, name="path", empty="It has no files.")


@click.command("lineage")
@click.argument("ref")
@with_app
def lineage_command(app: App, *, ref: str) -> None:
    """Show what the version REF was made from, and what was made from it."""
    lineage = app.client.lineage(ref)
    edges = [{"direction": "from", **edge.to_dict()} for edge in lineage.edges]
    edges += [{"direction": "into", **edge.to_dict()} for edge in lineage.used_by]
    columns = [column("Direction"), column("Relation"), column("Kind"), column("Ref"), column("Digest")]
    app.out.items(edges, columns, name="ref", empty="Nothing is known of where it came from or where it went.")


@click.command("diff")
@click.argument("ref")
@click.argument("base", required=False)
@click.option("--exit-code", is_flag=True, help="Exit 1 when they differ.")
@with_app
def diff_command(app: App, *, ref: str, base: str | None, exit_code: bool) -> None:
    """Show what changed from BASE (by default the newest approved version before it) to REF."""
    diff = app.client.diff(ref, base)
    if app.out.style in {"json", "jsonl"}:
        app.out.item(diff.to_dict(), [], name="ref")
    else:
        app.out.note(f"{diff.base or 'nothing approved yet'} -> {diff.ref}")
        if diff.compatibility:
            app.out.note(CALLERS[diff.compatibility])
        for reason in diff.breaks:
            app.out.note(f"  {reason}")
        if diff.changes and app.out.style == "table":
            for line in change_lines(diff.changes):
                app.out.data(line)
        else:
            columns = [column("Section"), column("What", "path"), column("Before"), column("After")]
            app.out.items((change.to_dict() for change in diff.changes), columns, name="path", empty="No difference.")
    if exit_code and diff.changes:
        click.get_current_context().exit(1)


def change_lines(changes: Iterable[Change]) -> Iterator[str]:
    """One change below the other, by section: values may be longer than any column."""
    section = ""
    for change in changes:
        if change.section != section:
            section = change.section
            yield cell(section)
        yield f"  {cell(change.path, whole=True)}"
        for sign, value in (("-", change.before), ("+", change.after)):
            for line in cell(value).splitlines():
                yield f"    {sign} {line}"


def version_fields(version: Version) -> list[tuple[str, Any]]:
    """The lines that tell where a version is, in the order people ask."""
    return [
        ("Ref", version.ref),
        ("Label", version.label),
        ("Stage", version.stage),
        ("Status", version.status),
        ("Purpose", version.card.get("purpose")),
        ("Owner", version.card.get("owner")),
        ("Contact", version.card.get("contact")),
        ("Aliases", version.aliases),
        ("Metrics", "\n".join(_metric(metric) for metric in version.metrics)),
        ("Checks", "\n".join(f"{check.step}: {check.outcome}, {check.summary}" for check in version.checks)),
        ("Files", "\n".join(f"{file.path} ({size(file.size)})" for file in version.files)),
        ("Artifact", version.artifact_digest),
        ("Release", version.release_digest),
        ("Author", version.author),
        ("Created", version.created_at),
        ("Tags", dict(version.tags)),
        ("Page", version.url),
    ]


def _metric(metric: Metric) -> str:
    said = "measured by Countersign" if metric.measured else f"declared by {metric.declared_by or 'the uploader'}"
    on = f" on {metric.dataset}" if metric.dataset else ""
    return f"{metric.name} {cell(metric.value)}{on} ({said})"


def _report_fields(report: dict[str, Any]) -> list[tuple[str, Any]]:
    findings = [item for item in report.get("findings") or () if isinstance(item, dict)]
    return [
        ("Step", report.get("step")),
        ("Outcome", report.get("outcome")),
        ("Summary", report.get("summary")),
        ("Isolation", report.get("isolation")),
        ("Findings", "\n".join(f"{item.get('message')} {item.get('hint') or ''}".strip() for item in findings)),
    ]


def _tell_findings(app: App, version: Version) -> None:
    for check in version.checks:
        if check.outcome != "passed":
            for finding in app.client.report(version.ref, check.step).get("findings") or ():
                app.out.warn(f"{check.step}: {finding.get('message')}")
                if finding.get("hint"):
                    app.out.note(f"  {finding['hint']}")


def _show_models(app: App, found: Iterator[Model], limit: int, *, empty: str) -> None:
    app.out.items((model.to_dict() for model in app.first(found, limit)), MODEL_COLUMNS, name="name", empty=empty)
