"""Lays a walk out in columns, left to right: what it comes from, the version, what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from portal.lineage.walk import Node, Walk

BOX = (216, 46)
GAP = (64, 14)
MARGIN = 4
LETTERS = 25
"""Letters of a name that fit in a box."""


@dataclass(frozen=True)
class Box:
    """A node at its place."""

    node: Node
    x: float
    y: float
    width: int = BOX[0]
    height: int = BOX[1]

    @property
    def title(self) -> str:
        """The name, cut in the middle where it is too long: both ends tell names apart."""
        name = self.node.name
        return name if len(name) <= LETTERS else f"{name[: LETTERS - 11]}…{name[-10:]}"

    @property
    def under(self) -> str:
        """What it is, and how it hangs on its neighbour."""
        kind = self.node.kind
        return f"{self.node.relation}, {kind}" if self.node.relation else "this version"


@dataclass(frozen=True)
class Line:
    """A curve between two boxes."""

    path: str


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn, in drawing units."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float


def draw(walk: Walk) -> Picture:
    """Give every node of the walk its place.

    A parent stands at the middle of what hangs on it, so that lines do not cross.
    """
    sides = [_Side(walk.sources), _Side(walk.products)]
    height = max(*(side.height for side in sides), BOX[1])
    depth = max((-node.level for node in walk.sources.all()), default=0)
    boxes: list[Box] = []
    lines: list[Line] = []
    for side in sides:
        places = {
            node: Box(node, MARGIN + (node.level + depth) * (BOX[0] + GAP[0]), MARGIN + y + (height - side.height) / 2)
            for node, y in side.rows()
        }
        root = places[side.root]
        middle = Box(side.root, root.x, MARGIN + (height - BOX[1]) / 2)
        places[side.root] = middle
        boxes += [box for node, box in places.items() if node is not side.root]
        lines += [_line(places[parent], places[child]) for parent, child in _edges(side.root)]
        if side is sides[-1]:
            boxes.append(middle)
    right = max(box.x for box in boxes) + BOX[0] + MARGIN
    return Picture(boxes, lines, right, height + 2 * MARGIN)


class _Side:
    """One direction: leaves are stacked, parents stand between their children."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._rows: dict[Node, float] = {}
        self.height = self._stack(root, 0.0) - GAP[1]

    def _stack(self, node: Node, top: float) -> float:
        if not node.nodes:
            self._rows[node] = top
            return top + BOX[1] + GAP[1]
        bottom = top
        for child in node.nodes:
            bottom = self._stack(child, bottom)
        self._rows[node] = (self._rows[node.nodes[0]] + self._rows[node.nodes[-1]]) / 2
        return bottom

    def rows(self) -> Iterator[tuple[Node, float]]:
        """Every node with its distance from the top."""
        yield from self._rows.items()


def _edges(node: Node) -> Iterator[tuple[Node, Node]]:
    for child in node.nodes:
        yield node, child
        yield from _edges(child)


def _line(near: Box, far: Box) -> Line:
    left, right = (near, far) if near.x < far.x else (far, near)
    x1, y1 = left.x + left.width, left.y + left.height / 2
    x2, y2 = right.x, right.y + right.height / 2
    bend = (x2 - x1) / 2
    return Line(f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}")
