"""Advisories and their bundles as JSON."""

from typing import Any, Literal

from portal.api.documents.base import Digest, Document, FullName, Link, Moment, Page, page
from registry.advisories import Standing
from registry.orm.advisory import AdvisoryBundle, Waiver
from registry.orm.catalog import ModelVersion
from registry.orm.image import Image
from registry.recall import Item

Word = Literal["unrated", "low", "medium", "high", "critical"]


class AdvisoryBundleDocument(Document):
    """A file of advisories that was sent."""

    digest: Digest
    size: int
    state: Literal["queued", "done", "refused"]
    in_force: bool
    """Whether it is the one that counts."""
    records: int | None
    """Advisories in it that are not withdrawn."""
    newest_at: Moment | None
    """When its newest record was last changed."""
    stale_at: Moment | None
    """From then on it calls nothing clean."""
    error: dict[str, Any] | None
    """Why it was refused: `code`, `message` and `hint`. Faulty records are named."""
    sent_at: Moment
    imported_at: Moment | None
    url: Link

    @classmethod
    def of(cls, row: AdvisoryBundle, current: AdvisoryBundle | None) -> "AdvisoryBundleDocument":
        """From a row, and the one in force."""
        return cls(
            digest=row.digest,
            size=row.size,
            state=row.state.value,
            in_force=current is not None and current.id == row.id,
            records=row.records,
            newest_at=row.newest_at,
            stale_at=row.stale_at if row.newest_at else None,
            error=row.error,
            sent_at=row.created_at,
            imported_at=row.imported_at,
            url=page("/advisories/imports"),
        )


class AdvisoryBundlePage(Page[AdvisoryBundleDocument]):
    """Bundles, newest first."""


class WaiverDocument(Document):
    """Why an advisory may stand, who answers for it, and until when."""

    owner: str
    reason: str
    expires_at: Moment

    @classmethod
    def of(cls, row: Waiver) -> "WaiverDocument":
        """From a row with its owner."""
        return cls(owner=row.owner.username, reason=row.reason, expires_at=row.expires_at)


class StandingDocument(Document):
    """How the exact libraries of a version or an image stand against the advisories in force."""

    state: Literal["clean", "vulnerable", "stale", "unknown"]
    blocking: list[str]
    """Advisories at or above the limit that are not waived."""
    open: list[str]
    """All that are not waived."""
    waived: list[str]

    @classmethod
    def of(cls, standing: Standing) -> "StandingDocument":
        """From what was worked out."""
        return cls(
            state=standing.state,
            blocking=sorted({known.id for known in standing.blocking}),
            open=sorted({known.id for known in standing.open}),
            waived=sorted({known.id for known in standing.known if known.waiver is not None}),
        )


class AdvisorySummary(Document):
    """A known vulnerability in something that is held here."""

    id: str
    aliases: list[str]
    summary: str
    severity: Word
    score: float | None
    """Highest CVSS base score that its records give."""
    packages: list[str]
    """Affected libraries in the versions that locks and images hold, `pillow 9.0.0`."""
    versions: int
    """Model versions whose lock holds one, of those you may see."""
    images: int
    """Images that hold one, of those you may see."""
    current_images: int
    """Of these, how many are some bundle's current one."""
    blocks: bool
    """Whether it blocks approvals: as bad as the limit or worse, and not waived."""
    waiver: WaiverDocument | None
    """In force now."""
    found_at: Moment | None
    url: Link


class HeldVersion(Document):
    """A model version whose lock holds an affected library."""

    ref: str
    stage: str


class HeldImage(Document):
    """An image that holds an affected library."""

    digest: Digest
    bundle: FullName
    team: str
    """Who owns the bundle."""
    current: bool


class AdvisoryDocument(AdvisorySummary):
    """A known vulnerability with the newest 200 versions and images it is about."""

    in_versions: list[HeldVersion]
    in_images: list[HeldImage]


class AdvisoryPage(Page[AdvisorySummary]):
    """Advisories about what is held here, worst first."""


def advisory_summary(item: Item) -> AdvisorySummary:
    """From an item of the list."""
    return AdvisorySummary(**_common(item))


def advisory_document(item: Item, versions: list[ModelVersion], images: list[Image]) -> AdvisoryDocument:
    """From an item, versions with their models, images with bundle and team."""
    return AdvisoryDocument(
        **_common(item),
        in_versions=[
            HeldVersion(ref=f"{version.model.full_name}:{version.number}", stage=version.stage.value)
            for version in versions
        ],
        in_images=[
            HeldImage(
                digest=image.digest,
                bundle=image.bundle.full_name,
                team=image.bundle.team.slug,
                current=image.bundle.current_image_id == image.id,
            )
            for image in images
        ],
    )


def _common(item: Item) -> dict[str, Any]:
    advisory = item.advisory
    return {
        "id": advisory.id,
        "aliases": advisory.aliases,
        "summary": advisory.summary,
        "severity": item.severity.word,
        "score": advisory.score,
        "packages": item.wheels,
        "versions": item.versions,
        "images": item.images,
        "current_images": item.current,
        "blocks": item.blocks,
        "waiver": WaiverDocument.of(item.waiver) if item.waiver else None,
        "found_at": item.found_at,
        "url": page(f"/advisories/{advisory.id}"),
    }
