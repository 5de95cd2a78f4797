"""Reading one version whole: the most frequent question, answered in three statements however much there is to tell.

Services that change a version load it with :func:`registry.references.get_version`; this is for answering readers.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Float,
    Select,
    Text,
    bindparam,
    cast,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from registry import access, accounts, catalog, jobs, references
from registry.access import Actor, Permission
from registry.errors import NotFound
from registry.orm.approval import ReleaseRequest, RequestState
from registry.orm.catalog import (
    Alias,
    CheckReport,
    Metric,
    ModelVersion,
    RegisteredModel,
    Stage,
    VersionFile,
    VersionTag,
    Visibility,
)
from registry.orm.job import Job, JobState


@dataclass(frozen=True)
class FileTold:
    """A file; ``size`` in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class MetricTold:
    """A number, and who says so."""

    name: str
    value: float
    dataset: str
    higher_is_better: bool | None
    declared_by: str
    measured: bool


@dataclass(frozen=True)
class CheckTold:
    """How a check step ended; its report is not loaded."""

    step: str
    outcome: str
    summary: str
    isolation: str
    digest: str


@dataclass(frozen=True)
class ModelTold:
    """Which model."""

    id: UUID
    full_name: str
    visibility: Visibility
    team_id: UUID


@dataclass(frozen=True)
class VersionTold:
    """The version itself, without card text, lock and environment: they can be large. ``size`` in bytes."""

    id: UUID
    number: int
    label: str
    stage: Stage
    stage_since: datetime
    format: str
    size: int
    artifact_digest: str
    release_digest: str | None
    card_head: dict[str, Any]
    params: dict[str, Any]
    signature: dict[str, Any] | None
    approved_until: datetime | None
    author: str
    uploader: str
    created_at: datetime


@dataclass(frozen=True)
class RequestTold:
    """A request for its release."""

    id: UUID
    state: RequestState
    closed_at: datetime | None


@dataclass(frozen=True)
class JobTold:
    """Its check."""

    id: UUID
    kind: str
    state: JobState
    error: dict[str, Any] | None


@dataclass(frozen=True)
class VersionRecord:
    """A version with everything that is told of it."""

    version: VersionTold
    model: ModelTold
    request: RequestTold | None
    """The newest, open or not."""
    job: JobTold | None
    files: Sequence[FileTold]
    metrics: Sequence[MetricTold]
    tags: Mapping[str, str]
    aliases: Sequence[str]
    checks: Sequence[CheckTold]
    names: Mapping[str, str]
    """Readable name of every actor that the record mentions."""


def read_version(session: Session, full_name: str, reference: str | int, *, actor: Actor) -> VersionRecord:
    """A version by the references of :func:`registry.references.get_version`, with its errors."""
    access.require(actor, Permission.READ)
    kind, value = references.reference_kind(str(reference))
    # Beside the session's own statements: nothing is changed here, so no row need be kept in it.
    connection = session.connection()
    found = connection.execute(_VERSION[kind], {"full_name": full_name, "reference": value}).one_or_none()
    model = ModelTold(*found[_OF_MODEL]) if found else None
    if found is None or model is None or not catalog.may_see(model, actor=actor):
        references.get_version(session, full_name, reference, actor=actor)  # knows in which words to refuse
        raise NotFound(f"{full_name} has no version {reference}")
    version = VersionTold(*found[_OF_VERSION])
    parts: dict[str, list[Any]] = {part: [] for part in ("file", "metric", "tag", "alias", "check")}
    for row in connection.execute(_PARTS, {"version_id": version.id}):
        parts[row.part].append(row)
    for part, rows in parts.items():
        rows.sort(key=lambda row: row.count if part == "check" else row.name)
    metrics = [MetricTold(m.name, m.value, m.text0, m.flag0, m.text1, m.flag1) for m in parts["metric"]]
    return VersionRecord(
        version=version,
        model=model,
        request=RequestTold(*found[_OF_REQUEST]) if found.request_id else None,
        job=JobTold(*found[_OF_JOB]) if found.job_id else None,
        files=[FileTold(file.name, file.text0, file.count) for file in parts["file"]],
        metrics=metrics,
        tags={tag.name: tag.text0 for tag in parts["tag"]},
        aliases=[alias.name for alias in parts["alias"]],
        checks=[CheckTold(c.name, c.text0, c.text1, c.text2, c.text3) for c in parts["check"]],
        names=accounts.display_names(session, {version.author, version.uploader, *(m.declared_by for m in metrics)}),
    )


def told_of(session: Session, version: ModelVersion, *, actor: Actor) -> VersionRecord:
    """The record of a version that ``actor`` has just registered, from what is in memory: all its parts are loaded."""
    mentioned = {version.author, version.uploader, *(metric.declared_by for metric in version.metrics)}
    alone = mentioned == {actor.ref} and actor.person_id is not None
    job = jobs.queued_here(session, version.id)
    return VersionRecord(
        version=VersionTold(**{field.name: getattr(version, field.name) for field in fields(VersionTold)}),
        model=ModelTold(**{field.name: getattr(version.model, field.name) for field in fields(ModelTold)}),
        request=None,
        job=JobTold(job.id, job.kind, job.state, job.error) if job else None,
        files=sorted((FileTold(f.path, f.digest, f.size) for f in version.files), key=lambda file: file.path),
        metrics=sorted(
            (
                MetricTold(m.name, m.value, m.dataset, m.higher_is_better, m.declared_by, m.measured)
                for m in version.metrics
            ),
            key=lambda metric: metric.name,
        ),
        tags={tag.key: tag.value for tag in sorted(version.tags, key=lambda tag: tag.key)},
        aliases=[],
        checks=[],
        names={actor.ref: actor.name} if alone else accounts.display_names(session, mentioned),
    )


# ----------------------------------------------------------------------------------------------- the statements


_COLUMNS_OF_VERSION = [getattr(ModelVersion, field.name) for field in fields(VersionTold)]
_COLUMNS_OF_MODEL = [getattr(RegisteredModel, field.name) for field in fields(ModelTold)]
_COLUMNS_OF_REQUEST = [ReleaseRequest.id.label("request_id"), ReleaseRequest.state, ReleaseRequest.closed_at]
_COLUMNS_OF_JOB = [Job.id.label("job_id"), Job.kind, Job.state, Job.error]
_COLUMNS = (_COLUMNS_OF_VERSION, _COLUMNS_OF_MODEL, _COLUMNS_OF_REQUEST, _COLUMNS_OF_JOB)
_ENDS = (0, *itertools.accumulate(len(columns) for columns in _COLUMNS))
_OF_VERSION, _OF_MODEL, _OF_REQUEST, _OF_JOB = itertools.starmap(slice, itertools.pairwise(_ENDS))
"""Where in a row of the statement each part is."""


def _version_by(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Version, model, newest request and check; made once, because making it costs as much as running it."""
    newest = select(ReleaseRequest.id).where(ReleaseRequest.version_id == ModelVersion.id)
    newest = newest.order_by(ReleaseRequest.id.desc()).limit(1).correlate(ModelVersion)
    return (
        select(*itertools.chain.from_iterable(_COLUMNS))
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .outerjoin(ReleaseRequest, ReleaseRequest.id == newest.scalar_subquery())
        .outerjoin(Job, Job.subject_id == ModelVersion.id)
        .where(RegisteredModel.full_name == bindparam("full_name"), condition)
        .order_by(ModelVersion.number.desc())
        .limit(1)
    )


_VERSION = {kind: _version_by(condition) for kind, condition in references.REFERENCES.items()}


def _part(
    part: str,
    table: type[Any],
    name: Any,
    *texts: Any,
    count: Any = None,
    value: Any = None,
    flags: Sequence[Any] = (),
) -> Select[*tuple[Any, ...]]:
    """One kind of part, in the columns that all of them share."""
    all_texts = [*texts, *[null()] * (4 - len(texts))]
    all_flags = [*flags, *[null()] * (2 - len(flags))]
    return select(
        literal(part).label("part"),
        cast(name, Text).label("name"),
        *(cast(text, Text).label(f"text{place}") for place, text in enumerate(all_texts)),
        cast(null() if count is None else count, BigInteger).label("count"),
        cast(null() if value is None else value, Float(53)).label("value"),
        *(cast(flag, Boolean).label(f"flag{place}") for place, flag in enumerate(all_flags)),
    ).where(table.version_id == bindparam("version_id"))


_PARTS = union_all(
    _part("file", VersionFile, VersionFile.path, VersionFile.digest, count=VersionFile.size),
    _part(
        *("metric", Metric, Metric.name, Metric.dataset, Metric.declared_by),
        value=Metric.value,
        flags=[Metric.higher_is_better, Metric.measured],
    ),
    _part("tag", VersionTag, VersionTag.key, VersionTag.value),
    _part("alias", Alias, Alias.name),
    _part(
        *("check", CheckReport, CheckReport.step),
        *(CheckReport.outcome, CheckReport.summary, CheckReport.isolation, CheckReport.digest),
        count=CheckReport.position,
    ),
)
