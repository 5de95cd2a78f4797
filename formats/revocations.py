"""Revocation list: the releases and images that must not run any more, sealed like a manifest. Servers read it from a mounted file.

    {"schema": "countersign.revocations/1", "issued_at": "2026-03-04T09:30:00Z",
     "revoked": [{"kind": "release", "digest": "sha256:...", "name": "payments/voice:2", "revoked_at": "2026-03-04T09:29:10Z"}]}

A list is whole: it names everything that is revoked, and replaces the one before it. `issued_at` orders lists, so that an
old one cannot take the place of a newer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from . import keys, seals
from .shapes import Node

SCHEMA = "countersign.revocations/1"
PAYLOAD_TYPE = "application/vnd.countersign.revocations+json"
KINDS = ("release", "image")
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One thing that was revoked. ``digest``: a release digest or an image digest, as ``kind`` says; ``name`` is for people."""

    kind: str
    digest: str
    name: str
    revoked_at: str

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "digest": self.digest, "name": self.name, "revoked_at": self.revoked_at}


@dataclass(frozen=True, slots=True)
class Revocations:
    """Everything that is revoked, as of ``issued_at`` (RFC 3339 in UTC, whole seconds: such times sort as text)."""

    issued_at: str
    revoked: tuple[Revocation, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "issued_at": self.issued_at,
            "revoked": [entry.to_dict() for entry in self.revoked],
        }

    @classmethod
    def from_dict(cls, value: Any) -> "Revocations":
        """:raises ShapeError: not of this version of the format; names the place."""
        node = Node(value)
        node.schema(SCHEMA)
        fields = node.fields(("schema", "issued_at", "revoked"))
        return cls(_time(fields["issued_at"]), tuple(_revocation(item) for item in fields["revoked"].items()))

    def digests(self, kind: str) -> Collection[str]:
        """Those revoked of one kind."""
        return {entry.digest for entry in self.revoked if entry.kind == kind}


def seal(revocations: Revocations, signer: keys.Signer) -> bytes:
    """The list as the bytes of a file that servers take.

    :raises ShapeError: ``revocations`` would not be readable again.
    """
    Revocations.from_dict(revocations.to_dict())
    return seals.seal(revocations.to_dict(), PAYLOAD_TYPE, signer)


def open_sealed(data: bytes, fingerprint: str) -> Revocations:
    """Check the seal, then read the list.

    :param fingerprint: of the key that must have signed it.
    :raises seals.BadSeal: not signed, changed, or signed by another key.
    :raises ShapeError: the seal holds, and the list is not of this version of the format.
    """
    hint = "wrong list, or the setting names another key"
    value, _ = seals.open_sealed(data, PAYLOAD_TYPE, fingerprint, what="the revocation list", hint=hint)
    return Revocations.from_dict(value)


def _revocation(node: Node) -> Revocation:
    fields = node.fields(("kind", "digest", "name", "revoked_at"))
    return Revocation(
        fields["kind"].one_of(KINDS), fields["digest"].digest(), fields["name"].text(), _time(fields["revoked_at"])
    )


def _time(node: Node) -> str:
    return node.text(_TIME, "a time in UTC such as 2026-03-04T09:30:00Z")
