"""Platforms that images stand on, changes of them, and the waves that move the images: ``client.platform``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from countersign.models import Record
from countersign.speaking import V1, Speaker, as_json

_CHANGES = f"{V1}/platform-changes"


@dataclass(frozen=True, kw_only=True)
class Platform(Record):
    """A base, a serving runtime and a serving code that some worker can bake with."""

    digest: str
    in_force: bool = False
    base: str = ""
    wheels: Mapping[str, str] | None = None
    offered_by: str = ""
    offered_at: str = ""


@dataclass(frozen=True, kw_only=True)
class PlatformChange(Record):
    """A change that is proposed, whose wave runs or is paused, or that has ended; ``outcomes`` counts its images."""

    id: str
    state: str = ""
    platform: str = ""
    replaces: str = ""
    reason: str = ""
    images: int = 0
    outcomes: Mapping[str, int] | None = None
    differences: tuple[Mapping[str, Any], ...] = ()
    gates: tuple[Mapping[str, Any], ...] = ()
    decisions: tuple[Mapping[str, Any], ...] = ()
    proposed_by: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Move(Record):
    """One image of a change's list; ``outcome`` is waiting, queued, equal, not_equal, failed or overtaken."""

    image_digest: str
    bundle: str = ""
    outcome: str = ""
    summary: str | None = None
    error: Mapping[str, Any] | None = None
    new_image_digest: str | None = None


class Platforms(Speaker):
    """What a program does with platforms. Signing a change takes a person in the portal."""

    def list(self) -> list[Platform]:
        """What workers can bake on, newest first."""
        return [Platform.from_wire(item) for item in self._get(f"{V1}/platforms")["items"]]

    def changes(self) -> Iterator[PlatformChange]:
        """Changes, newest first, fetched page by page."""
        return (PlatformChange.from_wire(item) for item in self._pages(_CHANGES, {}))

    def change(self, change_id: str) -> PlatformChange:
        """One, with what differs and who signed."""
        return PlatformChange.from_wire(self._get(_path(change_id)))

    def images(self, change_id: str, outcome: str | None = None) -> Iterator[Move]:
        """The images of a change in their order, or those with one outcome."""
        found = self._pages(f"{_path(change_id)}/images", {"outcome": outcome})
        return (Move.from_wire(item) for item in found)

    def propose(self, digest: str, reason: str) -> PlatformChange:
        """Propose a platform for all images in front that do not stand on it. The token needs the scope `platform`."""
        return PlatformChange.from_wire(as_json(self._post(_CHANGES, {"platform": digest, "reason": reason})))

    def withdraw(self, change_id: str) -> PlatformChange:
        """Take a proposal back."""
        return self._act(change_id, "withdraw")

    def pause(self, change_id: str) -> PlatformChange:
        """Hold a wave: what is being baked ends, nothing more begins."""
        return self._act(change_id, "pause")

    def resume(self, change_id: str) -> PlatformChange:
        """Let a paused wave go on."""
        return self._act(change_id, "resume")

    def retry(self, change_id: str, image_digest: str) -> Move:
        """Have an image tried again that was left behind."""
        path = f"{_path(change_id)}/images/{quote(image_digest, safe='')}/retry"
        return Move.from_wire(as_json(self._post(path, {})))

    def _act(self, change_id: str, act: str) -> PlatformChange:
        return PlatformChange.from_wire(as_json(self._post(f"{_path(change_id)}/{act}", {})))


def _path(change_id: str) -> str:
    return f"{_CHANGES}/{quote(change_id, safe='')}"
