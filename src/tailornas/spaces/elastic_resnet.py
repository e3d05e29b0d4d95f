"""A space of residual networks for small images: the depth, width and kernel size of each stage are decided."""

import re
from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces.dimension import Dimension
from tailornas.spaces.elastic import ElasticBatchNorm2d, ElasticDepth
from tailornas.spaces.elastic_conv import ElasticConv2d
from tailornas.spaces.grammar import Grammar
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import initialise
from tailornas.spaces.resnet import BasicBlock
from tailornas.spaces.space import SearchSpace
from tailornas.types import Architecture

__all__ = ["ElasticResNet", "elastic_resnet"]

WIDTHS = ((2, 3, 4), (4, 6, 8), (8, 12, 16, 24))
"""Widths of the three stages, in quarters of the channels of the residual network that the space surrounds.

No width is below one of the stage before, so that the shortcuts without parameters only ever add channels.
"""

FORM = "DEPTHxWIDTHkKERNEL for each of three stages, such as 3x16k3-3x32k3-3x64k3"


@final
class ElasticResNet(Backbone):
    """The network of :class:`~tailornas.spaces.resnet.CifarResNet` with depth, width and kernel size left open.

    Args:
        channels: a multiple of 4; the widths to choose from surround 1, 2 and 4 times as many.
        depths: numbers of blocks to choose from; the first stage can have none as well.
        kernels: kernel sizes to choose from.
        classes: outputs of the head.
    """

    def __init__(self, channels: int, depths: Sequence[int], kernels: Sequence[int], classes: int) -> None:
        widths = [
            _dimension(f"width{stage}", [channels // 4 * width for width in quarters])
            for stage, quarters in enumerate(WIDTHS, start=1)
        ]
        super().__init__(widths[-1], classes)
        self.conv = ElasticConv2d(3, widths[0], 3)
        self.bn = ElasticBatchNorm2d(widths[0])
        self.stages = nn.Sequential()
        for stage, width in enumerate(widths, start=1):
            depth = _dimension(f"depth{stage}", [0, *depths] if stage == 1 else depths)
            kernel = _dimension(f"kernel{stage}", kernels)
            inputs, stride = (width, 1) if stage == 1 else (widths[stage - 2], 2)
            blocks = [BasicBlock(inputs, width, stride, kernel)]
            blocks += [BasicBlock(width, width, 1, kernel) for _ in range(depth.largest - 1)]
            self.stages.append(ElasticDepth(depth, blocks))

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, width of the last stage)``."""
        y: Tensor = self.stages(F.relu_(self.bn(self.conv(x))))
        return y.mean((2, 3))


def elastic_resnet(
    *,
    generator: torch.Generator,
    channels: int = 16,
    depths: Sequence[int] = (1, 2, 3, 5, 7),
    kernels: Sequence[int] = (3, 5),
    classes: int = 10,
) -> SearchSpace[ElasticResNet]:
    """Builds a space of residual networks of basic blocks, from 2 M to 377 M multiply-accumulates at 32 × 32 pixels.

    The text form is a depth, a width and a kernel size for each of three stages: ``3x16k3-3x32k3-3x64k3`` is ResNet-20,
    with 5 and 7 blocks it is ResNet-32 and 44, exactly those of :func:`~tailornas.spaces.resnet.cifar_resnet`. By
    default there are 43,200 such texts, of which 39,600 are different networks: with no block in the first stage, which
    leaves it the stem, its kernel size decides nothing.

    Args:
        generator: draws the supernet's weights.
        channels: a multiple of 4. By default the widths are 8, 12, 16; 16, 24, 32 and 32, 48, 64, 96.
        depths: numbers of blocks a stage, at least 1; the first stage can have none as well.
        kernels: odd kernel sizes.
        classes: outputs of the linear head.

    Raises:
        ConfigError: a number that is out of range.
    """
    if channels < 4 or channels % 4:
        raise ConfigError(f"elastic ResNet of {channels} channels: expected a multiple of 4")
    if not depths or min(depths) < 1:
        raise ConfigError(f"elastic ResNet with {list(depths)} blocks a stage: expected numbers of at least 1")
    if not kernels or any(size < 1 or size % 2 == 0 for size in kernels):
        raise ConfigError(f"elastic ResNet with kernel sizes {list(kernels)}: expected odd numbers")
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = ElasticResNet(channels, sorted(set(depths)), sorted(set(kernels)), classes)
    initialise(network, generator)
    return SearchSpace(network, Grammar(to_text=_to_text, from_text=_from_text))


def _dimension(key: str, values: Sequence[int]) -> Dimension:
    return Dimension(key, {str(value): value for value in values})


def _to_text(arch: Architecture) -> str:
    options = dict(arch.choices)
    return "-".join("{}x{}k{}".format(*(options[f"{part}{stage}"] for part in PARTS)) for stage in (1, 2, 3))


PARTS = ("depth", "width", "kernel")


def _from_text(text: str) -> Architecture:
    choices: dict[str, str] = {}
    at = 0
    for stage in (1, 2, 3):
        found = re.compile(r"(\d+)x(\d+)k(\d+)" + ("-" if stage < 3 else "$")).match(text, at)
        if found is None:
            raise ArchitectureError(
                f"elastic ResNet, stage {stage}, position {at}: got {text[at : at + 20]!r}, expected {FORM}"
            )
        choices.update({f"{part}{stage}": option for part, option in zip(PARTS, found.groups(), strict=True)})
        at = found.end()
    return Architecture.of(choices)
