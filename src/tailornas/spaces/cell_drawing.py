"""Cells as graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from tailornas.spaces.svg import FONT, MARGIN, SMALL, label, page, shortened, text, text_width

__all__ = ["Cell", "Edge", "draw_cells"]

NODE_WIDTH, NODE_HEIGHT, LANE, CORNER = 64, 36, 36, 9


@final
@dataclass(frozen=True)
class Edge:
    """An operation between two nodes of a cell.

    Args:
        source: position of the node that it reads.
        target: position of the node that it adds to; larger.
        operation: its name.
    """

    source: int
    target: int
    operation: str


@final
@dataclass(frozen=True)
class Cell:
    """A cell as a graph.

    Args:
        title: what cell it is.
        nodes: names in the order of computation.
        edges: operations, absent ones left out.
        joined: positions of the nodes whose concatenation is the last node; empty: it is a sum like the others.
    """

    title: str
    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    joined: tuple[int, ...] = ()


def draw_cells(title: str, description: str, cells: Sequence[Cell]) -> str:
    """Draws cells below each other, the nodes of each from left to right.

    An operation between neighbours is a straight line; any other takes the lowest free lane above or below the nodes.
    Labels stand between two columns of nodes, where no line turns, so that they touch nothing.

    Args:
        title: shown above the cells.
        description: for screen readers, such as the architecture's text form.
        cells: what to draw.
    """
    parts, width, top = [], 0.0, float(MARGIN)
    parts.append(text(MARGIN, top + FONT / 2, title, "title"))
    top += 2 * FONT
    for cell in cells:
        drawn, cell_width, height = _cell(cell, top)
        parts += drawn
        width, top = max(width, cell_width, 2 * MARGIN + text_width(cell.title, SMALL)), top + height
    return page(title, description, max(width, 2 * MARGIN + text_width(title)), top + MARGIN / 2, parts)


def _cell(cell: Cell, top: float) -> tuple[list[str], float, float]:
    """The parts of a cell whose upper edge is at ``top``, its width and its height."""
    lanes = _lanes(cell)
    names = {edge: shortened(edge.operation.replace("_", " ")) for edge in cell.edges}
    gap = max([60.0, *(text_width(name) + 48 for name in names.values())])
    column = [MARGIN + NODE_WIDTH / 2 + position * (NODE_WIDTH + gap) for position in range(len(cell.nodes))]
    above, below = max([0, *lanes.values()]), -min([0, *lanes.values()])
    middle = top + 2 * SMALL + above * LANE + NODE_HEIGHT / 2 + (LANE / 3 if above else 0)
    bottom = middle + NODE_HEIGHT / 2 + (below + bool(cell.joined)) * LANE
    parts = [text(MARGIN, top + SMALL / 2, cell.title, "faint start", SMALL)]
    if cell.joined:
        parts += _bus(cell, column, middle, bottom - LANE / 4)
    ports = _ports(cell, lanes)
    for edge in cell.edges:
        start, end = column[edge.source] + ports[edge, "out"], column[edge.target] + ports[edge, "in"]
        at = (edge.source + edge.target - 1) // 2
        x = (column[at] + column[at + 1]) / 2
        parts.append(_edge(edge, names[edge], start, end, x, middle, lanes[edge]))
    touched = {end for edge in cell.edges for end in (edge.source, edge.target)} | set(cell.joined)
    touched |= {len(cell.nodes) - 1} if cell.joined else set()
    for position, name in enumerate(cell.nodes):
        style = "node" if position in touched else "node idle"
        box = (
            f'<rect x="{column[position] - NODE_WIDTH / 2:g}" y="{middle - NODE_HEIGHT / 2:g}" '
            f'width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8"/>'
        )
        parts.append(f'<g class="{style}">{box}{label(column[position], middle, name)}</g>')
    return parts, column[-1] + NODE_WIDTH / 2 + MARGIN, bottom + LANE / 2 - top


def _lanes(cell: Cell) -> dict[Edge, int]:
    """Where each edge runs: 0 straight, n on the nth lane above, -n below; short ones nearest to the nodes."""
    sides = (1,) if cell.joined else (1, -1)
    lanes: dict[Edge, int] = {}
    for edge in sorted(cell.edges, key=lambda edge: (edge.target - edge.source, edge.source)):
        free = [0] if edge.target - edge.source == 1 else []
        free += [side * lane for lane in range(1, len(cell.edges) + 1) for side in sides]
        lanes[edge] = next(
            lane
            for lane in free
            if all(
                other.target <= edge.source or edge.target <= other.source
                for other, taken in lanes.items()
                if taken == lane
            )
        )
    return lanes


def _ports(cell: Cell, lanes: dict[Edge, int]) -> dict[tuple[Edge, str], float]:
    """How far from a node's middle each end of an edge is.

    What leaves does so on the right half, the outer lanes further left; what arrives does so on the left half, the
    outer lanes further right. So no two edges of a node cross each other.
    """
    ports: dict[tuple[Edge, str], float] = {}
    half = NODE_WIDTH / 2
    for position in range(len(cell.nodes)):
        for side in (1, -1):
            leaving = sorted(
                (e for e in cell.edges if e.source == position and lanes[e] * side > 0), key=lambda e: -abs(lanes[e])
            )
            arriving = sorted(
                (e for e in cell.edges if e.target == position and lanes[e] * side > 0), key=lambda e: abs(lanes[e])
            )
            for number, edge in enumerate(leaving):
                ports[edge, "out"] = half * (number + 1) / (len(leaving) + 1)
            for number, edge in enumerate(arriving):
                ports[edge, "in"] = half * ((number + 1) / (len(arriving) + 1) - 1)
    for edge, lane in lanes.items():
        if lane == 0:
            ports[edge, "out"], ports[edge, "in"] = half, -half
    return ports


def _edge(edge: Edge, name: str, start: float, end: float, x: float, middle: float, lane: int) -> str:
    """An edge, its tip and its name in the middle of the gap at ``x``."""
    if lane == 0:
        y = middle
        path = f"M{start:g} {middle:g} H{end - 7:g}"
        tip = f"M{end:g} {middle:g} l-9 -5 v10 Z"
    else:
        side = 1 if lane > 0 else -1
        border = middle - side * NODE_HEIGHT / 2
        y = border - side * (abs(lane) * LANE - LANE / 4)
        turn = side * CORNER
        path = (
            f"M{start:g} {border:g} V{y + turn:g} Q{start:g} {y:g} {start + CORNER:g} {y:g} "
            f"H{end - CORNER:g} Q{end:g} {y:g} {end:g} {y + turn:g} V{border - side * 7:g}"
        )
        tip = f"M{end:g} {border:g} l-5 {-9 * side:g} h10 Z"
    kind = _kind(edge.operation)
    width = text_width(name) + 12
    whole = edge.operation.replace("_", " ")
    return (
        f'<g class="edge {kind}"><path d="{path}"/><path class="tip" d="{tip}"/>'
        f'<rect class="paper" x="{x - width / 2:g}" y="{y - FONT * 0.7:g}" width="{width:g}" height="{FONT * 1.4:g}"/>'
        f"{label(x, y, whole)}</g>"
    )


def _kind(operation: str) -> str:
    return next((kind for kind in ("conv", "pool", "skip") if kind in operation), "other")


def _bus(cell: Cell, column: Sequence[float], middle: float, y: float) -> list[str]:
    """The line that collects the joined nodes and ends in the last one."""
    border, end = middle + NODE_HEIGHT / 2, column[-1]
    parts = [
        f'<path class="bus" d="M{column[position]:g} {border:g} V{y - CORNER:g} Q{column[position]:g} {y:g} '
        f"{column[position] + CORNER:g} {y:g} H{end - CORNER:g} Q{end:g} {y:g} {end:g} {y - CORNER:g} "
        f'V{border + 7:g}"/>'
        for position in cell.joined
    ]
    name, x = "concatenated", (column[-2] + end) / 2
    width = text_width(name, SMALL) + 10
    return [
        *parts,
        f'<path class="tip grey" d="M{end:g} {border:g} l-5 9 h10 Z"/>',
        f'<rect class="paper" x="{x - width / 2:g}" y="{y - SMALL * 0.7:g}" width="{width:g}" '
        f'height="{SMALL * 1.4:g}"/>',
        text(x, y, name, "faint", SMALL),
    ]
