"""The DARTS search space (Liu et al. 2019, arXiv 1806.09055), of FairDARTS (arXiv 1911.12126) too."""

from itertools import combinations, permutations, product
from typing import Literal

import torch

from tailornas.errors import ArchitectureError, ConfigError, UnknownNameError
from tailornas.spaces.choice import Choice
from tailornas.spaces.darts_network import DARTSNetwork, Edges
from tailornas.spaces.darts_operations import operation
from tailornas.spaces.genotype import PRIMITIVES, Edge, Genotype
from tailornas.spaces.genotypes import GENOTYPES, published_genotype
from tailornas.spaces.grammar import Grammar
from tailornas.spaces.group import Group
from tailornas.spaces.operations import initialise
from tailornas.spaces.space import SearchSpace
from tailornas.types import Architecture

__all__ = ["architecture_of", "darts", "genotype_of"]

CELLS: tuple[Literal["normal", "reduce"], ...] = ("normal", "reduce")
NODES = (2, 3, 4, 5)
EDGES = tuple((source, target) for target in NODES for source in range(target))


def darts(
    *,
    generator: torch.Generator,
    channels: int = 16,
    cells: int = 8,
    classes: int = 10,
    form: Literal["search", "evaluation"] = "search",
) -> SearchSpace[DARTSNetwork]:
    """Builds the space of normal and reduction cells with its supernet, the search network.

    A cell has four nodes and 14 edges, each of which takes one of eight operations. Random methods draw architectures
    as DARTS derives them: two edges into every node, the others ``none``: about 10¹⁸. Any other architecture can be
    built and run too. Its nodes without inputs are zeros, which have the same effect on all that follows as leaving
    them out of the concatenation, as :func:`~tailornas.spaces.darts_network.darts_network` and FairDARTS do.

    FairDARTS searches over seven operations, without ``none``. That is this space too: the output of ``none`` is zero,
    so a mixture is the same whatever the weight of ``none``, and only weights that compete with each other, as in a
    softmax, need to give it any. As an option it stays: an architecture has no other way to leave out an edge.

    Args:
        generator: draws the supernet's weights.
        channels: C of the paper, of the nodes of the first cells.
        cells: how many; those after one and two thirds reduce. All normal cells share their decisions, and all
            reduction cells.
        classes: outputs of the linear head.
        form: ``search``: batch norms inside cells without scale and shift, and one after each pooling, as published for
            differentiable search. ``evaluation``: the operations of the finished network, so that what is derived is
            that network; for supernets that train one path at a time.

    Raises:
        ConfigError: fewer than 3 cells, or another form.
    """
    if form not in ("search", "evaluation"):
        raise ConfigError(f"form {form!r} of the DARTS network: expected 'search' or 'evaluation'")
    search = form == "search"

    def edges(width: int, stride: int) -> Edges:
        cell = CELLS[stride - 1]
        for source, target in EDGES:
            options = {name: operation(name, width, stride if source < 2 else 1, search=search) for name in PRIMITIVES}
            yield source, target, Choice(_key(cell, source, target), options)

    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = DARTSNetwork(edges, NODES, NODES, channels=channels, cells=cells, classes=classes, affine=not search)
    initialise(network, generator)
    return SearchSpace(network, GRAMMAR)


def _key(cell: str, source: int, target: int) -> str:
    return f"{cell}:{source}->{target}"


DECISIONS = tuple(_key(cell, source, target) for cell in CELLS for source, target in EDGES)


def genotype_of(arch: Architecture) -> Genotype:
    """The genotype of an architecture, which concatenates all nodes."""
    normal, reduce = (
        tuple(
            Edge(arch[key], target, source)
            for source, target in EDGES
            if arch[key := _key(cell, source, target)] != "none"
        )
        for cell in CELLS
    )
    return Genotype(normal, NODES, reduce, NODES)


def architecture_of(genotype: Genotype) -> Architecture:
    """The architecture of a genotype.

    Raises:
        ArchitectureError: the genotype is not in the space: it has another node or operation, two operations on an
            edge, or does not concatenate a node that has inputs.
    """
    choices = dict.fromkeys(DECISIONS, "none")
    for cell, edges, concat in (
        ("normal", genotype.normal, genotype.normal_concat),
        ("reduce", genotype.reduce, genotype.reduce_concat),
    ):
        for name, target, source in edges:
            if target not in NODES or name not in PRIMITIVES:
                raise ArchitectureError(
                    f"genotype, {cell} cell: {name} from node {source} to node {target} is not in the DARTS space: "
                    f"expected targets 2 to 5 and one of {', '.join(PRIMITIVES)}"
                )
        for name, target, source in edges:
            key = _key(cell, source, target)
            if choices[key] != "none":
                raise ArchitectureError(
                    f"genotype, {cell} cell: {choices[key]} and {name} from node {source} to node {target}: expected "
                    "one operation on an edge"
                )
            choices[key] = name
        left_out = {target for _, target, _ in edges} - set(concat)
        if left_out:
            raise ArchitectureError(
                f"genotype, {cell}_concat {list(concat)}: expected all nodes with inputs, node {min(left_out)} too"
            )
    return Architecture.of(choices)


def _simplify(arch: Architecture) -> Architecture:
    """Edges from nodes without inputs become none."""
    choices = dict(arch.choices)
    for cell in CELLS:
        fed = {0, 1}
        for source, target in EDGES:
            key = _key(cell, source, target)
            if source not in fed:
                choices[key] = "none"
            elif choices[key] != "none":
                fed.add(target)
    return Architecture.of(choices)


def _valid(arch: Architecture) -> bool:
    """Whether both cells have an edge."""
    return all(any(arch[_key(cell, *ends)] != "none" for ends in EDGES) for cell in CELLS)


def _identity(arch: Architecture) -> str:
    """Writes both cells with their nodes in the order that gives the least text: the order of nodes means nothing.

    A new order exchanges channels of the concatenation, which exchanges weights of what reads them. Cells that are
    equal for other reasons keep different keys: a skip connection from a node whose inputs are skip connections.
    """
    texts = []
    for cell in CELLS:
        edges = [
            (source, target, name) for source, target in EDGES if (name := arch[_key(cell, source, target)]) != "none"
        ]
        renamed = (
            sorted((order[target], order[source], name) for source, target, name in edges)
            for order in ORDERS
            if all(order[source] < order[target] for source, target, _ in edges)
        )
        texts.append(" ".join(f"{target}={name}({source})" for target, source, name in min(renamed)))
    return " | ".join(texts)


ORDERS = tuple((0, 1, *order) for order in permutations(NODES))


def _from_text(text: str) -> Architecture:
    """Reads the published form, or the name of a published genotype."""
    if "(" in text:
        return architecture_of(Genotype.parse(text))
    try:
        genotype = published_genotype(text)
    except UnknownNameError as error:
        known = UnknownNameError(error.kind, text, [name for name in error.known if _in_space(GENOTYPES[name])])
        raise ArchitectureError(f"{known}, or a text of the form Genotype(normal=[...], ...)") from None
    return architecture_of(genotype)


def _in_space(genotype: Genotype) -> bool:
    try:
        architecture_of(genotype)
    except ArchitectureError:
        return False
    return True


GRAMMAR = Grammar(
    simplify=_simplify,
    identity=_identity,
    valid=_valid,
    to_text=lambda arch: str(genotype_of(arch)),
    from_text=_from_text,
    groups=tuple(
        Group(
            keys=tuple(_key(cell, source, target) for source in range(target)),
            options=tuple(
                tuple(dict(zip(pair, names, strict=True)).get(source, "none") for source in range(target))
                for pair in combinations(range(target), 2)
                for names in product(PRIMITIVES[1:], repeat=2)
            ),
        )
        for cell in CELLS
        for target in NODES
    ),
)
