"""The found NAS-Bench-201 cell as a drawing."""

from collections.abc import Iterable

from markupsafe import Markup

__all__ = ["cell_svg"]

# Nodes stand in a column, so that the drawing fits a phone. Straight edges join neighbours, the others bend
# outwards: to each pair its path and the place of its label. No two of the six paths cross.
NODES = {0: (190, 34), 1: (190, 144), 2: (190, 254), 3: (190, 364)}
PATHS = {
    (0, 1): ("M190 54 V118", (190, 88)),
    (1, 2): ("M190 164 V228", (190, 198)),
    (2, 3): ("M190 274 V338", (190, 308)),
    (0, 2): ("M208 43 C290 85 290 200 213 242", (264, 144)),
    (1, 3): ("M172 153 C90 195 90 310 167 352", (116, 254)),
    (0, 3): ("M210 34 C400 60 400 338 216 363", (334, 199)),
}
NAMES = {0: "in", 1: "1", 2: "2", 3: "out"}
TIMES = "\N{MULTIPLICATION SIGN}"
OPERATIONS = {
    "nor_conv_3x3": (f"3{TIMES}3 conv", "conv"),
    "nor_conv_1x1": (f"1{TIMES}1 conv", "conv"),
    "avg_pool_3x3": (f"3{TIMES}3 avg pool", "pool"),
    "skip_connect": ("skip", "skip"),
}
NODE = Markup('<g class="node"><circle cx="{x}" cy="{y}" r="20"/><text x="{x}" y="{y}">{name}</text></g>')
EDGE = Markup(
    '<g class="edge {kind}"><path d="{path}" marker-end="url(#arrow-{kind})"/><text x="{x}" y="{y}">{name}</text></g>'
)
ARROW = Markup(
    '<marker id="arrow-{kind}" class="{kind}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="8" '
    'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 Z"/></marker>'
)


def cell_svg(cell: Iterable[tuple[int, int, str]]) -> Markup:
    """Draws the cell of Dong and Yang (2001.00326, figure 1): nodes are feature maps, edges operations.

    Args:
        cell: ``(from, to, operation)`` edges between nodes 0 to 3; those with ``none`` are not drawn.

    Returns:
        An ``<svg>`` element with a title and a description for screen readers; its colours are the page's.
    """
    edges = [
        (start, end, *OPERATIONS.get(operation, (operation, "other")))
        for start, end, operation in cell
        if operation != "none"
    ]
    described = "; ".join(f"{NAMES[start]} to {NAMES[end]}: {name}" for start, end, name, _ in edges) or "none"
    return Markup(
        '<svg class="cell" viewBox="0 0 400 398" role="img" aria-labelledby="cell-title cell-desc">'
        '<title id="cell-title">The found cell</title><desc id="cell-desc">Edges: {}.</desc>'
        "<defs>{}</defs>{}{}</svg>"
    ).format(
        described,
        _joined(ARROW.format(kind=kind) for kind in ("conv", "pool", "skip", "other")),
        _joined(_edge(*edge) for edge in edges),
        _joined(NODE.format(x=x, y=y, name=NAMES[node]) for node, (x, y) in NODES.items()),
    )


def _edge(start: int, end: int, name: str, kind: str) -> Markup:
    path, (x, y) = PATHS[start, end]
    return EDGE.format(path=path, x=x, y=y, name=name, kind=kind)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
