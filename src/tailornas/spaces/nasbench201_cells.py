"""Cells of NAS-Bench-201 (Dong & Yang 2020, arXiv 2001.00326) as architectures: their forms, their equalities."""

from collections.abc import Iterator, Sequence
from itertools import product

from tailornas.errors import ArchitectureError
from tailornas.spaces.grammar import Grammar
from tailornas.types import Architecture

__all__ = [
    "DECISIONS",
    "EDGES",
    "GRAMMAR",
    "OPERATIONS",
    "all_cells",
    "cell_edges",
    "cell_from_nodes",
    "cell_from_operations",
    "cell_nodes",
    "cell_operations",
]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
DECISIONS = tuple(f"{source}->{target}" for source, target in EDGES)


def cell_edges(arch: Architecture) -> list[tuple[int, int, str]]:
    """The cell as ``(from node, to node, operation)``, absent edges included, in the order of decisions."""
    options = dict(arch.choices)
    return [(source, target, options[key]) for (source, target), key in zip(EDGES, DECISIONS, strict=True)]


def cell_operations(arch: Architecture) -> tuple[str, ...]:
    """The six operations by name, in the order of decisions: 0->1, 0->2, 1->2, 0->3, 1->3, 2->3."""
    return tuple(operation for _, _, operation in cell_edges(arch))


def cell_nodes(arch: Architecture) -> tuple[tuple[tuple[str, int], ...], ...]:
    """The published code's genotype: for each node after the input its ``(operation, from node)`` pairs."""
    edges = cell_edges(arch)
    return tuple(
        tuple((operation, source) for source, target, operation in edges if target == node) for node in (1, 2, 3)
    )


def cell_from_operations(operations: Sequence[str]) -> Architecture:
    """The inverse of :func:`cell_operations`.

    Raises:
        ArchitectureError: not six operations of the space.
    """
    if len(operations) != len(DECISIONS):
        raise ArchitectureError(
            f"NAS-Bench-201 cell of {len(operations)} operations: expected {len(DECISIONS)}, of the edges "
            f"{', '.join(DECISIONS)}"
        )
    for key, operation in zip(DECISIONS, operations, strict=True):
        if operation not in OPERATIONS:
            raise ArchitectureError(
                f"NAS-Bench-201 cell, edge {key}: expected one of {', '.join(OPERATIONS)}, got {operation!r}"
            )
    return Architecture(tuple(zip(DECISIONS, operations, strict=True)))


def cell_from_nodes(nodes: Sequence[Sequence[tuple[str, int]]]) -> Architecture:
    """The inverse of :func:`cell_nodes`; the pairs of a node may come in any order.

    Raises:
        ArchitectureError: a node has not one edge from each earlier node, or an operation is not in the space.
    """
    ordered = [sorted(node, key=lambda pair: pair[1]) for node in nodes]
    sources = [[source for _, source in node] for node in ordered]
    if sources != [[0], [0, 1], [0, 1, 2]]:
        raise ArchitectureError(
            f"NAS-Bench-201 cell whose nodes have edges from {sources}: expected [[0], [0, 1], [0, 1, 2]]"
        )
    return cell_from_operations([operation for node in ordered for operation, _ in node])


def all_cells() -> Iterator[Architecture]:
    """All 15,625 architectures, the last decision changing fastest."""
    for operations in product(OPERATIONS, repeat=len(DECISIONS)):
        yield Architecture(tuple(zip(DECISIONS, operations, strict=True)))


def _canonical(arch: Architecture) -> str:
    """The paper's own key of isomorphic cells (sec. 3.1): 6,466 distinct ones over the whole space.

    It is the field's number, but it errs on both sides and so is not the identity that a search may trust. It does not
    tell a cell that adds the same convolution twice from one that adds two: 1,786 cells share their key with cells that
    have another number of parameters. And a node whose inputs are all zero is not always zero to it: removing dead
    edges changes the key of 900 cells.
    """
    nodes = ["0", "", "", ""]
    for target in (1, 2, 3):
        terms = []
        for source, end, operation in cell_edges(arch):
            if end == target:
                if operation == "none" or nodes[source] == "#":
                    terms.append("#")
                else:
                    start = nodes[source]
                    terms.append(start if operation == "skip_connect" else f"({start})@{operation}")
        nodes[target] = "+".join(sorted(terms))
    return nodes[3]


def _live(present: int) -> int:
    """Of the edges that are present, one a bit, those that a path from input to output uses."""
    fed, used = {0}, {3}
    edges = [edge for bit, edge in enumerate(EDGES) if present >> bit & 1]
    for source, target in edges:
        if source in fed:
            fed.add(target)
    for source, target in reversed(edges):
        if target in used:
            used.add(source)
    return sum(
        1 << bit
        for bit, (source, target) in enumerate(EDGES)
        if present >> bit & 1 and source in fed and target in used
    )


BITS = tuple(1 << bit for bit in range(len(EDGES)))
LIVE = tuple(_live(present) for present in range(1 << len(EDGES)))


def _simplify(arch: Architecture) -> Architecture:
    """Edges that no path from input to output uses become none."""
    present = 0
    for bit, (_, option) in zip(BITS, arch.choices, strict=True):
        if option != "none":
            present |= bit
    live = LIVE[present]
    if live == present:
        return arch
    return Architecture(
        tuple((key, option if live & bit else "none") for bit, (key, option) in zip(BITS, arch.choices, strict=True))
    )


NOTHING = tuple((key, "none") for key in DECISIONS)


def _identity(arch: Architecture) -> str:
    """Writes the output of a simplified cell as a sorted sum of expressions in its input x: 5,044 over the space.

    A skip connection passes on the terms of its node; average pooling, being linear, applies to each of them. A star
    tells twice the same convolution from the sum of two: only the one into node 1 can occur twice, and does if two
    edges leave that node.

    Equal keys mean equal functions, up to rounding, under some assignment of weights to weights, and different keys
    mean different functions. In 90 pairs they differ little, as batch norm removes the factor in
    nor_conv_1x1(x + x), but for its epsilon and until its running statistics are used: they are kept apart.
    """
    options = [option for _, option in arch.choices]
    twice = options[2] != "none" != options[4]
    nodes: list[list[str]] = [["x"], [], [], []]
    for (source, target), operation in zip(EDGES, options, strict=True):
        if operation == "none":
            continue
        start = nodes[source]
        if operation == "skip_connect":
            nodes[target] += start
        elif operation == "avg_pool_3x3":
            nodes[target] += [f"avg_pool_3x3({term})" for term in start]
        else:
            star = "*" if twice and target == 1 else ""
            inputs = start[0] if len(start) == 1 else " + ".join(sorted(start))
            nodes[target].append(f"{operation}{star}({inputs})")
    return " + ".join(sorted(nodes[3])) or "0"


def _valid(arch: Architecture) -> bool:
    """Whether a path leads from input to output; of a simplified cell, whether an edge is left."""
    return arch.choices != NOTHING


def _to_text(arch: Architecture) -> str:
    parts = [f"|{operation}~{source}" for source, _, operation in cell_edges(arch)]
    return "+".join("".join(parts[first:last]) + "|" for first, last in ((0, 1), (1, 3), (3, 6)))


def _from_text(text: str) -> Architecture:
    """Reads the published form, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``, where ~0 is the input node."""
    choices: list[tuple[str, str]] = []
    at = 0
    for key, (source, target) in zip(DECISIONS, EDGES, strict=True):
        opening = "|" if (source, target) == (0, 1) else "|+|" if source == 0 else "|"
        at = _expect(text, at, opening)
        operation = text[at:].partition("~")[0]
        if operation not in OPERATIONS:
            shown = operation if len(operation) < 20 else operation[:20] + "..."
            raise ArchitectureError(
                f"NAS-Bench-201 cell, position {at}: expected one of {', '.join(OPERATIONS)} and ~{source}, "
                f"got {shown!r}"
            )
        choices.append((key, operation))
        at = _expect(text, at + len(operation), f"~{source}")
    at = _expect(text, at, "|")
    if at != len(text):
        raise ArchitectureError(f"NAS-Bench-201 cell, position {at}: expected the end, got {text[at : at + 20]!r}")
    return Architecture(tuple(choices))


def _expect(text: str, at: int, token: str) -> int:
    if not text.startswith(token, at):
        raise ArchitectureError(
            f"NAS-Bench-201 cell, position {at}: expected {token!r}, got {text[at : at + len(token)]!r}; the form is "
            "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
        )
    return at + len(token)


GRAMMAR = Grammar(
    simplify=_simplify, identity=_identity, canonical=_canonical, valid=_valid, to_text=_to_text, from_text=_from_text
)
