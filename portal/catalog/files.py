"""What a version's page lets one take away: files by range, whole reports, and the log of its checks."""

import json
from collections.abc import Iterator
from typing import Any

from flask import Response, current_app, g, request

from portal import db
from portal.api import ranges
from portal.catalog import bp
from portal.installation import here
from registry import catalog, jobs, references, wording
from registry.errors import NotFound, Unavailable
from registry.orm.catalog import ModelVersion
from registry.orm.job import Job

PRETTY = 5_000
"""Most characters of a report that stand in the page, which has four; the whole is one click away."""


def _version(team: str, name: str, ref: str) -> ModelVersion:
    return references.get_version(db.session(), f"{team}/{name}", ref, actor=g.actor)


@bp.get("/models/<team>/<name>/versions/<ref>/files/<path:path>")
def file(team: str, name: str, ref: str, path: str) -> Response:
    """The bytes of a file. A whole download is checked on its way; a range is checked by whoever puts it together."""
    found = _version(team, name, ref)
    catalog.require_artifacts(db.session(), found.model, actor=g.actor)
    held = next((file for file in found.files if file.path == path), None)
    if held is None:
        raise NotFound(f"version {found.number} has no file {path}")
    store = here().store
    if not store.has(held.digest):
        raise Unavailable(f"the bytes of {path} are missing from the store", hint="Tell an operator.")
    if request.if_none_match.contains_weak(held.digest):
        return current_app.response_class(status=304, headers={"ETag": f'"{held.digest}"'})
    span = ranges.wanted(held.size, held.digest)
    if span is None:
        response = _bytes(store.chunks(held.digest), held.size)
    else:
        source = store.open(held.digest)
        response = _bytes(ranges.part(source, *span), span[1] - span[0], 206)
        response.headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{held.size}"
        response.call_on_close(source.close)
    response.set_etag(held.digest)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-cache"
    _, _, basename = path.rpartition("/")
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}-{found.number}-{basename}")
    return response


def _bytes(pieces: Iterator[bytes], size: int, status: int = 200) -> Response:
    response = current_app.response_class(pieces, status, mimetype="application/octet-stream", direct_passthrough=True)
    response.content_length = size
    return response


@bp.get("/models/<team>/<name>/versions/<ref>/reports/<step>.json")
def report(team: str, name: str, ref: str, step: str) -> Response:
    """A check report, whole."""
    found = _version(team, name, ref)
    held = next((report for report in found.reports if report.step == step), None)
    if held is None:
        raise NotFound(f"version {found.number} has no report of {step}")
    catalog.require_report(db.session(), found.model, step, actor=g.actor)
    return _json(held.body, f"{name}-{found.number}-{step}.json")


def _json(value: Any, filename: str) -> Response:
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    response = current_app.response_class(text, mimetype="application/json")
    response.headers.set("Content-Disposition", "attachment", filename=filename)
    return response


def pretty(value: Any) -> str:
    """A report to read, cut where it gets long."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return text if len(text) <= PRETTY else text[:PRETTY] + "\n... (cut here; download it whole)"


def _job(found: ModelVersion) -> Job:
    job = jobs.of_subject(db.session(), found.id)
    if job is None:
        raise NotFound(f"version {found.number} was never queued for checks")
    return job


@bp.get("/models/<team>/<name>/versions/<ref>/log")
def log(team: str, name: str, ref: str) -> Response:
    """The log of its checks, as text."""
    job = _job(_version(team, name, ref))
    pieces, start = [], 0
    while piece := jobs.read_log(db.session(), job.id, start=start):
        pieces.append(piece)
        start += len(piece)
    return current_app.response_class(b"".join(pieces), mimetype="text/plain")


@bp.get("/models/<team>/<name>/versions/<ref>/status.json")
def status(team: str, name: str, ref: str) -> Response:
    """For the page that waits for the checks: how it stands, and the log from byte ``from`` on."""
    found = _version(team, name, ref)
    job = _job(found)
    start = request.args.get("from", 0, type=int)
    text = jobs.read_log(db.session(), job.id, start=max(0, start), most=64 * 1024)
    answer = {
        "stage": found.stage.value,
        "status": wording.status_sentence(found, None, job),
        "log": text.decode(errors="replace"),
        "next": max(0, start) + len(text),
    }
    return current_app.response_class(json.dumps(answer), mimetype="application/json")
