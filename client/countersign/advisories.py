"""What the server tells of known vulnerabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from countersign.models import Record


@dataclass(frozen=True, kw_only=True)
class AdvisoryBundle(Record):
    """A file of known vulnerabilities that was sent: `queued`, `done` or `refused`, and then ``error`` says why."""

    digest: str
    state: str = ""
    in_force: bool = False
    records: int | None = None
    newest_at: str | None = None
    stale_at: str | None = None
    error: Mapping[str, Any] | None = None
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Advisory(Record):
    """A known vulnerability in a library that a lock or an image holds."""

    id: str
    summary: str = ""
    severity: str = ""
    packages: tuple[str, ...] = ()
    versions: int = 0
    images: int = 0
    current_images: int = 0
    blocks: bool = False
    waiver: Mapping[str, Any] | None = None
    in_versions: tuple[Mapping[str, Any], ...] = ()
    in_images: tuple[Mapping[str, Any], ...] = ()
    url: str = ""
