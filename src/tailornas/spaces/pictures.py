"""What is drawn of an architecture, by space."""

from collections.abc import Callable

from torch import nn

from tailornas.spaces.build import SpaceConfig
from tailornas.spaces.cell_drawing import Cell, Edge, draw_cells
from tailornas.spaces.darts import genotype_of
from tailornas.spaces.nasbench201_cells import cell_edges
from tailornas.spaces.network import Backbone
from tailornas.spaces.space import SearchSpace
from tailornas.spaces.strip_drawing import Block, Stage, draw_strip
from tailornas.types import Architecture

__all__ = ["draw"]

Space = SearchSpace[Backbone]


def draw(config: SpaceConfig, space: Space, arch: Architecture) -> str:
    """Draws an architecture as SVG: cells as graphs, elastic networks as strips, others decision by decision.

    Args:
        config: the space's name and parameters.
        space: the space.
        arch: one of its architectures. Parts that cannot reach the output are left out.
    """
    return PICTURES.get(config.name, _decisions)(config.name, space, space.simplify(arch))


def _nasbench201(name: str, space: Space, arch: Architecture) -> str:
    edges = tuple(Edge(*edge) for edge in cell_edges(arch) if edge[2] != "none")
    cell = Cell("the cell, repeated in three stages; a node is the sum of its edges", ("in", "1", "2", "out"), edges)
    return draw_cells(name, space.to_text(arch), [cell])


def _darts(name: str, space: Space, arch: Architecture) -> str:
    genotype = genotype_of(arch)
    nodes = ("c(k-2)", "c(k-1)", "0", "1", "2", "3", "out")
    cells = [
        Cell(
            title,
            nodes,
            tuple(Edge(edge.source, edge.target, edge.operation) for edge in edges),
            tuple(node for node in concat if any(edge.target == node for edge in edges)),
        )
        for title, edges, concat in (
            ("normal cell", genotype.normal, genotype.normal_concat),
            ("reduction cell", genotype.reduce, genotype.reduce_concat),
        )
    ]
    return draw_cells(name, str(genotype), cells)


def _elastic(name: str, space: Space, arch: Architecture) -> str:
    """The stem, and one block of the strip for each block of the network's stages."""
    network = space.derive(arch)
    stages = [list(stage.children()) for stage in network.get_submodule("stages").children()]
    layers = [[_convolutions(network)[:1]], *([_convolutions(block) for block in stage] for stage in stages)]
    widest = max(block[-1].out_channels for stage in layers for block in stage)
    drawn = [
        Stage(f"stage {number}" if number else "stem", tuple(_block(block, widest) for block in stage))
        for number, stage in enumerate(layers)
        if stage
    ]
    expands = any(conv.groups > 1 for stage in layers for block in stage for conv in block)
    legend = "height and number below: channels; k and colour: kernel size" + ("; e: expansion" if expands else "")
    resolution = dict(arch).get("resolution")
    title = name if resolution is None else f"{name}, {resolution} pixels"
    return draw_strip(title, space.to_text(arch), drawn, legend)


def _convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [module for module in block.modules() if isinstance(module, nn.Conv2d)]


def _block(convolutions: list[nn.Conv2d], widest: int) -> Block:
    outputs, inputs = convolutions[-1].out_channels, convolutions[0].in_channels
    kernel = max(conv.kernel_size[0] for conv in convolutions)
    lines = [f"k{kernel}"]
    if any(conv.groups > 1 for conv in convolutions):
        lines.append(f"e{convolutions[0].out_channels / inputs:.2g}")
    return Block(tuple(lines), str(outputs), (outputs / widest) ** 0.5, tone=min(kernel // 2, 3))


def _nats_size(name: str, space: Space, arch: Architecture) -> str:
    widths = [int(width) for _, width in arch.choices]
    titles = ("stem", "cell", "reduction", "cell", "reduction", "cell")
    blocks = tuple(
        Block((title,), str(width), (width / max(widths)) ** 0.5, tone=2 if title == "cell" else 1)
        for title, width in zip(titles, [widths[0], *widths], strict=True)
    )
    return draw_strip(name, space.to_text(arch), [Stage("", blocks)], "height and number below: channels")


def _decisions(name: str, space: Space, arch: Architecture) -> str:
    """One block of the strip for each decision."""
    blocks = tuple(Block((option,), key) for key, option in arch.choices)
    return draw_strip(name, space.to_text(arch), [Stage("decisions in the order of the network", blocks)])


PICTURES: dict[str, Callable[[str, Space, Architecture], str]] = {
    "darts": _darts,
    "mobilenet": _elastic,
    "nasbench201": _nasbench201,
    "nats-size": _nats_size,
    "resnet": _elastic,
}
"""Name of a space -> drawing ``(name, space, simplified architecture)``."""
