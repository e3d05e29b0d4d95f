"""The operations of DARTS (arXiv 1806.09055, sec. 3.1.1) and what they run on."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.spaces.operations import Identity, Zero, average_pool

__all__ = [
    "Concatenation",
    "ConvBN",
    "DilatedConv",
    "FactorizedReduce",
    "FeatureMap",
    "Pool",
    "ReLUConvBN",
    "Squeeze",
    "operation",
    "pointwise",
]


@final
class FeatureMap:
    """A node of a cell, with what the edges that leave it share computed at most once.

    Args:
        value: ``(batch, channels, height, width)``.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        self._rectified: Tensor | None = None
        self._pooled: dict[tuple[str, int], Tensor] = {}

    @property
    def rectified(self) -> Tensor:
        """ReLU of the value: the input of every convolution that leaves the node."""
        if self._rectified is None:
            self._rectified = F.relu(self.value)
        return self._rectified

    def pooled(self, kind: str, stride: int) -> Tensor:
        """3 × 3 pooling of the value; ``kind`` is ``max`` or ``avg``, which averages pixels inside the image only."""
        if (kind, stride) not in self._pooled:
            if kind == "max":
                output = F.max_pool2d(self.value, 3, stride, padding=1)
            elif stride == 1:
                output = average_pool(self.value)
            else:
                output = F.avg_pool2d(self.value, 3, stride, padding=1, count_include_pad=False)
            self._pooled[kind, stride] = output
        return self._pooled[kind, stride]


@final
class Concatenation:
    """A cell's output, its nodes side by side. Its ReLU is that of the nodes, which have mostly computed it.

    Args:
        nodes: ``(batch, channels, height, width)`` each.
    """

    def __init__(self, nodes: Sequence[FeatureMap]) -> None:
        self.nodes = nodes
        self._rectified: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """``(batch, nodes × channels, height, width)``."""
        return torch.cat([node.value for node in self.nodes], dim=1)

    @property
    def rectified(self) -> Tensor:
        """ReLU of the value: what the next two cells read."""
        if self._rectified is None:
            self._rectified = torch.cat([node.rectified for node in self.nodes], dim=1)
        return self._rectified


@final
class DilatedConv(nn.Conv2d):
    """Depthwise convolution of dilation 2 that keeps the image size, or halves it, an odd one rounded up.

    On CPUs the gradient of a dilated depthwise convolution takes ten times as long as that of a plain one. A dilated
    kernel sees pixels of one parity alone: so each of the four quarters of an image with even or odd rows and columns
    is convolved by itself with the plain kernel. Where no gradient is needed, this would only cost time.

    Args:
        channels: in and out.
        kernel: odd kernel size.
        stride: 1 or 2.
    """

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(
            channels, channels, kernel, stride, padding=kernel - 1, dilation=2, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, channels, height, width)`` to ``(batch, channels, height / stride, width / stride)``."""
        batch, channels, height, width = x.shape
        padding = self.kernel_size[0] // 2
        whole = self.stride[0] == 1 and (height % 2 or width % 2)
        if whole or x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        if self.stride[0] == 2:
            return F.conv2d(x[:, :, ::2, ::2], self.weight, padding=padding, groups=channels)
        quarters = torch.cat([x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)])
        outputs = F.conv2d(quarters, self.weight, padding=padding, groups=channels).permute(0, 2, 3, 1)
        a, b, c, d = outputs.reshape(4, batch, *outputs.shape[1:]).unbind()
        even, odd = (torch.stack(pair, dim=3).flatten(2, 3) for pair in ((a, b), (c, d)))
        return torch.stack((even, odd), dim=2).flatten(1, 2).permute(0, 3, 1, 2)


@final
class ConvBN(nn.Sequential):
    """Convolutions without bias, one after the other, and a batch norm.

    Args:
        convolutions: the layers.
        affine: whether the batch norm has scale and shift.
    """

    def __init__(self, *convolutions: nn.Conv2d, affine: bool) -> None:
        super().__init__(*convolutions, nn.BatchNorm2d(convolutions[-1].out_channels, affine=affine))


@final
class ReLUConvBN(nn.Module):
    """ReLU, convolutions, batch norm, and so on.

    Args:
        blocks: what follows each ReLU.
    """

    def __init__(self, *blocks: ConvBN) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, node: FeatureMap) -> Tensor:
        """Returns ``(batch, outputs, height / stride, width / stride)``, a new tensor."""
        first, *others = self.blocks
        x: Tensor = first(node.rectified)
        for block in others:
            x = block(F.relu_(x))
        return x


@final
class Squeeze(nn.Module):
    """ReLU, 1 × 1 convolution, batch norm: brings a cell's output to the width of the next cell's nodes.

    Args:
        inputs: channels in.
        outputs: channels out.
        affine: whether the batch norm has scale and shift.
    """

    def __init__(self, inputs: int, outputs: int, *, affine: bool) -> None:
        super().__init__()
        self.block = ConvBN(pointwise(inputs, outputs), affine=affine)

    def forward(self, output: FeatureMap | Concatenation) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height, width)``, a new tensor."""
        x: Tensor = self.block(output.rectified)
        return x


@final
class FactorizedReduce(nn.Module):
    """Halves the image without losing pixels: two 1 × 1 convolutions of stride 2, the second one pixel further.

    An odd size is rounded up, the pixels beyond the border are zero; the published code does not run there.

    Args:
        inputs: channels in.
        outputs: channels out, an even number.
        affine: whether the batch norm has scale and shift.
    """

    def __init__(self, inputs: int, outputs: int, *, affine: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv2 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, node: FeatureMap | Concatenation) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height / 2, width / 2)``, a new tensor."""
        x = node.rectified
        height, width = x.shape[2:]
        further = F.pad(x, (0, width % 2, 0, height % 2))[:, :, 1:, 1:]
        output: Tensor = self.bn(torch.cat((self.conv1(x), self.conv2(further)), dim=1))
        return output


@final
class Pool(nn.Module):
    """3 × 3 pooling, in a search network followed by a batch norm.

    Args:
        kind: ``max`` or ``avg``.
        stride: 2 halves the image, an odd size rounded up.
        norm: what follows.
    """

    def __init__(self, kind: str, stride: int, norm: nn.Module) -> None:
        super().__init__()
        self.kind, self.stride, self.norm = kind, stride, norm

    def forward(self, node: FeatureMap) -> Tensor:
        """Returns ``(batch, channels, height / stride, width / stride)``."""
        output: Tensor = self.norm(node.pooled(self.kind, self.stride))
        return output


def operation(name: str, channels: int, stride: int, *, search: bool) -> nn.Module:
    """Builds a candidate operation, which maps a :class:`FeatureMap` to a tensor, or to None for zeros.

    Args:
        name: one of :data:`~tailornas.spaces.genotype.OPERATIONS`.
        channels: in and out.
        stride: 2 on the edges of a reduction cell that leave its inputs, else 1.
        search: as in the published search network: batch norms without scale and shift, which would take part in what
            the architecture weights say, and one after each pooling. Otherwise as in networks of one genotype.
    """
    kind, _, size = name.rpartition("_")
    match kind:
        case "":
            return Zero()
        case "max_pool" | "avg_pool":
            return Pool(kind[:3], stride, nn.BatchNorm2d(channels, affine=False) if search else nn.Identity())
        case "skip":
            return Identity() if stride == 1 else FactorizedReduce(channels, channels, affine=not search)
        case "conv_7x1":
            row = nn.Conv2d(channels, channels, (1, 7), (1, stride), padding=(0, 3), bias=False)
            column = nn.Conv2d(channels, channels, (7, 1), (stride, 1), padding=(3, 0), bias=False)
            return ReLUConvBN(ConvBN(row, column, affine=not search))
        case "dil_conv":
            dilated = DilatedConv(channels, int(size[0]), stride)
            return ReLUConvBN(ConvBN(dilated, pointwise(channels, channels), affine=not search))
        case _:
            return ReLUConvBN(
                *(
                    ConvBN(_depthwise(channels, int(size[0]), s), pointwise(channels, channels), affine=not search)
                    for s in (stride, 1)
                )
            )


def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1 × 1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=False)
