"""Registering versions: a push in, one immutable numbered version out, and its check queued with it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from formats import artifacts, canonical, own_code
from formats import digest as digests
from formats.card import NOT_STATED
from registry import access, accounts, audit, cards, catalog, clock, jobs, lineage, names, uploads
from registry.access import Actor, Permission
from registry.errors import AlreadyExists, Forbidden, Invalid, NotFound, WrongStage
from registry.locking import lock
from registry.orm.catalog import Metric, ModelVersion, RegisteredModel, Stage, VersionFile, VersionTag
from registry.orm.job import JobKind

EXTENSIONS = {
    "joblib": ("model.joblib",),
    "pickle": ("model.pkl", "model.pickle"),
    "skops": ("model.skops",),
    "onnx": ("model.onnx",),
    "lightgbm": ("model.txt",),
    "xgboost": ("model.json",),
}
SAMPLE = "sample.jsonl"
REQUIREMENTS = "requirements.txt"
# Made once: every push pays for it.
_KNOWN = select(ModelVersion.id).where(
    ModelVersion.model_id == bindparam("model_id"), ModelVersion.content_digest == bindparam("content_digest")
)


@dataclass(frozen=True)
class MetricClaim:
    """A number the uploader says of the version."""

    name: str
    value: float
    dataset: str = ""
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class Push:
    """Everything a push says. ``files`` maps path to digest; their bytes are in the store already."""

    files: Mapping[str, str]
    format: str
    card: str
    label: str = ""
    author: str = ""
    metrics: Sequence[MetricClaim] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sources: Sequence[lineage.Source] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)


def register_version(
    session: Session, *, actor: Actor, full_name: str, push: Push, create_model: bool = False
) -> tuple[ModelVersion, bool]:
    """Register what was pushed; returns the version and whether it is new.

    The same content again (files and card) returns the version that exists: a retry does no harm.

    :param create_model: register the model too when it is not there.
    :raises Invalid: a file, card or metric that does not fit, each named.
    """
    card = cards.parse(push.card)
    model = _model_for(session, actor=actor, full_name=full_name, card=card, create=create_model)
    access.require(actor, Permission.PUSH, team_id=model.team_id)
    artifact = _check_files(push)
    author = _author(session, push, actor)
    sizes = uploads.require_all(session, push.files, actor=actor)
    manifest = artifacts.build(artifacts.File(path, push.files[path], size) for path, size in sizes.items())
    artifact_digest = artifacts.digest(manifest)
    content_digest = canonical.digest(
        {"artifacts": artifact_digest, "card": digests.of_bytes(push.card.encode()), "format": push.format}
    )
    known = session.execute(_KNOWN, {"model_id": model.id, "content_digest": content_digest}).scalar()
    if known is not None:
        return session.get_one(ModelVersion, known), False
    _describe_model(session, model, card)
    model.versions_made += 1
    version = ModelVersion(
        model_id=model.id,
        number=model.versions_made,
        stage=Stage.CHECKING,
        format=push.format,
        artifact=artifact,
        label=names.text(push.label, what="the label", pointer="/label", most=63),
        artifact_digest=artifact_digest,
        content_digest=content_digest,
        size=sum(sizes.values()),
        card=push.card,
        card_head=card.head,
        environment=_plain(push.environment, what="the environment", pointer="/environment"),
        params=_plain(push.params, what="the parameters", pointer="/params"),
        author=author,
        uploader=actor.ref,
        created_at=clock.now(),
        stage_since=clock.now(),
    )
    session.add(version)
    session.flush()
    parts: dict[str, list[Any]] = {
        "files": [
            VersionFile(version_id=version.id, path=path, digest=push.files[path], size=size)
            for path, size in sizes.items()
        ],
        "metrics": [_metric(version, claim, actor, place) for place, claim in enumerate(push.metrics)],
        "tags": [VersionTag(version_id=version.id, key=key, value=value) for key, value in _tags(push).items()],
        "aliases": [],
        "reports": [],
    }
    for name, rows in parts.items():  # as references.get_version would load them
        session.add_all(rows)
        set_committed_value(version, name, rows)
    set_committed_value(version, "model", model)
    lineage.connect(session, version, push.sources, actor=actor)
    jobs.enqueue(session, JobKind.CHECK, key=version.id.hex, subject_id=version.id, new=True)
    audit.record(
        session,
        audit.Action.VERSION_REGISTERED,
        actor=actor,
        subject=version,
        also=[model],
        digest=artifact_digest,
        model=full_name,
        number=version.number,
        label=version.label,
    )
    return version, True


def _model_for(session: Session, *, actor: Actor, full_name: str, card: cards.Card, create: bool) -> RegisteredModel:
    """The model, locked: two pushes at once get two numbers, or are one version."""
    try:
        return catalog.get_model(session, full_name, actor=actor, lock=True)
    except NotFound as error:
        if not create:
            raise NotFound(str(error), hint="Register the model first, or let the push do it.") from None
        purpose = _purpose(card)
        try:
            return catalog.register_model(session, actor=actor, full_name=full_name, purpose=purpose)
        except AlreadyExists:  # by another push, a moment ago; else by a bundle, and there is no model
            if session.scalars(select(RegisteredModel.id).where(RegisteredModel.full_name == full_name)).first():
                return catalog.get_model(session, full_name, actor=actor, lock=True)
            raise


def _purpose(card: cards.Card) -> str:
    said = str(card.head.get("purpose", ""))
    return "" if said == NOT_STATED else said[:500]


def _describe_model(session: Session, model: RegisteredModel, card: cards.Card) -> None:
    """What the card says of the model fills what nobody has said yet."""
    said = (model.purpose, model.task)
    model.purpose = model.purpose or _purpose(card)
    model.task = model.task or str(card.head.get("task", ""))[:63]
    model.contact = model.contact or str(card.head.get("contact", ""))[:128]
    model.updated_at = clock.now()
    if (model.purpose, model.task) != said:
        catalog.index(session, model)


def _check_files(push: Push) -> str:
    """The path of the model file; refuses files a push cannot have."""
    allowed = EXTENSIONS.get(push.format)
    if allowed is None:
        raise Invalid(
            f"format {push.format!r} is not accepted",
            hint=f"Accepted are {', '.join(EXTENSIONS)}.",
            errors=[("/format", "unknown")],
        )
    for path in push.files:
        try:
            artifacts.check_path(path)
        except artifacts.BadPath as error:
            raise Invalid(str(error), errors=[("/files", str(error))]) from error
    found = [path for path in push.files if path in allowed]
    if len(found) != 1:
        raise Invalid(
            f"a push of format {push.format} holds exactly one {' or '.join(allowed)}, this one has {len(found)}",
            hint="Check the declared format and the file's name.",
            errors=[("/files", "model file missing")],
        )
    if SAMPLE not in push.files:
        raise Invalid(
            f"{SAMPLE} is missing",
            hint="Add 1 to 1,000 sample records, one JSON object a line.",
            errors=[("/files", SAMPLE)],
        )
    wheels = {path for path in push.files if path.startswith(own_code.WHEELS) and path.endswith(".whl")}
    if wheels and own_code.FILE not in push.files:
        raise Invalid(
            f"{min(wheels)} is pushed, but {own_code.FILE} does not name it",
            hint="Push with the countersign client, which writes that file: countersign push --wheel FILE.",
            errors=[("/files", own_code.FILE)],
        )
    if unknown := sorted(set(push.files) - {found[0], SAMPLE, REQUIREMENTS, own_code.FILE} - wheels):
        raise Invalid(
            f"unknown files: {', '.join(unknown)}",
            hint=f"A push holds {found[0]}, {SAMPLE} and, if wanted, {REQUIREMENTS}, and {own_code.FILE} with the wheels it names.",
            errors=[("/files", name) for name in unknown],
        )
    return found[0]


def _author(session: Session, push: Push, actor: Actor) -> str:
    """Who trained it: the person who pushes, or the one a pipeline names."""
    if not push.author or push.author == actor.name:
        return actor.ref
    if actor.person_id is not None:
        raise Forbidden("only a pipeline names another author", hint="Leave the author out: it is you.")
    return accounts.load_person(session, username=push.author).audit_ref()


def _tags(push: Push) -> dict[str, str]:
    return {
        names.text(key, what=f"the tag {key[:20]!r}", pointer="/tags", least=1, most=63): names.text(
            str(value), what=f"the value of the tag {key[:20]!r}", pointer="/tags", most=500
        )
        for key, value in push.tags.items()
    }


def _plain(values: Mapping[str, Any], *, what: str, pointer: str) -> dict[str, Any]:
    """What JSON holds: no NaN, no infinity, text that is text."""
    try:
        text = json.dumps(values, allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError) as error:
        raise Invalid(
            f"{what}: {error}", hint="Leave it out, or write it as text.", errors=[(pointer, str(error))]
        ) from error
    names.storable(text, what=what, pointer=pointer)
    return dict(values)


def _metric(version: ModelVersion, claim: MetricClaim, actor: Actor, place: int) -> Metric:
    if not math.isfinite(claim.value):
        raise Invalid(
            f"metric {claim.name} is {claim.value}",
            hint="Metrics are finite numbers.",
            errors=[(f"/metrics/{place}", "not finite")],
        )
    return Metric(
        version_id=version.id,
        name=names.text(claim.name, what="a metric's name", pointer=f"/metrics/{place}", least=1, most=80),
        value=claim.value,
        dataset=names.text(claim.dataset, what="a metric's dataset", pointer=f"/metrics/{place}", most=200),
        higher_is_better=claim.higher_is_better,
        declared_by=actor.ref,
        measured=False,
    )


def tag(session: Session, version: ModelVersion, key: str, value: str | None, *, actor: Actor) -> None:
    """Set or (with ``None``) remove a tag."""
    access.require(actor, Permission.PUSH, team_id=version.model.team_id)
    names.slug(key, what="tag", pointer="/key")
    row = session.get(VersionTag, (version.id, key))
    if value is None and row is not None:
        session.delete(row)
    elif value is not None:
        row = row or VersionTag(version_id=version.id, key=key)
        row.value = names.text(value, what="the value", pointer="/value", most=500)
        session.add(row)
    audit.record(session, audit.Action.VERSION_TAGGED, actor=actor, subject=version, key=key, value=value)


def retry_checks(session: Session, version: ModelVersion, *, actor: Actor) -> None:
    """Queue the checks of a failed version again."""
    access.require(actor, Permission.PUSH, team_id=version.model.team_id)
    lock(session, version)
    if version.stage is not Stage.CHECK_FAILED:
        raise WrongStage(f"the checks of version {version.number} did not fail: it is {version.stage}")
    move(version, Stage.CHECKING)
    jobs.enqueue(session, JobKind.CHECK, key=version.id.hex, subject_id=version.id)
    audit.record(session, audit.Action.VERSION_RETRIED, actor=actor, subject=version)


EDGES: dict[Stage, frozenset[Stage]] = {
    Stage.CHECKING: frozenset({Stage.READY, Stage.CHECK_FAILED}),
    Stage.CHECK_FAILED: frozenset({Stage.CHECKING}),
    Stage.READY: frozenset({Stage.IN_REVIEW}),
    Stage.IN_REVIEW: frozenset({Stage.READY, Stage.APPROVED, Stage.APPROVED_WITH_CONDITIONS, Stage.REJECTED}),
    Stage.APPROVED: frozenset({Stage.SUSPENDED, Stage.SUPERSEDED, Stage.EXPIRED, Stage.REVOKED}),
    Stage.APPROVED_WITH_CONDITIONS: frozenset({Stage.SUSPENDED, Stage.SUPERSEDED, Stage.EXPIRED, Stage.REVOKED}),
    Stage.SUSPENDED: frozenset({Stage.REVOKED, Stage.RETIRED}),
    Stage.SUPERSEDED: frozenset({Stage.RETIRED}),
    Stage.EXPIRED: frozenset({Stage.RETIRED}),
    Stage.REVOKED: frozenset({Stage.RETIRED}),
}
"""Where a version can go from each stage; rejected and retired are final."""


def move(version: ModelVersion, stage: Stage) -> None:
    """Move a version along an edge; the caller records the audit event in the same function.

    :raises WrongStage: there is no such edge.
    """
    if stage not in EDGES.get(version.stage, frozenset()):
        raise WrongStage(
            f"version {version.number} is {version.stage}, it cannot become {stage}", hint="Reload the page."
        )
    version.stage = stage
    version.stage_since = clock.now()
