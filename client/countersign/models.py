"""What the server answers, as frozen dataclasses. A field this client does not know yet is kept in ``extra``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from countersign.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from countersign.client import Client
    from countersign.progress import OnProgress

APPROVED_STAGES = frozenset({"approved", "approved_with_conditions"})
UNCHECKED_STAGES = frozenset({"draft", "checking"})
FINAL_BUILD_STATES = frozenset({"done", "failed", "blocked"})
FINAL_REBUILD_STATES = frozenset({"equal", "differs", "failed"})


def _each(kind: type["Record"]) -> Any:
    return field(default=(), metadata={"each": kind})


@dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object of the API: known members as attributes, the others in ``extra``, all of it as sent in ``wire``."""

    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    wire: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_wire(cls, data: Any) -> Self:
        """:raises UnexpectedAnswer: ``data`` is not an object, or lacks a member this class cannot do without."""
        if not isinstance(data, Mapping):
            raise UnexpectedAnswer(
                f"the server's {cls.__name__.lower()} is not an object",
                hint="Run `countersign doctor` to compare versions.",
            )
        rest = dict(data)
        known: dict[str, Any] = {}
        for member in fields(cls):
            if member.name in rest and not member.metadata.get("local") and member.name not in {"extra", "wire"}:
                known[member.name] = _decode(rest.pop(member.name), member.metadata)
        try:
            return cls(**{name: value for name, value in known.items() if value is not None}, extra=rest, wire=data)
        except TypeError as error:
            raise UnexpectedAnswer(
                f"the server's {cls.__name__.lower()} is not complete: {str(error).partition(')')[2].strip()}",
                hint="Run `countersign doctor` to compare versions.",
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object as the server sent it: what was not told is not there."""
        return dict(self.wire)


@dataclass(frozen=True, kw_only=True)
class Target(Record):
    """A platform the server bakes for."""

    os: str = ""
    arch: str = ""
    libc: str = ""
    python: str = ""


@dataclass(frozen=True, kw_only=True)
class Server(Record):
    """What a server says about itself before anybody signs in."""

    api: str
    version: str = ""
    client_minimum: str = "0"
    max_upload_bytes: int | None = None
    targets: tuple[Target, ...] = _each(Target)
    formats: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Token(Record):
    """An API token; ``token``, the secret itself, only in the answer that created it."""

    id: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Identity(Record):
    """Whom the token speaks for. ``actor`` is `person:<id>` or `service:<id>`."""

    actor: str
    name: str = ""
    kind: str = ""
    teams: tuple[Any, ...] = ()
    roles: tuple[str, ...] = ()
    token: Token | None = field(default=None, metadata={"one": Token})


@dataclass(frozen=True, kw_only=True)
class Model(Record):
    """A registered model, `team/name`. ``latest`` and ``approved`` are version numbers."""

    name: str
    team: str = ""
    owner: str | None = None
    contact: str = ""
    purpose: str = ""
    task: str = ""
    visibility: str = ""
    latest: int | None = None
    approved: int | None = None
    updated_at: str | None = None
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class File(Record):
    """One stored file of a version; ``size`` in bytes."""

    path: str
    digest: str
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Metric(Record):
    """A number about a version, and who says so. ``measured`` means Countersign computed it itself."""

    name: str
    value: float
    dataset: str | None = None
    higher_is_better: bool | None = None
    declared_by: str | None = None
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class Check(Record):
    """One step of the server's checks; its full report is behind `Client.report`."""

    step: str
    outcome: str
    summary: str = ""
    isolation: str = ""
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Edge(Record):
    """A line of the lineage. ``ref`` is the far end: a dataset, a commit, a run or a version."""

    relation: str
    kind: str
    ref: str
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Version(Record):
    """One version of a model. ``is_new`` is set by a push: False when the same content was there already."""

    ref: str
    model: str
    number: int
    label: str | None = None
    stage: str = ""
    status: str = ""
    artifact_digest: str = ""
    release_digest: str | None = None
    format: str = ""
    size: int = 0
    files: tuple[File, ...] = _each(File)
    card: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = _each(Metric)
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    signature: Mapping[str, Any] | None = None
    checks: tuple[Check, ...] = _each(Check)
    job: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = None
    author: str | None = None
    uploaded_by: str | None = None
    created_at: str | None = None
    url: str = ""
    is_new: bool | None = field(default=None, compare=False, metadata={"local": True})
    client: "Client | None" = field(default=None, repr=False, compare=False, metadata={"local": True})

    @property
    def is_approved(self) -> bool:
        return self.stage in APPROVED_STAGES

    def refresh(self) -> "Version":
        """The same version as it is now."""
        return self._client.get(self.ref)

    def wait(self, until: str = "ready", *, timeout: float = 600.0) -> "Version":
        """See `Client.wait`."""
        return self._client.wait(self.ref, until, timeout=timeout)

    def download(
        self, folder: str | Path, *, allow_unapproved: bool = False, on_progress: "OnProgress | None" = None
    ) -> Path:
        """See `Client.download`."""
        return self._client.download(
            self.ref, folder, allow_unapproved=allow_unapproved, on_progress=on_progress
        ).folder

    def diff(self, base: str | None = None) -> "Diff":
        """See `Client.diff`."""
        return self._client.diff(self.ref, base)

    def submit(self, note: str, **options: Any) -> "Review":
        """See `Client.submit`."""
        return self._client.submit(self.ref, note, **options)

    def bound(self, client: "Client", *, is_new: bool | None = None) -> "Version":
        """A copy whose methods ask ``client``."""
        return replace(self, client=client, is_new=is_new)

    @property
    def _client(self) -> "Client":
        if self.client is None:
            raise UnexpectedAnswer(f"{self.ref} was not read through a Client", hint="Use client.get(...).")
        return self.client


@dataclass(frozen=True, kw_only=True)
class Change(Record):
    """One difference: where it is, and what stands there in the base and in the other version."""

    section: str
    path: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True, kw_only=True)
class Diff(Record):
    """What changed from ``base`` to ``ref``; no ``changes`` means the two would run the same.

    :param compatibility: for callers of ``base``: `unchanged`, `backward`, `forward` or `breaking`; of the last two,
        ``breaks`` say why.
    """

    ref: str
    base: str | None = None
    compatibility: str | None = None
    breaks: tuple[str, ...] = ()
    changes: tuple[Change, ...] = _each(Change)


@dataclass(frozen=True, kw_only=True)
class Lineage(Record):
    """``edges`` lead to what the version was made from, ``used_by`` to what was made from it."""

    edges: tuple[Edge, ...] = _each(Edge)
    used_by: tuple[Edge, ...] = _each(Edge)


@dataclass(frozen=True, kw_only=True)
class Gate(Record):
    """One rule of the policy: `ok`, `wait` or `stop`, and why."""

    code: str
    title: str = ""
    state: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice(Record):
    """Something that the checks noticed; with ``must_answer`` nobody can approve before the requester's side has answered it."""

    code: str
    title: str = ""
    message: str = ""
    must_answer: bool = False


@dataclass(frozen=True, kw_only=True)
class Review(Record):
    """A request for approval. It is decided in the browser, at ``url``, never by a token."""

    id: str
    ref: str = ""
    state: str = ""
    release_digest: str | None = None
    dossier_digest: str | None = None
    gates: tuple[Gate, ...] = _each(Gate)
    notices: tuple[Notice, ...] = _each(Notice)
    decisions: tuple[Any, ...] = ()
    requested_by: str | None = None
    requested_at: str | None = None
    note: str = ""
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Bundle(Record):
    """A named set of routes that is baked into one image."""

    name: str
    routes: tuple[Any, ...] = ()
    rebuild: str = ""
    image_digest: str | None = None
    url: str = ""


@dataclass(frozen=True, kw_only=True)
class Build(Record):
    """A bake: ``state`` is proposed, queued, running, done, failed or blocked.

    ``error`` has `code`, `message` and `hint` when it failed.
    """

    id: str
    bundle: str = ""
    state: str = ""
    image_digest: str | None = None
    isolation: str | None = None
    steps: tuple[Any, ...] = ()
    error: Mapping[str, Any] | None = None
    reason: str = ""
    created_at: str | None = None
    url: str = ""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_BUILD_STATES


@dataclass(frozen=True, kw_only=True)
class Rebuild(Record):
    """An image baked anew, to compare: ``state`` is queued, equal, differs or failed.

    ``difference`` has `role`, `path`, `expected` and `found` of the first layer that differs; ``error`` has `code`,
    `message` and `hint` when nothing came out.
    """

    id: str
    image_digest: str
    state: str = ""
    found_digest: str | None = None
    difference: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    created_at: str | None = None
    url: str = ""

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_REBUILD_STATES


@dataclass(frozen=True, kw_only=True)
class Image(Record):
    """A baked image, and the fingerprint of the key that sealed it."""

    digest: str
    key_fingerprint: str
    bundle: str = ""
    isolation: str = ""


def walk(page: Any) -> Iterator[Any]:
    """The ``items`` of one page of a list.

    :raises UnexpectedAnswer: the page has none.
    """
    if not isinstance(page, Mapping) or not isinstance(page.get("items"), list):
        raise UnexpectedAnswer("the server's list has no items", hint="Run `countersign doctor` to compare versions.")
    yield from page["items"]


def _decode(value: Any, metadata: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if kind := metadata.get("each"):
        if not isinstance(value, list):
            raise UnexpectedAnswer(
                f"the server's list of {kind.__name__.lower()}s is not a list",
                hint="Run `countersign doctor` to compare versions.",
            )
        return tuple(kind.from_wire(item) for item in value)
    if kind := metadata.get("one"):
        return kind.from_wire(value)
    return tuple(value) if isinstance(value, list) else value
