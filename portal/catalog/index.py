"""The catalogue: search, facets and the list, all of it in the address; the same list as CSV."""

import csv
import io
from collections.abc import Iterator

from flask import Response, current_app, g, render_template, request, url_for

from portal import db, nav
from portal.catalog import bp, reading
from portal.installation import here
from registry import catalog, clock, paging

PAGE = 25
CSV_ROWS = 10_000
STAGES = {
    "approved": "Approved",
    "in_review": "In review",
    "ready": "Ready to submit",
    "checking": "Being checked",
    "check_failed": "Check failed",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def _filters() -> catalog.Filters:
    asked = request.args
    return catalog.Filters(
        text=asked.get("q", "").strip(),
        team=asked.get("team", ""),
        task=asked.get("task", ""),
        stage=asked.get("stage", ""),
        mine=asked.get("mine") == "1",
    )


@bp.get("/models")
def index() -> str:
    """Models, newest change first."""
    session, asked = db.session(), _filters()
    page = catalog.search(session, asked, paging.Cursor(PAGE, request.args.get("cursor")), actor=g.actor)
    return render_template(
        "catalog/index.html",
        page=page,
        approved=reading.newest_approved(session, page.items),
        asked=asked,
        groups=_groups(asked),
        filtered=any((asked.text, asked.team, asked.task, asked.stage, asked.mine)),
        url=here().settings.public_url,
    )


def _groups(asked: catalog.Filters) -> list[tuple[str, list[tuple[str, int, bool, str]]]]:
    """Facets as (heading, [(label, count, chosen, address)]); choosing a chosen one again takes it out."""
    counts = catalog.facets(db.session(), actor=g.actor)
    stages = reading.stage_counts(db.session(), actor=g.actor)
    groups = [
        (
            "Status",
            [_facet("stage", stage, STAGES[stage], count, asked.stage) for stage, count in stages.items() if count],
        ),
        ("Team", [_facet("team", slug, slug, count, asked.team) for slug, count in counts["team"]]),
        ("Task", [_facet("task", task, task, count, asked.task) for task, count in counts["task"]]),
    ]
    if mine := reading.mine_count(db.session(), actor=g.actor):
        groups.insert(0, ("Mine", [_facet("mine", "1", "My teams' models", mine, "1" if asked.mine else "")]))
    return [(heading, facets) for heading, facets in groups if facets]


def _facet(name: str, value: str, label: str, count: int, chosen: str) -> tuple[str, int, bool, str]:
    current = value == chosen
    return label, count, current, nav.url_with(cursor=None, **{name: None if current else value})


@bp.get("/models.csv")
def export() -> Response:
    """The list as CSV with the same filters, at most 10,000 rows."""
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(
        ["model", "team", "task", "purpose", "approved_version", "latest_version", "contact", "updated_at", "url"]
    )
    root = here().settings.public_url
    for model in _all(_filters()):
        row = [
            *(model.full_name, model.team_slug, model.task, model.purpose, model.latest_approved or ""),
            *(model.versions_made or "", model.contact, clock.rfc3339(model.updated_at)),
            root + url_for("catalog.model", team=model.team_slug, name=model.name),
        ]
        writer.writerow([cell(value) for value in row])
    response = current_app.response_class(sheet.getvalue(), mimetype="text/csv")
    response.headers["Content-Disposition"] = "attachment; filename=models.csv"
    return response


def _all(asked: catalog.Filters) -> Iterator[catalog.ListedModel]:
    after, count = None, 0
    while count < CSV_ROWS:
        page = catalog.search(db.session(), asked, paging.Cursor(paging.MAX_LIMIT, after), actor=g.actor)
        yield from page.items
        count += len(page.items)
        if (after := page.next) is None:
            return


def cell(value: object) -> str:
    """A value no spreadsheet takes for a formula."""
    text = str(value)
    return "'" + text if text.startswith(FORMULA) else text
