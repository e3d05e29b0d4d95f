"""A convolution whose widths and kernel size are decisions."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Decision
from tailornas.spaces.dimension import (
    Dimension,
    Number,
    check_positive,
    chosen,
    copied,
    current,
    decisions_of,
    largest,
    mask,
)

__all__ = ["ElasticConv2d", "KernelTransform"]


@final
class ElasticConv2d(nn.Conv2d):
    """A convolution whose numbers of channels and kernel size may be decisions; its padding keeps the image size.

    Where a width is mixed, the batch norm behind the convolution scales the channels. A convolution with a bias has
    none behind it and scales them itself, and so does one that is ``masked``.

    Args:
        inputs: channels in.
        outputs: channels out; of a depthwise convolution it is ``inputs`` too.
        kernel: odd kernel size.
        stride: 2 halves the image, an odd size rounded up.
        depthwise: convolve each channel by itself.
        bias: add a bias.
        masked: no batch norm follows, though there is no bias.
        transform: a smaller kernel is the centre of the next larger one, multiplied by a learned matrix that all
            channels share (once-for-all, sec. 3.3). The matrices are ``transforms.7to5`` and so on, ``(25, 25)``.

    Raises:
        ArchitectureError: an even kernel size, a width of 0, or a depthwise convolution that changes the width.
    """

    def __init__(
        self,
        inputs: Number,
        outputs: Number,
        kernel: Number,
        *,
        stride: int = 1,
        depthwise: bool = False,
        bias: bool = False,
        masked: bool = False,
        transform: bool = False,
    ) -> None:
        check_positive("elastic convolution", inputs=inputs, outputs=outputs)
        sizes = set(kernel.values.values() if isinstance(kernel, Dimension) else (kernel,))
        if any(size % 2 == 0 for size in sizes):
            raise ArchitectureError(f"elastic convolution with kernel sizes {sorted(sizes)}: expected odd ones")
        if depthwise and outputs is not inputs and outputs != inputs:
            raise ArchitectureError(f"depthwise convolution from {inputs} to {outputs}: expected the same number twice")
        groups = largest(inputs) if depthwise else 1
        size = max(sizes)
        super().__init__(largest(inputs), largest(outputs), size, stride, size // 2, groups=groups, bias=bias)
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        self.depthwise, self.masked = depthwise, masked or bias
        self.transforms = nn.ModuleDict()
        if transform:
            for larger, smaller in pairwise(sorted(sizes, reverse=True)):
                self.transforms[f"{larger}to{smaller}"] = KernelTransform(smaller)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height / stride, width / stride)``."""
        inputs, outputs = current(self.inputs), current(self.outputs)
        if isinstance(self.kernel, Dimension) and isinstance(self.kernel.active, tuple):
            weight = self._mixed(inputs, outputs, self.kernel, self.kernel.active)
        else:
            weight = self._slice(inputs, outputs, current(self.kernel))
        bias = None if self.bias is None else self.bias[:outputs]
        groups = outputs if self.depthwise else 1
        y = F.conv2d(x, weight, bias, self.stride, weight.shape[-1] // 2, groups=groups)
        return mask(y, self.outputs) if self.masked else y

    def _mixed(self, inputs: int, outputs: int, kernel: Dimension, weights: Sequence[Tensor]) -> Tensor:
        kernels = []
        for weight, size in zip(weights, kernel.values.values(), strict=True):
            border = (kernel.largest - size) // 2
            kernels.append(weight * F.pad(self._slice(inputs, outputs, size), (border,) * 4))
        return sum(kernels[1:], start=kernels[0])

    def _slice(self, inputs: int, outputs: int, size: int) -> Tensor:
        """The weights ``(outputs, inputs, size, size)`` of one form, ``(outputs, 1, size, size)`` if depthwise."""
        part = self.weight[:outputs, : 1 if self.depthwise else inputs]
        for matrix in self.transforms.values():
            assert isinstance(matrix, KernelTransform)
            if matrix.size < size:
                break
            part = matrix(_centre(part, matrix.size))
        return _dense(_centre(part, size), self.weight)

    def decisions(self) -> tuple[Decision, ...]:
        """Those of its widths and kernel size."""
        return decisions_of(self.inputs, self.outputs, self.kernel)

    def parts(self) -> tuple[()]:
        """None: the matrices belong to the weights."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Conv2d:
        """A convolution with the slice as its weights."""
        inputs, outputs, size = (chosen(number, choices) for number in (self.inputs, self.outputs, self.kernel))
        groups = outputs if self.depthwise else 1
        conv = nn.Conv2d(
            inputs,
            outputs,
            size,
            self.stride,  # type: ignore[arg-type]  # torch's own attribute, typed as a tuple of any length
            size // 2,
            groups=groups,
            bias=self.bias is not None,
            device="meta",
        )
        conv.weight = copied(self._slice(inputs, outputs, size), self.weight)
        conv.bias = None if self.bias is None else copied(self.bias[:outputs], self.bias)
        return conv.train(self.training)


@final
class KernelTransform(nn.Module):
    """A matrix by which the centre of a larger kernel becomes a smaller one; at first it changes nothing.

    Args:
        size: of the smaller kernel.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.empty(size * size, size * size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Back to the identity."""
        nn.init.eye_(self.weight)

    def forward(self, kernels: Tensor) -> Tensor:
        """Maps kernels ``(outputs, inputs, size, size)`` to as many."""
        return F.linear(kernels.flatten(2), self.weight).view(kernels.shape)


def _centre(kernels: Tensor, size: int) -> Tensor:
    border = (kernels.shape[-1] - size) // 2
    return kernels[..., border : border + size, border : border + size]


def _dense(part: Tensor, whole: Tensor) -> Tensor:
    """A slice in memory of its own with the format of the whole: bits of a convolution depend on the strides."""
    return part.contiguous(memory_format=torch.contiguous_format if whole.is_contiguous() else torch.channels_last)
