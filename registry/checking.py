"""What the checks found: reports stored, the release digest computed, the version ready or failed."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from formats import canonical, release
from registry import advisories, audit, locking, schemas, versions
from registry.access import SYSTEM
from registry.errors import WrongStage
from registry.orm.catalog import CheckReport, ModelVersion, Stage

STEPS = ("scan", "lock", "introspect", "predict", "compile", "parity")
"""The check steps of every version, in the order they run."""
OWN_CODE = "own-code"
"""The step before them, of a version that brings code of its own."""
ORDER = (OWN_CODE, *STEPS)
"""The order in which reports enter the release digest."""


def pass_checks(
    session: Session,
    version: ModelVersion,
    reports: Sequence[dict[str, Any]],
    *,
    lock: dict[str, Any],
    signature: dict[str, Any],
) -> str:
    """All steps passed: store them, compute the release digest, make the version ready; returns the digest.

    :raises WrongStage: the version is not being checked.
    """
    _require_checking(session, version)
    _store(session, version, reports)
    version.lock, version.signature = lock, signature
    version.release_digest = release_digest(version, {report["step"]: report for report in reports})
    versions.move(version, Stage.READY)
    advisories.note_version(session, version)
    audit.record(session, audit.Action.VERSION_CHECKED, actor=SYSTEM, subject=version, digest=version.release_digest)
    return version.release_digest


def fail_checks(
    session: Session, version: ModelVersion, reports: Sequence[dict[str, Any]], *, error: dict[str, str] | None = None
) -> None:
    """A step failed, or could not be run at all (``error``): keep what was found.

    :raises WrongStage: the version is not being checked.
    """
    _require_checking(session, version)
    _store(session, version, reports)
    versions.move(version, Stage.CHECK_FAILED)
    failed = next((report["step"] for report in reports if report["outcome"] == "failed"), None)
    audit.record(session, audit.Action.VERSION_CHECK_FAILED, actor=SYSTEM, subject=version, step=failed, error=error)


def _require_checking(session: Session, version: ModelVersion) -> None:
    """A frozen version must not thaw because a worker comes late: from review, too, an edge leads to ready."""
    locking.lock(session, version)
    if version.stage is not Stage.CHECKING:
        raise WrongStage(f"version {version.number} is {version.stage}, not being checked", hint="Drop the result.")


def release_digest(version: ModelVersion, reports: Mapping[str, dict[str, Any]]) -> str:
    """The digest over everything that decides what will run.

    :param reports: the report of each step; that of parity names the compiled form. Versions checked before there were the
        steps compile and parity have no report of them, and keep the digest that was approved.
    """
    compiled = compiled_form(reports)
    document = release.build(
        artifacts=version.artifact_digest,
        lock=canonical.digest(version.lock),
        card=release.card_digest(version.card.encode()),
        signature=canonical.digest(version.signature),
        reports=[(step, canonical.digest(reports[step])) for step in ORDER if step in reports],
        compiled=compiled["digest"] if compiled else None,
    )
    return release.digest(document)


def compiled_form(reports: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Engine, digest and files of the compiled form that the parity report found equal, where there is one."""
    parity = reports.get("parity")
    form: dict[str, Any] | None = parity["facts"]["compiled"] if parity else None
    return form


def recompute(session: Session, version: ModelVersion) -> str:
    """The release digest from what is stored now: the bake compares it with what was approved."""
    stored = session.scalars(select(CheckReport).where(CheckReport.version_id == version.id)).all()
    return release_digest(version, {report.step: report.body for report in stored})


def _store(session: Session, version: ModelVersion, reports: Sequence[dict[str, Any]]) -> None:
    fresh = {report["step"] for report in reports}
    for old in session.scalars(select(CheckReport).where(CheckReport.version_id == version.id)):
        if old.step not in fresh:
            session.delete(old)
    for report in reports:
        schemas.check("report", report, what=f"the report of {report.get('step')}")
        row = session.get(CheckReport, (version.id, report["step"])) or CheckReport(
            version_id=version.id, step=report["step"]
        )
        row.position = ORDER.index(report["step"])
        row.outcome, row.isolation, row.summary = report["outcome"], report["isolation"], report["summary"]
        row.body, row.digest = report, canonical.digest(report)
        session.add(row)
