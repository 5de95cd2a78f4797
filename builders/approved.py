"""What people approved, as a bake needs it: read from the records again, and refused when it is not what was signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from builders import plan, statements
from builders.checks import own_code, sample
from builders.jobs import Job, JobFailed
from formats.lock import Lock, Target
from formats.signature import Signature
from registry import checking, clock, references, rescans
from registry.orm.catalog import RELEASED, ModelVersion
from registry.store import LocalStore
from registry.versions import SAMPLE

MODELS_PATH = f"{plan.ROOT}/models"
SEALED_ROWS = 20
MAX_SAMPLE = 16 << 20


@dataclass(frozen=True)
class Release:
    """An approved version as the bake needs it: read once, no session behind it."""

    version_id: UUID
    ref: str
    model: str
    number: int
    release_digest: str
    lock: Lock
    signature: Signature
    format: str
    artifact: str
    files: dict[str, tuple[str, int]]
    names: list[str]
    answers: dict[str, Any]
    card: dict[str, Any]
    estimator: str
    metrics: tuple[statements.Metric, ...]
    compiled: dict[str, Any] | None
    """Engine, digest and files of the compiled form that the approval binds; None when its own library serves it."""
    own_code: list[dict[str, Any]]
    """The wheels of its own, as their report has them."""

    @property
    def path(self) -> str:
        """Folder in the image."""
        return f"{MODELS_PATH}/{self.model.replace('/', '--')}-{self.number}"

    @property
    def synthetic(self) -> bool:
        """Whether its sample rows may enter the image."""
        return self.card.get("sample_kind") == "synthetic"


def read(job: Job, recipe: dict[str, Any]) -> list[Release]:
    """The recipe's versions, each still approved and still what was approved.

    :raises JobFailed: a version is no longer approved, or its content has another digest than the one signed.
    """
    wanted = {member["version"]: member for route in recipe["routes"] for member in route["members"]}
    found = []
    with job.database.read() as session:
        for version_id, member in wanted.items():
            version = session.get_one(ModelVersion, UUID(version_id), options=references.VERSION_PARTS)
            if version.approved_until is not None and version.approved_until < clock.now():
                raise JobFailed(
                    "not-approved",
                    f"the approval of {member['ref']} has ended",
                    hint="Change the routes, or have it approved again.",
                )
            if version.stage not in RELEASED:
                raise JobFailed(
                    "not-approved",
                    f"{member['ref']} is {version.stage.replace('_', ' ')}",
                    hint="Change the routes, or have it approved.",
                )
            if refusal := rescans.refusal(session, version.id):
                raise JobFailed(
                    "rescan-refused",
                    f"{member['ref']} is no longer accepted by the list of allowed names: {refusal}",
                    hint="Push a version without that name, or take this one out of the routes.",
                )
            digest = checking.recompute(session, version)
            if not digest == version.release_digest == member["release_digest"]:
                raise JobFailed(
                    "digest-mismatch",
                    f"{member['ref']} was approved as {member['release_digest']}, its content is {digest}",
                    hint="Somebody changed the database: compare it with the audit log before anything else.",
                )
            found.append(_release(version, digest))
    return sorted(found, key=lambda release: (release.model, release.number))


def _release(version: ModelVersion, digest: str) -> Release:
    reports = {report.step: report.body for report in version.reports}
    return Release(
        version_id=version.id,
        ref=f"{version.model.full_name}:{version.number}",
        model=version.model.full_name,
        number=version.number,
        release_digest=digest,
        lock=Lock.from_dict(version.lock),
        signature=Signature.from_dict(version.signature),
        format=version.format,
        artifact=version.artifact,
        files={file.path: (file.digest, file.size) for file in version.files},
        names=reports["scan"]["facts"]["globals"],
        answers=reports["predict"]["facts"]["answers"],
        card=version.card_head,
        estimator=reports["introspect"]["facts"]["class"],
        metrics=tuple(statements.Metric(item.name, item.value, item.dataset) for item in version.metrics),
        compiled=checking.compiled_form(reports),
        own_code=own_code.wheels(reports.get("own-code")),
    )


def check_target(releases: Sequence[Release], target: Target) -> None:
    """:raises JobFailed: a version was checked for another target than this worker bakes for."""
    for release in releases:
        if release.lock.target != target:
            raise JobFailed(
                "other-target",
                f"{release.ref} was checked for {_say(release.lock.target)}, this worker bakes for {_say(target)}",
                hint="Run a worker for that target, or push the version again.",
            )


def _say(target: Target) -> str:
    return f"{target.os} {target.arch} {target.libc} Python {target.python}"


def rows(release: Release, store: LocalStore, *, most: int | None = SEALED_ROWS) -> dict[str, Any]:
    """The first sample rows with their approved answers, and the columns' order, which canonical JSON does not keep."""
    data = store.read(release.files[SAMPLE][0], limit=MAX_SAMPLE)
    given = sample.read(data).rows[:most]  # as the check read them
    answers = {name: values[: len(given)] for name, values in release.answers.items()}
    return {"rows": given, "answers": answers, "columns": list(given[0])}


def rows_from_outside(releases: Sequence[Release], store: LocalStore, *, every: bool) -> dict[str, Any]:
    """Rows that the smoke test feeds: every one of every version, or those of versions whose sample may not enter the image."""
    if every:
        return {release.ref: rows(release, store, most=None) for release in releases}
    return {release.ref: rows(release, store) for release in releases if not release.synthetic}
