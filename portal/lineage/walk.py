"""Follows lineage from a version: its sources and their sources, what was derived from it, and the images that hold it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from portal.catalog import reading
from registry import lineage
from registry.access import Actor
from registry.orm.catalog import ModelVersion
from registry.orm.image import Image
from registry.orm.lineage import LineageEdge

DEPTH = 3
"""Steps followed each way; beyond it the last version shown is a link to its own lineage."""
MOST = 60
"""Most things shown: beyond that nobody reads a picture."""
HIDDEN = "a version you may not see"


@dataclass(eq=False)
class Node:
    """One thing: a version, dataset, commit, run or image."""

    kind: str
    name: str
    relation: str
    """How it hangs on the one it was reached from, in words; empty for the middle."""
    level: int
    """0 is the version asked for, negative what it comes from, positive what came of it."""
    digest: str | None = None
    ref: tuple[str, int] | None = None
    """Model and number, of a version that may be opened."""
    nodes: list["Node"] = field(default_factory=list)
    """What was reached from here, away from the middle."""

    def all(self) -> Iterator["Node"]:
        """Itself and everything behind it."""
        yield self
        for node in self.nodes:
            yield from node.all()


@dataclass(frozen=True)
class Walk:
    """The whole picture: the version twice, once as the root of each direction."""

    sources: Node
    products: Node
    cut: bool
    """Whether more is there than is shown."""


class _Budget:
    def __init__(self) -> None:
        self.left, self.cut = MOST, False

    def take(self) -> bool:
        """Whether one more may be shown."""
        if self.left == 0:
            self.cut = True
            return False
        self.left -= 1
        return True


def walk(session: Session, version: ModelVersion, *, actor: Actor) -> Walk:
    """Follow both directions; models the actor may not know of are neither named nor followed."""
    budget = _Budget()
    sources, products = _middle(version), _middle(version)
    _up(session, version, sources, {version.id}, budget, actor)
    _down(session, version, products, {version.id}, budget, actor)
    return Walk(sources, products, budget.cut)


def _middle(version: ModelVersion) -> Node:
    return _version(version, "", 0)


def _version(version: ModelVersion, relation: str, level: int) -> Node:
    name = version.model.full_name
    return Node(
        "version", f"{name}:{version.number}", relation, level, version.artifact_digest, ref=(name, version.number)
    )


def _up(session: Session, version: ModelVersion, node: Node, seen: set[UUID], budget: _Budget, actor: Actor) -> None:
    edges = reading.in_order(lineage.sources_of(session, version))
    hidden = lineage.hidden_parents(session, edges, actor=actor)
    parents = _parents(session, edges)
    for edge in edges:
        if not budget.take():
            return
        words, level = edge.relation.replace("_", " "), node.level - 1
        if edge.parent_id in hidden:
            node.nodes.append(Node("version", HIDDEN, words, level))
            continue
        parent = parents.get(edge.parent_id) if edge.parent_id else None
        if parent is None:
            node.nodes.append(Node(edge.kind, edge.ref, words, level, edge.digest))
            continue
        found = _version(parent, words, level)
        node.nodes.append(found)
        if parent.id not in seen and -level < DEPTH:
            seen.add(parent.id)
            _up(session, parent, found, seen, budget, actor)


def _parents(session: Session, edges: list[LineageEdge]) -> dict[UUID, ModelVersion]:
    ids = [edge.parent_id for edge in edges if edge.parent_id is not None]
    if not ids:
        return {}
    query = select(ModelVersion).where(ModelVersion.id.in_(ids)).options(joinedload(ModelVersion.model))
    return {version.id: version for version in session.scalars(query)}


def _down(session: Session, version: ModelVersion, node: Node, seen: set[UUID], budget: _Budget, actor: Actor) -> None:
    graph = lineage.around(session, version, actor=actor)
    for image in graph.images:
        if not budget.take():
            return
        node.nodes.append(_image(image, node.level + 1))
    for child in graph.children:
        if not budget.take():
            return
        found = _version(child, "derived from it", node.level + 1)
        node.nodes.append(found)
        if child.id not in seen and found.level < DEPTH:
            seen.add(child.id)
            _down(session, child, found, seen, budget, actor)


def _image(image: Image, level: int) -> Node:
    return Node("image", image.bundle.full_name, "baked into", level, image.digest)


def document(found: Walk) -> dict[str, Any]:
    """The picture as JSON."""
    return {"version": found.sources.name, "sources": _plain(found.sources), "products": _plain(found.products)}


def _plain(node: Node) -> list[dict[str, Any]]:
    return [
        {"relation": each.relation, "kind": each.kind, "ref": each.name, "digest": each.digest, "next": _plain(each)}
        for each in node.nodes
    ]
