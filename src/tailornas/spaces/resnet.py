"""The CIFAR residual networks that searched networks are compared with (He et al. 2016, arXiv 1512.03385, sec. 4.2)."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ConfigError
from tailornas.spaces.cost import Cost, count
from tailornas.spaces.dimension import Number
from tailornas.spaces.elastic import ElasticBatchNorm2d
from tailornas.spaces.elastic_conv import ElasticConv2d
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import initialise

__all__ = ["DEPTHS", "BasicBlock", "CifarResNet", "cifar_resnet", "nearest_depth"]

DEPTHS = (8, 14, 20, 32, 44, 56, 110)
"""Depths, in increasing order, that :func:`nearest_depth` considers."""


@final
class BasicBlock(nn.Module):
    """Two convolutions and a shortcut without parameters: strided, extra channels zero (option A).

    Args:
        inputs: channels in.
        outputs: channels out, at least ``inputs``.
        stride: 2 halves the image, an odd size rounded up.
        kernel: odd kernel size of both convolutions.
    """

    def __init__(self, inputs: Number, outputs: Number, stride: int, kernel: Number = 3) -> None:
        super().__init__()
        self.stride = stride
        self.conv1, self.bn1 = _convolution(inputs, outputs, kernel, stride), _batch_norm(outputs)
        self.conv2, self.bn2 = _convolution(outputs, outputs, kernel, 1), _batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height / stride, width / stride)``."""
        y: Tensor = self.bn2(self.conv2(F.relu_(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if y.shape[1] > x.shape[1]:
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu_(y.add_(x))


def _convolution(inputs: Number, outputs: Number, kernel: Number, stride: int) -> nn.Conv2d:
    if isinstance(inputs, int) and isinstance(outputs, int) and isinstance(kernel, int):
        return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return ElasticConv2d(inputs, outputs, kernel, stride=stride)


def _batch_norm(features: Number) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features) if isinstance(features, int) else ElasticBatchNorm2d(features)


@final
class CifarResNet(Backbone):
    """A residual network for small images; built with initialised weights by :func:`cifar_resnet`.

    Args:
        depth: layers with weights, 6n + 2.
        classes: outputs of the head.
        channels: of the first stage; the second and third have two and four times as many.
    """

    def __init__(self, depth: int, classes: int, channels: int) -> None:
        super().__init__(4 * channels, classes)
        self.depth = depth
        self.conv = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        blocks = (depth - 2) // 6
        widths = [channels] + [width for width in (channels, 2 * channels, 4 * channels) for _ in range(blocks)]
        self.last_block = f"blocks.{3 * blocks - 1}"
        self.blocks = nn.Sequential(*(BasicBlock(i, o, stride=1 if i == o else 2) for i, o in pairwise(widths)))

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, 4 × channels)``."""
        y: Tensor = self.blocks(F.relu_(self.bn(self.conv(x))))
        return y.mean((2, 3))


def cifar_resnet(depth: int, classes: int, *, generator: torch.Generator, channels: int = 16) -> CifarResNet:
    """Builds ResNet-``depth`` for small images, with weights drawn from ``generator``.

    ResNet-20 has 0.27 M parameters and 41 M multiply-accumulates at 32 × 32, ResNet-32 0.46 M and 69 M.

    Raises:
        ConfigError: ``depth`` is not 6n + 2 with n >= 1.
    """
    if depth < 8 or depth % 6 != 2:
        raise ConfigError(f"ResNet depth {depth}: expected 6n + 2 with n >= 1, one of {DEPTHS} for example")
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = CifarResNet(depth, classes, channels)
    initialise(network, generator)
    return network


def nearest_depth(
    reference: Cost,
    image_size: int,
    classes: int,
    *,
    max_params: int | None = None,
    max_macs: int | None = None,
    fits: Callable[[CifarResNet], bool] | None = None,
) -> int:
    """The depth, of :data:`DEPTHS`, of the residual network that a searched network is best compared with.

    With limits it is the largest one within all of them, or the smallest one if none is. Without limits it is the one
    whose multiply-accumulates are nearest to the reference's, by their ratio. Parameters do not count there: networks
    for larger photographs have many at little work, and a residual network with as many would take many times theirs.

    Args:
        reference: cost of the searched network; matters only without limits.
        image_size: height and width in pixels.
        classes: outputs of the head.
        max_params: limit on parameters.
        max_macs: limit on multiply-accumulates for one image.
        fits: a further limit; asked of the networks within the others, the largest first.
    """
    costs = _costs(image_size, classes)
    if max_params is None and max_macs is None and fits is None:
        return min(DEPTHS, key=lambda depth: abs(math.log(costs[depth].macs / reference.macs)))
    for depth, cost in reversed(costs.items()):
        within = (max_params is None or cost.params <= max_params) and (max_macs is None or cost.macs <= max_macs)
        if within and (fits is None or fits(cifar_resnet(depth, classes, generator=torch.Generator()))):
            return depth
    return min(DEPTHS)


def _costs(image_size: int, classes: int) -> dict[int, Cost]:
    """Costs by depth from those of two: each block that is added to a stage costs what its last one does."""
    with torch.random.fork_rng(devices=[]):
        first, second = (count(CifarResNet(depth, classes, channels=16), image_size) for depth in (8, 14))
    params, macs = second.params - first.params, second.macs - first.macs
    blocks = {depth: (depth - 8) // 6 for depth in DEPTHS}
    return {depth: Cost(first.params + n * params, first.macs + n * macs) for depth, n in blocks.items()}
