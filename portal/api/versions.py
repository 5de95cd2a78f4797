"""Versions: pushing, reading, comparing, and asking for their release."""

from flask import Response

from portal.api.answers import Answer
from portal.api.calls import Call
from portal.api.contract import Media, operation
from portal.api.documents import versions as told
from portal.api.documents.advisories import StandingDocument
from portal.api.documents.base import Listing, Nothing
from portal.api.documents.history import DiffDocument, LineageDocument
from portal.api.documents.pushes import NewVersion
from portal.api.documents.reviews import NewRequest, ReviewDocument, Withdrawal, review_document
from portal.api.documents.versions import DiffQuery, ReportDocument, VersionDocument, VersionPage
from registry import accounts, advisories, approvals, catalog, compare, lineage, reading, references, versions
from registry.access import Permission
from registry.errors import Blocked, Forbidden, NotFound, NotInTeam, WrongStage
from registry.orm.catalog import ModelVersion

VERSION = "/models/<team>/<name>/versions/<reference>"


@operation("GET", "/models/<team>/<name>/versions", answers={200: VersionPage})
def list_versions(call: Call, team: str, name: str, query: Listing) -> Answer:
    """List the versions of a model, newest first."""
    model = catalog.get_model(call.session, f"{team}/{name}", actor=call.actor)
    found = references.versions_of(call.session, model, query.place())
    mentioned = {version.author for version in found.items}
    mentioned |= {metric.declared_by for version in found.items for metric in version.metrics}
    names = accounts.display_names(call.session, mentioned)
    return Answer(VersionPage(items=[told.summary(version, names) for version in found.items], next=found.next))


@operation(
    "POST",
    "/models/<team>/<name>/versions",
    answers={201: VersionDocument, 200: VersionDocument},
    needs=Permission.PUSH,
    refuses=(NotInTeam, Forbidden),
)
def create_version(call: Call, team: str, name: str, body: NewVersion) -> Answer:
    """Push a version.

    The files are sent before, each by PUT to `/api/v1/blobs/{digest}`. 201 tells a new version; 200 the version that
    exists already with the same files and card, so that a retry does no harm.
    """
    version, new = versions.register_version(
        call.session, actor=call.actor, full_name=f"{team}/{name}", push=body.push(), create_model=body.create_model
    )
    if not new:
        return _record(call, team, name, version.number)
    record = reading.told_of(call.session, version, actor=call.actor)
    return Answer(told.document(record), 201, location=f"/api/v1/models/{team}/{name}/versions/{version.number}")


@operation("GET", VERSION, answers={200: VersionDocument})
def show_version(call: Call, team: str, name: str, reference: str) -> Answer:
    """Show a version.

    `reference` is a number, an alias, `approved` (the newest approved), `latest`, or the artifact or release digest.
    """
    return _record(call, team, name, reference)


def _record(call: Call, team: str, name: str, reference: str | int) -> Answer:
    return Answer(told.document(reading.read_version(call.session, f"{team}/{name}", reference, actor=call.actor)))


def _find(call: Call, team: str, name: str, reference: str) -> ModelVersion:
    return references.get_version(call.session, f"{team}/{name}", reference, actor=call.actor)


@operation("GET", f"{VERSION}/advisories", answers={200: StandingDocument})
def show_advisories(call: Call, team: str, name: str, reference: str) -> Answer:
    """Show how the exact libraries of a version's lock stand against the advisories in force."""
    version = _find(call, team, name, reference)
    return Answer(StandingDocument.of(advisories.of_version(call.session, version)), tagged=False)


@operation("GET", f"{VERSION}/card", answers={200: Media("text/markdown", "The card as it was pushed.")})
def card(call: Call, team: str, name: str, reference: str) -> Response:
    """Read the card."""
    response = Response(_find(call, team, name, reference).card, content_type="text/markdown; charset=utf-8")
    response.headers["Content-Disposition"] = "inline"
    return response


@operation("GET", f"{VERSION}/lineage", answers={200: LineageDocument})
def show_lineage(call: Call, team: str, name: str, reference: str) -> Answer:
    """What a version was made from, and what was made from it."""
    version = _find(call, team, name, reference)
    return Answer(LineageDocument.of(lineage.around(call.session, version, actor=call.actor)))


@operation("GET", f"{VERSION}/diff", answers={200: DiffDocument})
def diff(call: Call, team: str, name: str, reference: str, query: DiffQuery) -> Answer:
    """What changed from another version to this one.

    The other one is by default the newest that was approved before it.
    """
    version = _find(call, team, name, reference)
    if query.base is None:
        base = approvals.last_approved_before(call.session, version)
    else:
        model, selector = query.split(f"{team}/{name}")
        base = references.get_version(call.session, model, selector, actor=call.actor)
    return Answer(DiffDocument.of(compare.compare(call.session, base, version, actor=call.actor)))


@operation("GET", f"{VERSION}/reports/<step>", answers={200: ReportDocument}, refuses=(Forbidden,))
def report(call: Call, team: str, name: str, reference: str, step: str) -> Answer:
    """Read the report of a check."""
    version = _find(call, team, name, reference)
    found = next((report for report in version.reports if report.step == step), None)
    if found is None:
        done = ", ".join(report.step for report in version.reports) or "none yet"
        raise NotFound(f"version {version.number} has no report of {step}", hint=f"Its reports are: {done}.")
    catalog.require_report(call.session, version.model, step, actor=call.actor)
    return Answer(ReportDocument(**found.body))


@operation(
    "POST",
    f"{VERSION}/submit",
    answers={201: ReviewDocument},
    needs=Permission.SUBMIT,
    refuses=(NotInTeam, WrongStage, Blocked),
)
def submit(call: Call, team: str, name: str, reference: str, body: NewRequest) -> Answer:
    """Ask for release.

    The version freezes, and people decide in the portal, at the review's `url`. Nothing here decides.
    """
    version = _find(call, team, name, reference)
    request = approvals.submit(call.session, version, actor=call.actor, note=body.note, terms=body.terms())
    call.session.flush()
    call.session.expire(request)
    request = approvals.get_request(call.session, request.id, actor=call.actor)
    return Answer(review_document(call.session, request), 201, location=f"/api/v1/reviews/{request.id}")


@operation(
    "POST",
    f"{VERSION}/withdraw",
    answers={200: VersionDocument},
    needs=Permission.SUBMIT,
    refuses=(NotInTeam, WrongStage),
)
def withdraw(call: Call, team: str, name: str, reference: str, body: Withdrawal) -> Answer:
    """Take a request for release back."""
    version = _find(call, team, name, reference)
    request = approvals.open_request_of(call.session, version)
    if request is None:
        raise WrongStage(f"version {version.number} was never submitted", hint="There is nothing to withdraw.")
    approvals.withdraw(call.session, request, actor=call.actor, reason=body.reason)
    call.session.flush()
    return _record(call, team, name, version.number)


@operation(
    "POST",
    f"{VERSION}/retry",
    answers={200: VersionDocument},
    needs=Permission.PUSH,
    refuses=(NotInTeam, WrongStage),
)
def retry(call: Call, team: str, name: str, reference: str, body: Nothing) -> Answer:  # noqa: ARG001 - it declares the body
    """Run the checks of a version again."""
    version = _find(call, team, name, reference)
    versions.retry_checks(call.session, version, actor=call.actor)
    call.session.flush()
    return _record(call, team, name, version.number)
