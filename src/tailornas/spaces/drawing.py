"""Architectures as SVG: cells as graphs, elastic networks as strips of blocks.

The drawings stand alone: they bring their colours, for light and for dark viewers, and paint their background.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final
from xml.sax.saxutils import escape, quoteattr

__all__ = ["Block", "Cell", "Edge", "Stage", "draw_cells", "draw_strip"]

FONT, SMALL = 14, 12
CHARACTER = 0.6
"""Width of a character over the font size; wide enough for the sans serif fonts of all systems."""
LONGEST = 26
"""Characters of a label; longer ones end in an ellipsis and are whole in the tooltip."""

MARGIN = 24
NODE_WIDTH, NODE_HEIGHT, LANE, CORNER = 64, 36, 36, 9
BLOCK_HEIGHT, BLOCK_LEAST, BLOCK_GAP, STAGE_GAP = 150, 44, 8, 30

STYLE = """
:root { --paper: #ffffff; --ink: #1d2433; --faint: #667085; --node: #eef1f6; --line: #98a2b3;
  --conv: #1f5fbf; --pool: #a04d00; --skip: #667085; --other: #7a3aa8;
  --tone0: #e8eef8; --tone1: #cfdff5; --tone2: #9fc0ec; --tone3: #6b9fe0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --ink: #e9edf5; --faint: #9aa5b8; --node: #262d39;
  --line: #66728a; --conv: #7db2ff; --pool: #f0a35e; --skip: #9aa5b8; --other: #cf9bf5;
  --tone0: #222b3a; --tone1: #27405f; --tone2: #2c588c; --tone3: #3271bd; } }
svg { background: var(--paper); }
text { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink);
  text-anchor: middle; dominant-baseline: central; }
.paper { fill: var(--paper); }
.title { font-weight: 600; text-anchor: start; }
.faint { fill: var(--faint); }
.start { text-anchor: start; }
.node rect { fill: var(--node); stroke: var(--line); }
.idle { opacity: 0.45; }
.edge path, .bus { fill: none; stroke-width: 1.7; }
.edge .tip { stroke: none; }
.conv path { stroke: var(--conv); } .conv text, .conv .tip { fill: var(--conv); }
.pool path { stroke: var(--pool); } .pool text, .pool .tip { fill: var(--pool); }
.skip path { stroke: var(--skip); stroke-dasharray: 5 4; } .skip text, .skip .tip { fill: var(--skip); }
.other path { stroke: var(--other); } .other text, .other .tip { fill: var(--other); }
.bus { stroke: var(--line); }
.tip.grey { fill: var(--line); }
.block { stroke: var(--line); }
.tone0 { fill: var(--tone0); } .tone1 { fill: var(--tone1); }
.tone2 { fill: var(--tone2); } .tone3 { fill: var(--tone3); }
"""


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


@final
@dataclass(frozen=True)
class Block:
    """A block of an elastic network.

    Args:
        lines: what it says inside, such as its kernel size and its expansion.
        caption: what it says below, such as its channels.
        size: its height, a share of the largest block's in (0, 1].
        tone: 0 (pale) to 3 (strong).
    """

    lines: tuple[str, ...]
    caption: str = ""
    size: float = 0.4
    tone: int = 1


@final
@dataclass(frozen=True)
class Stage:
    """Blocks that belong together.

    Args:
        title: what they share.
        blocks: from the input to the output.
    """

    title: str
    blocks: tuple[Block, ...]


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
    parts.append(_text(MARGIN, top + FONT / 2, title, "title"))
    top += 2 * FONT
    for cell in cells:
        drawn, cell_width, height = _cell(cell, top)
        parts += drawn
        width, top = max(width, cell_width, 2 * MARGIN + _width(cell.title, SMALL)), top + height
    return _svg(title, description, max(width, 2 * MARGIN + _width(title)), top + MARGIN / 2, parts)


def draw_strip(title: str, description: str, stages: Sequence[Stage], legend: str = "") -> str:
    """Draws stages of blocks from left to right.

    Args:
        title: shown above the blocks.
        description: for screen readers, such as the architecture's text form.
        stages: what to draw.
        legend: what height and colour mean; shown below.
    """
    blocks = [block for stage in stages for block in stage.blocks]
    tallest = max(_block_height(block) for block in blocks)
    top = MARGIN + 2 * FONT
    middle = top + 1.8 * SMALL + tallest / 2
    foot = middle + tallest / 2 + SMALL
    parts, x, before = [_text(MARGIN, MARGIN + FONT / 2, title, "title")], float(MARGIN), None
    for stage in stages:
        start = x
        for block in stage.blocks:
            width, height = _block_width(block), _block_height(block)
            if before is not None:
                parts.insert(0, f'<path class="bus" d="M{before:g} {middle:g} H{x:g}"/>')
            parts += _block(block, x, middle, width, height)
            if block.caption:
                parts.append(_label(x + width / 2, foot, block.caption, "faint", SMALL))
            before = x + width
            x = before + BLOCK_GAP
        if stage.title:
            parts.append(_text(start, top + SMALL / 2, stage.title, "faint start", SMALL))
        x = max(x - BLOCK_GAP, start + _width(stage.title, SMALL)) + STAGE_GAP
    x += MARGIN - STAGE_GAP
    foot += SMALL
    if legend:
        foot += 2 * SMALL
        parts.append(_text(MARGIN, foot, legend, "faint start", SMALL))
    width = max(x, 2 * MARGIN + max(_width(title), _width(legend, SMALL)))
    return _svg(title, description, width, foot + MARGIN, parts)


def _svg(title: str, description: str, width: float, height: float, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-size="{FONT}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="100%" height="100%"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, style: str = "", size: int = FONT) -> str:
    classes = f" class={quoteattr(style)}" if style else ""
    sized = f' font-size="{size}"' if size != FONT else ""
    return f'<text x="{x:g}" y="{y:g}"{classes}{sized}>{escape(text)}</text>'


def _label(x: float, y: float, text: str, style: str = "", size: int = FONT) -> str:
    """A text that is shortened if it is long, and then whole in the tooltip."""
    label = _text(x, y, _short(text), style, size)
    return label if _short(text) == text else f"<g>{label}<title>{escape(text)}</title></g>"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _width(text: str, size: int = FONT) -> float:
    return CHARACTER * size * len(text)


def _cell(cell: Cell, top: float) -> tuple[list[str], float, float]:
    """The parts of a cell whose upper edge is at ``top``, its width and its height."""
    lanes = _lanes(cell)
    labels = {edge: _short(edge.operation.replace("_", " ")) for edge in cell.edges}
    gap = max([60.0, *(_width(label) + 48 for label in labels.values())])
    column = [MARGIN + NODE_WIDTH / 2 + position * (NODE_WIDTH + gap) for position in range(len(cell.nodes))]
    above, below = max([0, *lanes.values()]), -min([0, *lanes.values()])
    middle = top + 2 * SMALL + above * LANE + NODE_HEIGHT / 2 + (LANE / 3 if above else 0)
    bottom = middle + NODE_HEIGHT / 2 + (below + bool(cell.joined)) * LANE
    parts = [_text(MARGIN, top + SMALL / 2, cell.title, "faint start", SMALL)]
    if cell.joined:
        parts += _bus(cell, column, middle, bottom - LANE / 4)
    ports = _ports(cell, lanes)
    for edge in cell.edges:
        start, end = column[edge.source] + ports[edge, "out"], column[edge.target] + ports[edge, "in"]
        at = (edge.source + edge.target - 1) // 2
        x = (column[at] + column[at + 1]) / 2
        parts.append(_edge(edge, labels[edge], start, end, x, middle, lanes[edge]))
    touched = {end for edge in cell.edges for end in (edge.source, edge.target)} | set(cell.joined)
    touched |= {len(cell.nodes) - 1} if cell.joined else set()
    for position, name in enumerate(cell.nodes):
        style = "node" if position in touched else "node idle"
        box = (
            f'<rect x="{column[position] - NODE_WIDTH / 2:g}" y="{middle - NODE_HEIGHT / 2:g}" '
            f'width="{NODE_WIDTH}" height="{NODE_HEIGHT}" rx="8"/>'
        )
        parts.append(f'<g class="{style}">{box}{_label(column[position], middle, name)}</g>')
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


def _edge(edge: Edge, label: str, start: float, end: float, x: float, middle: float, lane: int) -> str:
    """An edge, its tip and its label in the middle of the gap at ``x``."""
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
    width = _width(label) + 12
    whole = edge.operation.replace("_", " ")
    return (
        f'<g class="edge {kind}"><path d="{path}"/><path class="tip" d="{tip}"/>'
        f'<rect class="paper" x="{x - width / 2:g}" y="{y - FONT * 0.7:g}" width="{width:g}" height="{FONT * 1.4:g}"/>'
        f"{_label(x, y, whole)}</g>"
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
    label, x = "concatenated", (column[-2] + end) / 2
    width = _width(label, SMALL) + 10
    return [
        *parts,
        f'<path class="tip grey" d="M{end:g} {border:g} l-5 9 h10 Z"/>',
        f'<rect class="paper" x="{x - width / 2:g}" y="{y - SMALL * 0.7:g}" width="{width:g}" '
        f'height="{SMALL * 1.4:g}"/>',
        _text(x, y, label, "faint", SMALL),
    ]


def _block(block: Block, x: float, middle: float, width: float, height: float) -> list[str]:
    box = (
        f'<rect class="block tone{block.tone}" x="{x:g}" y="{middle - height / 2:g}" width="{width:g}" '
        f'height="{height:g}" rx="6"/>'
    )
    first = middle - (len(block.lines) - 1) * FONT * 0.6
    lines = [_label(x + width / 2, first + number * FONT * 1.2, line) for number, line in enumerate(block.lines)]
    return [box, *lines]


def _block_width(block: Block) -> float:
    inside = max([_width(_short(line)) for line in block.lines] + [0]) + 14
    return max(float(BLOCK_LEAST), inside, _width(_short(block.caption), SMALL) + 4)


def _block_height(block: Block) -> float:
    return max(BLOCK_HEIGHT * block.size, len(block.lines) * FONT * 1.2 + 12)
