"""Lineage and differences of versions as JSON."""

from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

from portal.api.documents.base import Digest, Document
from registry import compare, lineage
from registry.orm.lineage import LineageEdge

HIDDEN = "a version you may not see"


class EdgeDocument(Document):
    """A line of the lineage; `ref` is its far end."""

    relation: str
    kind: str
    """dataset, commit, run, version or bundle."""
    ref: str
    digest: Digest | None


class LineageDocument(Document):
    """One step up and one step down."""

    edges: list[EdgeDocument]
    """What the version was made from."""
    used_by: list[EdgeDocument]
    """Versions made from it, and bundles whose images hold it."""

    @classmethod
    def of(cls, graph: lineage.Graph) -> "LineageDocument":
        """From the domain's graph."""
        children = [
            EdgeDocument(
                relation="made_from_it",
                kind="version",
                ref=f"{child.model.full_name}:{child.number}",
                digest=child.artifact_digest,
            )
            for child in graph.children
        ]
        images = [
            EdgeDocument(relation="baked_into", kind="bundle", ref=image.bundle.full_name, digest=image.digest)
            for image in graph.images
        ]
        return cls(edges=[_edge(edge, graph.hidden) for edge in graph.sources], used_by=[*children, *images])


def _edge(edge: LineageEdge, hidden: frozenset[UUID]) -> EdgeDocument:
    if edge.parent_id in hidden:
        return EdgeDocument(relation=edge.relation, kind=edge.kind, ref=HIDDEN, digest=None)
    return EdgeDocument(relation=edge.relation, kind=edge.kind, ref=edge.ref, digest=edge.digest)


class ChangeDocument(Document):
    """One difference; null where a side has nothing."""

    section: str
    path: str
    before: Any
    after: Any


class DiffDocument(Document):
    """What changed from `base` to `ref`."""

    ref: str
    base: str | None
    """Null when nothing was approved before: then everything is new."""
    compatibility: Literal["unchanged", "backward", "forward", "breaking"] | None
    """For callers. `backward`: those of `base` can call `ref` unchanged; `forward`: those of `ref` can be answered by `base`."""
    breaks: list[str]
    """What stops callers of `base` at `ref`, one sentence each."""
    changes: list[ChangeDocument]

    @classmethod
    def of(cls, found: compare.Comparison) -> "DiffDocument":
        """From the domain's comparison; metrics that did not change are left out."""
        metrics = [
            compare.Change(f"{row.name} ({row.dataset})" if row.dataset else row.name, row.before, row.after)
            for row in found.metrics
            if row.before != row.after
        ]
        sections: Iterable[tuple[str, Iterable[compare.Change]]] = (
            ("metrics", metrics),
            ("sources", found.sources),
            ("params", found.params),
            ("libraries", found.libraries),
            ("own_code", found.own_code),
            ("inputs", found.inputs),
            ("outputs", found.outputs),
            ("files", found.files),
            ("card", _card(found)),
        )
        return cls(
            ref=f"{found.version.model.full_name}:{found.version.number}",
            base=f"{found.base.model.full_name}:{found.base.number}" if found.base else None,
            compatibility=found.compatibility.kind if found.compatibility else None,
            breaks=list(found.compatibility.reasons) if found.compatibility else [],
            changes=[
                ChangeDocument(section=section, path=change.name, before=change.before, after=change.after)
                for section, changes in sections
                for change in changes
            ],
        )


def _card(found: compare.Comparison) -> list[compare.Change]:
    """The lines that went and the lines that came, as one difference."""
    lines = found.card[2:]  # after the two names that a unified diff begins with
    if not lines:
        return []
    gone = [line[1:] for line in lines if line.startswith("-")]
    come = [line[1:] for line in lines if line.startswith("+")]
    return [compare.Change("card.md", "\n".join(gone) or None, "\n".join(come) or None)]
