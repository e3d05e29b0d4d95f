"""The operations that cells choose from, and how networks are initialised."""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from tailornas.errors import ArchitectureError

__all__ = ["AvgPool", "Identity", "Node", "ReLUConvBN", "Zero", "average_pool", "initialise"]


def average_pool(x: Tensor) -> Tensor:
    """3 × 3 average pooling of stride 1 whose border windows average the pixels inside the image only.

    What ``F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)`` computes, in the same dtype. On CPUs its kernel takes
    about three times as long as a depthwise convolution, so there the windows are summed by one and divided by the
    number of pixels in each. Kernel and numbers are small integers, which bfloat16 holds exactly.

    Args:
        x: ``(batch, channels, height, width)``.
    """
    if x.device.type != "cpu":
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    kernel = x.new_ones(x.shape[1], 1, 3, 3)
    with torch.autocast("cpu", enabled=False):
        total = F.conv2d(x, kernel, padding=1, groups=len(kernel))
        # One count a channel, though all are the same: broadcasting along the innermost dimension is slow.
        count = F.conv2d(torch.ones_like(x[:1]), kernel, padding=1, groups=len(kernel))
    return total.div_(count)


@final
class Node:
    """A feature map inside a cell, with what the edges that leave it share computed at most once.

    Args:
        value: ``(batch, channels, height, width)``.
    """

    def __init__(self, value: Tensor) -> None:
        self.value = value
        # functools.cached_property takes a lock in Python 3.11, which torch.compile cannot trace.
        self._rectified: Tensor | None = None
        self._pooled: Tensor | None = None

    @property
    def rectified(self) -> Tensor:
        """ReLU of the value: the input of every convolution that leaves the node."""
        if self._rectified is None:
            self._rectified = F.relu(self.value)
        return self._rectified

    @property
    def pooled(self) -> Tensor:
        """:func:`average_pool` of the value."""
        if self._pooled is None:
            self._pooled = average_pool(self.value)
        return self._pooled


@final
class Zero(nn.Module):
    """The absent edge: its output is zero, which is written None and never added."""

    def forward(self, node: Node) -> None:
        """Returns None."""


@final
class Identity(nn.Module):
    """The skip connection."""

    def forward(self, node: Node) -> Tensor:
        """Returns the node's value."""
        return node.value


@final
class AvgPool(nn.Module):
    """3 × 3 average pooling of stride 1."""

    def forward(self, node: Node) -> Tensor:
        """Returns ``(batch, channels, height, width)``, the shape of the node's value."""
        return node.pooled


@final
class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch norm.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: odd kernel size; the padding keeps the image size.
        stride: 2 halves the image, an odd size rounded up.
        affine: whether the batch norm has a scale and a shift.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, affine=affine)

    def forward(self, node: Node) -> Tensor:
        """Returns ``(batch, outputs, height / stride, width / stride)``, a new tensor."""
        output: Tensor = self.bn(self.conv(node.rectified))
        return output


def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draws all weights anew, and only from ``generator``; running statistics of batch norms are forgotten.

    ``Conv2d``: Kaiming normal with the fan-out of a group for ReLU (arXiv 1502.01852, sec. 2.2). Batch norms and
    instance norms: scale 1, shift 0. Linear layers, and biases of convolutions: uniform within ±1/√inputs, PyTorch's
    own default. Any other module that owns parameters draws them by its ``reset_parameters``, for which PyTorch's
    generator is seeded from ``generator`` and afterwards put back.

    Raises:
        ArchitectureError: a module owns parameters and has no ``reset_parameters``.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            # Drawn in row-major order and copied: drawn in place, numbers would depend on the memory format.
            weight = torch.empty(module.weight.shape, device=generator.device)
            bound = weight[0].numel() ** -0.5
            if isinstance(module, nn.Conv2d):
                fan_out = weight[:, 0].numel() // module.groups  # torch's own kaiming_normal_ forgets the groups
                weight.normal_(0, math.sqrt(2) / math.sqrt(fan_out), generator=generator)
            else:
                weight.uniform_(-bound, bound, generator=generator)
            module.weight.data.copy_(weight)
            if module.bias is not None:
                module.bias.data.copy_(weight.new_empty(len(weight)).uniform_(-bound, bound, generator=generator))
        elif isinstance(module, _NormBase):
            module.reset_parameters()
        elif next(module.parameters(recurse=False), None) is not None:
            if not hasattr(module, "reset_parameters"):
                raise ArchitectureError(
                    f"{type(module).__name__} {name!r} owns parameters that cannot be drawn anew: expected a method "
                    "reset_parameters()"
                )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
                module.reset_parameters()
