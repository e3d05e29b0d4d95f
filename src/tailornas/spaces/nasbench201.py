"""The NAS-Bench-201 search space (Dong & Yang 2020, arXiv 2001.00326)."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.spaces.choice import Choice
from tailornas.spaces.nasbench201_cells import DECISIONS, EDGES, GRAMMAR
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import AvgPool, Identity, Node, ReLUConvBN, Zero, initialise
from tailornas.spaces.space import SearchSpace

__all__ = ["NASBench201", "nasbench201"]


def _operations(channels: int) -> dict[str, nn.Module]:
    return {
        "none": Zero(),
        "skip_connect": Identity(),
        "nor_conv_1x1": ReLUConvBN(channels, channels, 1),
        "nor_conv_3x3": ReLUConvBN(channels, channels, 3),
        "avg_pool_3x3": AvgPool(),
    }


@final
class Cell(nn.Module):
    """Four nodes; the first is the input, the last the output, each the sum of its edges from all earlier ones.

    An edge from a node without inputs adds nothing. The published code runs it on zeros, so that a batch norm's shift
    leaks out of it; here a path from nowhere is nothing, which is what isomorphism of cells presumes.

    Args:
        channels: of every node.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(Choice(key, _operations(channels)) for key in DECISIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, channels, height, width)`` to the same shape; zeros if no path reaches the output."""
        nodes: list[Node | None] = [Node(x)]
        for target in (1, 2, 3):
            terms = [
                edge(nodes[source])
                for (source, end), edge in zip(EDGES, self.edges, strict=True)
                if end == target and nodes[source] is not None
            ]
            total = _sum([term for term in terms if term is not None])
            nodes.append(None if total is None else Node(total))
        output = nodes[3]
        return torch.zeros_like(x) if output is None else output.value


def _sum(terms: list[Tensor]) -> Tensor | None:
    """The sum, None of nothing. A term may be shared with other edges, a sum of two is new: that one grows in place."""
    if len(terms) < 2:
        return terms[0] if terms else None
    total = terms[0] + terms[1]
    for term in terms[2:]:
        total.add_(term)
    return total


@final
class Reduction(nn.Module):
    """The residual block between stages: halves the image, an odd size rounded up, and doubles the channels.

    Args:
        inputs: channels in.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(inputs, 2 * inputs, 3, stride=2)
        self.conv_b = ReLUConvBN(2 * inputs, 2 * inputs, 3)
        self.shortcut = nn.Conv2d(inputs, 2 * inputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, 2 × inputs, height / 2, width / 2)``."""
        y: Tensor = self.conv_b(Node(self.conv_a(Node(x))))
        return y.add_(self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True)))


@final
class NASBench201(Backbone):
    """Stem, three stages of cells with 1, 2 and 4 times the channels, reductions between them, pooling, head.

    Args:
        channels: of the first stage.
        cells_per_stage: cells in each stage.
        classes: outputs of the head.
    """

    def __init__(self, channels: int, cells_per_stage: int, classes: int) -> None:
        super().__init__(4 * channels, classes)
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        stages = [[Cell(width) for _ in range(cells_per_stage)] for width in (channels, 2 * channels, 4 * channels)]
        self.cells = nn.Sequential(*stages[0], Reduction(channels), *stages[1], Reduction(2 * channels), *stages[2])
        self.bn = nn.BatchNorm2d(4 * channels)

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, 4 × channels)``."""
        return F.relu_(self.bn(self.cells(self.stem(x)))).mean((2, 3))


def nasbench201(
    *, generator: torch.Generator, channels: int = 16, cells_per_stage: int = 5, classes: int = 10
) -> SearchSpace[NASBench201]:
    """Builds the space of 15,625 cells with its supernet.

    Args:
        generator: draws the supernet's weights.
        channels: C of the paper, of the first of three stages.
        cells_per_stage: N of the paper. All cells share their decisions.
        classes: outputs of the linear head.
    """
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = NASBench201(channels, cells_per_stage, classes)
    initialise(network, generator)
    return SearchSpace(network, GRAMMAR)
