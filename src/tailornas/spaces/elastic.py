"""Elastic layers: numbers of a network as decisions, weights entangled by slicing.

A layer holds the weights of its largest form; a smaller one is a slice of them: the first channels, the centre of the
kernel, the first blocks (once-for-all, arXiv 1908.09791, sec. 3.3; the size space of NATS-Bench, 2009.00437).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Conditions, Decision, Mode, nothing_active
from tailornas.spaces.copying import copy_module

__all__ = [
    "Dimension",
    "ElasticBatchNorm2d",
    "ElasticConv2d",
    "ElasticDepth",
    "ElasticLinear",
    "Number",
    "current",
    "largest",
    "mask",
]


@final
class Dimension:
    """A number that an architecture decides: a width in channels, a kernel size, a number of blocks.

    Layers take it in the place of an ``int``, and any module may keep it as an attribute: in a derived network the
    attribute is the decided ``int``. Dimensions that share a ``key`` share the decision: one expansion ratio can be
    different numbers of channels in different blocks.

    :attr:`active` says what runs, as for a :class:`~tailornas.spaces.choice.Choice`: an option's name, weights of a
    mixture, or None. In a mixture, kernels are summed under the weights, zero-padded; widths run in full and each
    channel is scaled by the total weight of the options that have it (FBNetV2, arXiv 2004.05565, sec. 3.1); depths sum
    the outputs after each number of blocks. With weights one and zero it computes what the path does.

    Args:
        key: the decision's name.
        values: the numbers by option name, in the order of mixture weights.

    Raises:
        ArchitectureError: no options, or a negative number.
    """

    def __init__(self, key: str, values: Mapping[str, int]) -> None:
        if not values:
            raise ArchitectureError(f"dimension {key!r} has no options: expected at least one named number")
        if min(values.values()) < 0:
            raise ArchitectureError(f"dimension {key!r} has the option {min(values.values())}: expected none below 0")
        self.key = key
        self.values = dict(values)
        self.names = tuple(values)
        self.active: Mode = None

    @property
    def largest(self) -> int:
        """The largest number: that of the weights, and what a mixture runs."""
        return max(self.values.values())

    @property
    def current(self) -> int:
        """The number of the active path; the largest in a mixture.

        Raises:
            ArchitectureError: no mode is active.
        """
        if isinstance(self.active, str):
            return self.values[self.active]
        if self.active is None:
            raise nothing_active("dimension", self.key)
        return self.largest

    def __repr__(self) -> str:
        return f"Dimension({self.key!r}, {self.values})"


Number = int | Dimension
"""What elastic layers take for each of their numbers."""


def largest(number: Number) -> int:
    """The number, or the largest that it can be decided to be."""
    return number.largest if isinstance(number, Dimension) else number


def current(number: Number) -> int:
    """The number, or what the active mode makes of it: see :attr:`Dimension.current`."""
    return number.current if isinstance(number, Dimension) else number


def _chosen(number: Number, choices: Mapping[str, str]) -> int:
    return number.values[choices[number.key]] if isinstance(number, Dimension) else number


def _decisions(*numbers: Number) -> tuple[Decision, ...]:
    return tuple(number for number in numbers if isinstance(number, Dimension))


def mask(y: Tensor, width: Number) -> Tensor:
    """Scales each channel of ``y``, ``(batch, channels, ...)``, by the total weight of the widths that have it.

    Outside of a mixture there is nothing to scale.
    """
    if not isinstance(width, Dimension) or not isinstance(width.active, tuple):
        return y
    weights = torch.stack(width.active)
    values = torch.tensor(list(width.values.values()), device=weights.device)
    present = torch.arange(width.largest, device=weights.device) < values[:, None]
    scale = (weights @ present.to(weights.dtype)).to(y.dtype)
    return y * scale.view(-1, *[1] * (y.ndim - 2))


def _dense(part: Tensor, whole: Tensor) -> Tensor:
    """A slice in memory of its own with the format of the whole: bits of a convolution depend on the strides."""
    return part.contiguous(memory_format=torch.contiguous_format if whole.is_contiguous() else torch.channels_last)


def _copied(part: Tensor, whole: Tensor) -> nn.Parameter:
    return nn.Parameter(part.detach().clone(), requires_grad=whole.requires_grad)


def _check_positive(layer: str, **numbers: Number) -> None:
    for name, number in numbers.items():
        smallest = min(number.values.values()) if isinstance(number, Dimension) else number
        if smallest < 1:
            raise ArchitectureError(f"{layer}: {name} can be {smallest}: expected at least 1")


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
        _check_positive("elastic convolution", inputs=inputs, outputs=outputs)
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
        return _decisions(self.inputs, self.outputs, self.kernel)

    def parts(self) -> tuple[()]:
        """None: the matrices belong to the weights."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Conv2d:
        """A convolution with the slice as its weights."""
        inputs, outputs, size = (_chosen(number, choices) for number in (self.inputs, self.outputs, self.kernel))
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
        conv.weight = _copied(self._slice(inputs, outputs, size), self.weight)
        conv.bias = None if self.bias is None else _copied(self.bias[:outputs], self.bias)
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


@final
class ElasticBatchNorm2d(nn.BatchNorm2d):
    """A batch norm of the first ``features`` channels; where that number is mixed, it scales the channels.

    Channels are normalized independently, so a slice is what a batch norm of fewer channels computes. But the running
    statistics of a channel are those of all paths that ran it: recalibrate them for one path before evaluating it.

    Args:
        features: channels.
    """

    def __init__(self, features: Number) -> None:
        _check_positive("elastic batch norm", features=features)
        super().__init__(largest(features))
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, features, height, width)`` to the same shape."""
        width = current(self.features)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        batch_statistics, average = self.training, self.training and self.track_running_stats
        factor = 0.0
        if average:
            self.num_batches_tracked.add_(1)
            factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        y = F.batch_norm(
            x,
            self.running_mean[:width] if average or not batch_statistics else None,
            self.running_var[:width] if average or not batch_statistics else None,
            self.weight[:width],
            self.bias[:width],
            batch_statistics,
            factor,
            self.eps,
        )
        return mask(y, self.features)

    def decisions(self) -> tuple[Decision, ...]:
        """That of its width."""
        return _decisions(self.features)

    def parts(self) -> tuple[()]:
        """None."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.BatchNorm2d:
        """A batch norm of the slice."""
        width = _chosen(self.features, choices)
        norm = nn.BatchNorm2d(width, self.eps, self.momentum, device="meta")
        norm.track_running_stats = self.track_running_stats
        norm.weight = _copied(self.weight[:width], self.weight)
        norm.bias = _copied(self.bias[:width], self.bias)
        for name in ("running_mean", "running_var"):
            norm.register_buffer(name, self.get_buffer(name)[:width].detach().clone())
        norm.num_batches_tracked = self.get_buffer("num_batches_tracked").detach().clone()
        return norm.train(self.training)


@final
class ElasticLinear(nn.Linear):
    """A linear layer whose numbers of inputs and outputs may be decisions; it scales mixed outputs itself.

    Args:
        inputs: features in.
        outputs: features out.
        bias: add a bias.
    """

    def __init__(self, inputs: Number, outputs: Number, *, bias: bool = True) -> None:
        _check_positive("elastic linear layer", inputs=inputs, outputs=outputs)
        super().__init__(largest(inputs), largest(outputs), bias=bias)
        self.inputs, self.outputs = inputs, outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs)`` to ``(batch, outputs)``."""
        inputs, outputs = current(self.inputs), current(self.outputs)
        bias = None if self.bias is None else self.bias[:outputs]
        return mask(F.linear(x, self.weight[:outputs, :inputs].contiguous(), bias), self.outputs)

    def decisions(self) -> tuple[Decision, ...]:
        """Those of its widths."""
        return _decisions(self.inputs, self.outputs)

    def parts(self) -> tuple[()]:
        """None."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Linear:
        """A linear layer with the slice as its weights."""
        inputs, outputs = _chosen(self.inputs, choices), _chosen(self.outputs, choices)
        linear = nn.Linear(inputs, outputs, bias=self.bias is not None, device="meta")
        linear.weight = _copied(self.weight[:outputs, :inputs].contiguous(), self.weight)
        linear.bias = None if self.bias is None else _copied(self.bias[:outputs], self.bias)
        return linear.train(self.training)


@final
class ElasticDepth(nn.Sequential):
    """The first ``depth`` of its blocks, one after the other; decisions inside the others decide nothing.

    Args:
        depth: number of blocks that run. A mixture sums their outputs, which then have one shape.
        blocks: as many as run at most. They must not change their input in place.

    Raises:
        ArchitectureError: another number of blocks.
    """

    def __init__(self, depth: Dimension, blocks: Sequence[nn.Module]) -> None:
        if len(blocks) != depth.largest:
            raise ArchitectureError(f"depth {depth.key!r} of at most {depth.largest} blocks: got {len(blocks)} of them")
        super().__init__(*blocks)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        """Runs the blocks that the active mode tells."""
        weights = self.depth.active
        if not isinstance(weights, tuple):
            for block in list(self)[: self.depth.current]:
                x = block(x)
            return x
        outputs = [x]
        for block in self:
            outputs.append(block(outputs[-1]))
        terms = [weight * outputs[d] for weight, d in zip(weights, self.depth.values.values(), strict=True)]
        return sum(terms[1:], start=terms[0])

    def decisions(self) -> tuple[Decision, ...]:
        """That of its depth."""
        return (self.depth,)

    def parts(self) -> Iterator[tuple[str, nn.Module, Conditions]]:
        """Each block, where the depth reaches it."""
        for position, (name, block) in enumerate(self.named_children()):
            reaching = frozenset(option for option, depth in self.depth.values.items() if depth > position)
            always = len(reaching) == len(self.depth.names)
            yield name, block, () if always else ((self.depth.key, reaching),)

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Sequential:
        """Copies of the blocks that run, in sequence."""
        blocks = list(self)[: _chosen(self.depth, choices)]
        return nn.Sequential(*(copy_module(block, copies) for block in blocks)).train(self.training)
