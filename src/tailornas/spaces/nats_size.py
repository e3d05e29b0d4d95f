"""The size search space of NATS-Bench (Dong et al. 2021, arXiv 2009.00437): five widths around a fixed cell."""

from collections.abc import Iterator, Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Conditions, Decision
from tailornas.spaces.copying import copy_module
from tailornas.spaces.dimension import Dimension, current, mask
from tailornas.spaces.elastic import ElasticBatchNorm2d
from tailornas.spaces.elastic_conv import ElasticConv2d
from tailornas.spaces.grammar import Grammar
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import initialise
from tailornas.spaces.space import SearchSpace
from tailornas.types import Architecture

__all__ = ["NATSSize", "nats_size"]

WIDTHS = tuple(range(8, 65, 8))
DECISIONS = tuple(f"width{layer}" for layer in range(1, 6))
FORM = "five widths, 8:8:8:8:8 to 64:64:64:64:64 in steps of 8"


def _conv_bn(inputs: Dimension, outputs: Dimension, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(ElasticConv2d(inputs, outputs, kernel, stride=stride), ElasticBatchNorm2d(outputs))


@final
class Skip(nn.Module):
    """The skip connection: the input itself where the width stays, a 1 × 1 convolution and batch norm where it changes.

    A mixture sums both under the total weight of the pairs of widths that are equal and that are not.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: Dimension, outputs: Dimension) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.projection = _conv_bn(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height, width)``."""
        if self.inputs is self.outputs:
            return x
        if isinstance(self.inputs.active, tuple) and isinstance(self.outputs.active, tuple):
            pairs = torch.outer(torch.stack(self.inputs.active), torch.stack(self.outputs.active))
            same = pairs.diagonal().sum()
            projected: Tensor = self.projection(x)
            return mask(x, self.inputs) * same + projected * (pairs.sum() - same)
        if current(self.inputs) == current(self.outputs):
            return x
        output: Tensor = self.projection(x)
        return output

    def decisions(self) -> tuple[Decision, ...]:
        """Both widths."""
        return (self.inputs, self.outputs)

    def parts(self) -> Iterator[tuple[str, nn.Module, Conditions]]:
        """The projection, where the widths differ."""
        if self.inputs is not self.outputs:
            for name in self.inputs.names:
                others = frozenset(self.outputs.names) - {name}
                yield "projection", self.projection, ((self.inputs.key, frozenset({name})), (self.outputs.key, others))

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Module:
        """The identity, or a copy of the projection."""
        same = choices[self.inputs.key] == choices[self.outputs.key]
        return nn.Identity().train(self.training) if same else copy_module(self.projection, copies)


@final
class Cell(nn.Module):
    """The cell of highest validation accuracy on CIFAR-100 in the topology space (NAS-Bench-201's number 9,930).

    ``|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|``, where edges
    from the input change the width.

    Args:
        inputs: channels of the first node.
        outputs: channels of the other three.
    """

    def __init__(self, inputs: Dimension, outputs: Dimension) -> None:
        super().__init__()
        self.edges = nn.ModuleDict(
            {
                "0->1": _conv_bn(inputs, outputs, 3),
                "0->2": _conv_bn(inputs, outputs, 3),
                "1->2": _conv_bn(outputs, outputs, 3),
                "0->3": Skip(inputs, outputs),
                "1->3": _conv_bn(outputs, outputs, 3),
                "2->3": _conv_bn(outputs, outputs, 3),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height, width)``."""
        edge = self.edges
        start = F.relu(x)
        one = F.relu_(edge["0->1"](start))
        two = F.relu_(edge["0->2"](start).add_(edge["1->2"](one)))
        output: Tensor = edge["1->3"](one).add_(edge["2->3"](two)).add_(edge["0->3"](x))
        return output


@final
class Reduction(nn.Module):
    """The residual block between stages: halves the image, an odd size rounded up.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: Dimension, outputs: Dimension) -> None:
        super().__init__()
        self.conv_a = _conv_bn(inputs, outputs, 3, stride=2)
        self.conv_b = _conv_bn(outputs, outputs, 3)
        self.shortcut = ElasticConv2d(inputs, outputs, 1, masked=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height / 2, width / 2)``."""
        y: Tensor = self.conv_b(F.relu_(self.conv_a(F.relu(x))))
        return y.add_(self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True)))


@final
class NATSSize(Backbone):
    """Stem, cell, reduction, cell, reduction, cell, pooling, head.

    The stem and the first cell have the first width, each later layer has one of its own.

    Args:
        classes: outputs of the head.
    """

    def __init__(self, classes: int) -> None:
        widths = [Dimension(key, {str(width): width for width in WIDTHS}) for key in DECISIONS]
        super().__init__(widths[4], classes)
        self.stem = nn.Sequential(ElasticConv2d(3, widths[0], 3), ElasticBatchNorm2d(widths[0]))
        self.layers = nn.Sequential(
            Cell(widths[0], widths[0]),
            Reduction(widths[0], widths[1]),
            Cell(widths[1], widths[2]),
            Reduction(widths[2], widths[3]),
            Cell(widths[3], widths[4]),
        )
        self.bn = ElasticBatchNorm2d(widths[4])

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, fifth width)``."""
        return F.relu_(self.bn(self.layers(self.stem(x)))).mean((2, 3))


def nats_size(*, generator: torch.Generator, classes: int = 10) -> SearchSpace[NATSSize]:
    """Builds the space of 32,768 tuples of widths with its supernet.

    The text form is the published one, ``8:16:24:32:64``.

    Args:
        generator: draws the supernet's weights.
        classes: outputs of the linear head.
    """
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = NATSSize(classes)
    initialise(network, generator)
    return SearchSpace(network, Grammar(to_text=_to_text, from_text=_from_text))


def _to_text(arch: Architecture) -> str:
    return ":".join(arch[key] for key in DECISIONS)


def _from_text(text: str) -> Architecture:
    widths = text.split(":")
    at = 0
    for width in widths:
        if width not in map(str, WIDTHS):
            raise ArchitectureError(f"NATS-Bench size, position {at}: got {width[:20]!r}, expected {FORM}")
        at += len(width) + 1
    if len(widths) != len(DECISIONS):
        raise ArchitectureError(f"NATS-Bench size {text[:40]!r}: got {len(widths)} widths, expected {FORM}")
    return Architecture(tuple(zip(DECISIONS, widths, strict=True)))
