"""Genotypes, the cells of the DARTS family as values, and their published text form."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, Self, TypeVar, final

from tailornas.errors import ArchitectureError

__all__ = ["OPERATIONS", "PRIMITIVES", "Edge", "Genotype"]

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operations that DARTS searches over, in the published order; ``none`` is the absent edge."""

OPERATIONS = (*PRIMITIVES, "sep_conv_7x7", "conv_7x1_1x7")
"""The operations that a genotype may name: those of NASNet and AmoebaNet too."""

FORM = "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"

ItemT = TypeVar("ItemT")


class Edge(NamedTuple):
    """One operation between two nodes of a cell."""

    operation: str
    target: int
    """The node that the output is added to; the first intermediate node is 2."""
    source: int
    """The node that is the input; 0 and 1 are the outputs of the two preceding cells."""


@final
@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell (DARTS, arXiv 1806.09055, sec. 2.1).

    A node is the sum of the edges into it, a cell's output the concatenation of some of its nodes. A node without
    inputs is left out of both: it is not concatenated and edges from it add nothing, as FairDARTS (arXiv 1911.12126)
    does with what it calls isolated nodes. See :meth:`simplified`.

    Args:
        normal: edges of the cell that keeps the image size, ordered by target.
        normal_concat: its nodes that form the output.
        reduce: edges of the cell that halves the image.
        reduce_concat: its nodes that form the output.

    Raises:
        ArchitectureError: an edge that does not lead from an earlier to a later node, or a node concatenated twice.
    """

    normal: tuple[Edge, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Edge, ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for cell, edges, concat in (
            ("normal", self.normal, self.normal_concat),
            ("reduce", self.reduce, self.reduce_concat),
        ):
            for operation, target, source in edges:
                if operation not in OPERATIONS[1:]:
                    raise ArchitectureError(
                        f"genotype, {cell} cell: unknown operation {operation!r}: expected one of "
                        f"{', '.join(OPERATIONS[1:])}"
                    )
                if not 0 <= source < target or target < 2:
                    raise ArchitectureError(
                        f"genotype, {cell} cell: an edge from node {source} to node {target}: expected one from an "
                        "earlier node to node 2 or a later one"
                    )
            if len(set(concat)) != len(concat) or any(node < 2 for node in concat):
                raise ArchitectureError(
                    f"genotype, {cell}_concat {list(concat)}: expected nodes from 2 on, each at most once"
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the published text form.

        Edges are ``(operation, source)``, two a node, as in DARTS, or ``(operation, target, source)``, as in FairDARTS.
        One whose operation is ``none`` is absent. Nothing is evaluated.

        Raises:
            ArchitectureError: the text is malformed; says where and what was expected.
        """
        reader = _Reader(text)
        reader.expect("Genotype")
        reader.expect("(")
        normal, normal_concat = reader.field("normal", reader.edges), reader.field("normal_concat", reader.nodes)
        reduce, reduce_concat = (
            reader.field("reduce", reader.edges),
            reader.field("reduce_concat", reader.nodes, last=True),
        )
        reader.expect(")")
        reader.end()
        return cls(normal, normal_concat, reduce, reduce_concat)

    def __str__(self) -> str:
        """The published text form; edges with their target where a node has fewer or more than two, as in FairDARTS."""
        paired = all(_paired(edges) for edges in (self.normal, self.reduce))
        return (
            f"Genotype(normal={_edges_text(self.normal, paired)}, normal_concat={_nodes_text(self.normal_concat)}, "
            f"reduce={_edges_text(self.reduce, paired)}, reduce_concat={_nodes_text(self.reduce_concat)})"
        )

    def simplified(self) -> Self:
        """The same cells without edges from nodes without inputs, and without edges that the output does not use."""
        return type(self)(*_live(self.normal, self.normal_concat), *_live(self.reduce, self.reduce_concat))


def _live(edges: tuple[Edge, ...], concat: tuple[int, ...]) -> tuple[tuple[Edge, ...], tuple[int, ...]]:
    fed = {0, 1}
    ordered = sorted(edges, key=lambda edge: edge.target)
    for edge in ordered:
        if edge.source in fed:
            fed.add(edge.target)
    nodes = tuple(node for node in concat if node in fed)
    used = set(nodes)
    for edge in reversed(ordered):
        if edge.target in used:
            used.add(edge.source)
    return tuple(edge for edge in ordered if edge.source in fed and edge.target in used), nodes


def _paired(edges: tuple[Edge, ...]) -> bool:
    """Whether the edges' order tells their targets: two a node."""
    return [edge.target for edge in edges] == [2 + position // 2 for position in range(len(edges) // 2 * 2)]


def _edges_text(edges: tuple[Edge, ...], paired: bool) -> str:
    return str([(e.operation, e.source) if paired else (e.operation, e.target, e.source) for e in edges])


def _nodes_text(nodes: tuple[int, ...]) -> str:
    run = bool(nodes) and nodes == tuple(range(nodes[0], nodes[-1] + 1))
    return f"range({nodes[0]}, {nodes[-1] + 1})" if run else str(list(nodes))


@final
class _Reader:
    """Reads a text from the left; every mistake is told with its position."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def field(self, name: str, read: Callable[[], ItemT], *, last: bool = False) -> ItemT:
        """``name=value,``; the last field's comma may be left out."""
        self.expect(name)
        self.expect("=")
        value = read()
        if not last or self.sees(","):
            self.expect(",")
        return value

    def edges(self) -> tuple[Edge, ...]:
        """A list of pairs, two a node, or of triples; the first entry tells which."""
        entries = self.items(self.entry)
        edges = []
        for position, (at, operation, nodes) in enumerate(entries):
            if len(nodes) != len(entries[0][2]):
                self._fail(f"{1 + len(entries[0][2])} items in each edge, as in the first one", at)
            target, source = nodes if len(nodes) == 2 else (2 + position // 2, nodes[0])
            if target < 2 or source >= target:
                self._fail(f"an edge into node {max(2, target)} from node 0 to {max(1, target - 1)}", at)
            if operation != "none":
                edges.append(Edge(operation, target, source))
        if entries and len(entries[0][2]) == 1 and len(entries) % 2:
            self._fail(f"two edges into node {2 + len(entries) // 2}, or edges with targets", entries[-1][0])
        return tuple(sorted(edges, key=lambda edge: edge.target))

    def entry(self) -> tuple[int, str, tuple[int, ...]]:
        """The position of an edge, its operation and its node or nodes."""
        at = self.expect("(")
        operation = self.operation()
        self.expect(",")
        nodes: tuple[int, ...] = (self.number(),)
        if self.sees(","):
            self.expect(",")
            nodes = (*nodes, self.number())
        self.expect(")")
        return at, operation, nodes

    def nodes(self) -> tuple[int, ...]:
        """``range(first, end)`` or a list of nodes."""
        if not self.sees("range"):
            return tuple(self.items(self.number))
        self.expect("range")
        self.expect("(")
        first = self.number()
        self.expect(",")
        end = self.number()
        self.expect(")")
        return tuple(range(first, end))

    def items(self, read: Callable[[], ItemT]) -> list[ItemT]:
        """A list of what ``read`` reads; a comma may follow the last one."""
        self.expect("[")
        items = []
        while not self.sees("]"):
            items.append(read())
            if not self.sees("]"):
                self.expect(",")
        self.expect("]")
        return items

    def operation(self) -> str:
        """One of :data:`OPERATIONS` in quotes."""
        quoted = {mark + name + mark: name for name in OPERATIONS for mark in "'\""}
        found = next(filter(self.sees, quoted), None)
        if found is None:
            self._fail(f"an operation in quotes, one of {', '.join(OPERATIONS)}")
        self.expect(found)
        return quoted[found]

    def number(self) -> int:
        """A node: of at most two digits, so that a range is no way to ask for all memory there is."""
        self._skip()
        digits = re.compile(r"[0-9]{1,2}(?![0-9])").match(self.text, self.at)
        if digits is None:
            self._fail("a node, 0 to 99")
        self.at = digits.end()
        return int(digits[0])

    def sees(self, token: str) -> bool:
        """Whether ``token`` follows, after any white space."""
        self._skip()
        return self.text.startswith(token, self.at)

    def expect(self, token: str) -> int:
        """Reads ``token`` and returns its position."""
        if not self.sees(token):
            self._fail(repr(token))
        at, self.at = self.at, self.at + len(token)
        return at

    def end(self) -> None:
        """Checks that nothing follows."""
        self._skip()
        if self.at != len(self.text):
            self._fail("the end")

    def _skip(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def _fail(self, expected: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        raise ArchitectureError(
            f"genotype, position {at}: expected {expected}, got {self.text[at : at + 20]!r}; the form is {FORM}"
        )
