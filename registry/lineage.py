"""Lineage: what a version was made from, and what was made with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from formats import digest as digests
from registry import catalog, names, references, visibility
from registry.access import Actor
from registry.errors import Invalid
from registry.orm.catalog import ModelVersion, RegisteredModel
from registry.orm.image import Image, ImageMember
from registry.orm.lineage import LineageEdge

RELATIONS = ("trained_on", "evaluated_on", "built_from", "derived_from", "produced_by")
KINDS = ("dataset", "commit", "run", "version")


@dataclass(frozen=True)
class Source:
    """One thing a version comes from, as a push declares it."""

    relation: str
    kind: str
    ref: str
    digest: str | None = None


@dataclass(frozen=True)
class Graph:
    """One step up and one step down from a version."""

    sources: Sequence[LineageEdge]
    hidden: frozenset[UUID]
    """Parents among the sources that belong to models the reader may not know of."""
    children: Sequence[ModelVersion]
    images: Sequence[Image]


def connect(session: Session, version: ModelVersion, sources: Sequence[Source], *, actor: Actor) -> None:
    """Store the declared sources of a new version; its caller records the audit event.

    :raises Invalid: an unknown relation or kind.
    :raises NotFound: a parent version that is not there, or not the actor's to see.
    """
    for place, source in enumerate(sources):
        pointer = f"/lineage/{place}"
        if source.relation not in RELATIONS or source.kind not in KINDS:
            raise Invalid(
                f"lineage: {source.relation} {source.kind}",
                hint=f"Relations are {', '.join(RELATIONS)}; kinds are {', '.join(KINDS)}.",
                errors=[(pointer, "unknown relation or kind")],
            )
        names.text(source.ref, what="a source", pointer=pointer, least=1, most=300)
        if source.digest is not None:
            _check_digest(source.digest, pointer)
        parent = None
        if source.kind == "version":
            model, separator, reference = source.ref.rpartition(":")
            if not separator:
                raise Invalid(
                    f"lineage: {source.ref}", hint="A parent is team/model:number.", errors=[(pointer, "no number")]
                )
            parent = references.get_version(session, model, reference, actor=actor)
        session.add(
            LineageEdge(
                version_id=version.id,
                relation=source.relation,
                kind=source.kind,
                ref=source.ref.strip(),
                digest=source.digest,
                parent_id=parent.id if parent else None,
                asserted_by=actor.ref,
            )
        )


def _check_digest(digest: str, pointer: str) -> None:
    try:
        digests.parse(digest)
    except ValueError as error:
        raise Invalid(
            f"lineage: {error}", hint="Leave the digest out when there is none.", errors=[(pointer, str(error))]
        ) from error


def sources_of(session: Session, version: ModelVersion) -> list[LineageEdge]:
    """What a version was made from, in the order it was said."""
    return list(
        session.scalars(select(LineageEdge).where(LineageEdge.version_id == version.id).order_by(LineageEdge.id))
    )


def hidden_parents(session: Session, sources: Sequence[LineageEdge], *, actor: Actor) -> frozenset[UUID]:
    """Parent versions of models that the actor may not know of: neither their names nor their digests are told."""
    parents = {edge.parent_id for edge in sources if edge.parent_id is not None}
    if not parents:
        return frozenset()
    seen: Any = (
        select(ModelVersion.id)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(ModelVersion.id.in_(parents))
    )
    return frozenset(parents - set(session.scalars(catalog.visible_to(seen, actor))))


def around(session: Session, version: ModelVersion, *, actor: Actor) -> Graph:
    """Sources, derived versions the actor may see, and images that hold the version."""
    children: Any = (
        select(ModelVersion)
        .join(LineageEdge, LineageEdge.version_id == ModelVersion.id)
        .join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
        .where(LineageEdge.parent_id == version.id)
        .options(joinedload(ModelVersion.model))
        .order_by(ModelVersion.id)
        .limit(100)
    )
    images = (
        select(Image)
        .join(ImageMember, ImageMember.image_id == Image.id)
        .where(ImageMember.version_id == version.id, visibility.image(actor))
        .options(joinedload(Image.bundle))
        .order_by(Image.id.desc())
        .limit(50)
    )
    sources = sources_of(session, version)
    return Graph(
        sources,
        hidden_parents(session, sources, actor=actor),
        list(session.scalars(catalog.visible_to(children, actor)).unique()),
        list(session.scalars(images)),
    )
