"""Versions as JSON: what is told of one."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from portal.api.documents.base import Described, Digest, Document, FullName, Link, Moment, Page, name_of, page
from registry import wording
from registry.orm.catalog import ModelVersion
from registry.reading import VersionRecord, VersionTold


class FileDocument(Document):
    """A file of a version."""

    path: str
    digest: Digest
    size: int
    """Bytes."""


class MetricDocument(Document):
    """A number about a version, and who says so."""

    name: str
    value: float
    dataset: str | None
    higher_is_better: bool | None
    declared_by: str
    measured: bool
    """Whether Countersign measured it itself, in the sandbox, on a registered evaluation set."""


class CheckDocument(Document):
    """One step of the checks; its report is at `reports/{step}`."""

    step: str
    outcome: Literal["passed", "failed"]
    summary: str
    isolation: Literal["none", "process", "container"]
    digest: Digest


class JobBrief(Document):
    """The check of a version."""

    id: str
    kind: str
    state: str


class RequestBrief(Document):
    """The newest request for release."""

    id: str
    state: str


class VersionSummary(Document):
    """A version as lists show it."""

    ref: str
    """`team/model:3`."""
    model: FullName
    number: int
    label: str | None
    """Free text such as 1.4.0."""
    stage: str
    status: str
    """How it stands, in one sentence."""
    artifact_digest: Digest
    release_digest: Digest | None
    """Over everything that decides what will run; null until the checks have passed."""
    format: str
    size: int
    """Bytes of all files."""
    metrics: list[MetricDocument]
    aliases: list[str]
    author: str
    created_at: Moment
    url: Link


class VersionDocument(VersionSummary):
    """One version with everything that is told of it."""

    next_step: str
    """What its owner does next."""
    files: list[FileDocument]
    card: dict[str, Any]
    """The YAML head of the card; the text is at `card`."""
    params: dict[str, Any]
    tags: dict[str, str]
    signature: dict[str, Any] | None
    """Tensor schema; null until the checks have passed."""
    checks: list[CheckDocument]
    job: JobBrief | None
    request: RequestBrief | None
    uploaded_by: str


class VersionPage(Page[VersionSummary]):
    """Versions, newest first."""


def summary(version: ModelVersion, names: Mapping[str, str]) -> VersionSummary:
    """A row of a list."""
    metrics = [
        {
            "name": metric.name,
            "value": metric.value,
            "dataset": metric.dataset,
            "higher_is_better": metric.higher_is_better,
            "declared_by": metric.declared_by,
            "measured": metric.measured,
        }
        for metric in version.metrics
    ]
    aliases = [alias.name for alias in version.aliases]
    status = wording.status_sentence(version, None, None)
    return VersionSummary(**_common(version, version.model.full_name, names, metrics, aliases, status))


def document(record: VersionRecord) -> VersionDocument:
    """A version whole."""
    version, job, request = record.version, record.job, record.request
    status = wording.status_sentence(version, request, job)
    metrics = [vars(metric) for metric in record.metrics]
    return VersionDocument(
        **_common(version, record.model.full_name, record.names, metrics, record.aliases, status),
        next_step=wording.next_step(version, request, job),
        files=[FileDocument(**vars(file)) for file in record.files],
        card=version.card_head,
        params=version.params,
        tags=dict(record.tags),
        signature=version.signature,
        checks=[CheckDocument(**vars(check)) for check in record.checks],
        job=JobBrief(id=str(job.id), kind=job.kind, state=job.state) if job else None,
        request=RequestBrief(id=str(request.id), state=request.state) if request else None,
        uploaded_by=name_of(record.names, version.uploader),
    )


def _common(
    version: ModelVersion | VersionTold,
    full_name: str,
    names: Mapping[str, str],
    metrics: list[dict[str, Any]],
    aliases: Any,
    status: str,
) -> dict[str, Any]:
    return {
        "ref": f"{full_name}:{version.number}",
        "model": full_name,
        "number": version.number,
        "label": version.label or None,
        "stage": version.stage.value,
        "status": status,
        "artifact_digest": version.artifact_digest,
        "release_digest": version.release_digest,
        "format": version.format,
        "size": version.size,
        "metrics": [
            {
                **metric,
                "dataset": metric["dataset"] or None,
                "declared_by": name_of(names, metric["declared_by"]),
            }
            for metric in metrics
        ],
        "aliases": list(aliases),
        "author": name_of(names, version.author),
        "created_at": version.created_at,
        "url": page(f"/models/{full_name}/versions/{version.number}"),
    }


class DiffQuery(Described):
    """What to compare with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Annotated[str, Field(min_length=1, max_length=210)] | None = None
    """A version of the same model as in the path, or `team/model:3` or `team/model@sha256:...` of another."""

    def split(self, model: str) -> tuple[str, str]:
        """Model and reference of the base, where ``model`` is what a bare reference is of."""
        base = self.base or ""
        if "/" not in base:
            return model, base
        name, separator, reference = base.partition("@" if "@" in base else ":")
        return name, reference if separator else "approved"


class ReportDocument(Document):
    """What a check step found (countersign.report/1)."""

    model_config = ConfigDict(extra="allow")

    step: str
    outcome: Literal["passed", "failed"]
    isolation: Literal["none", "process", "container"]
    summary: str
    findings: list[dict[str, Any]]
    facts: dict[str, Any]
