"""The once-for-all space (Cai et al. 2020, arXiv 1908.09791, sec. 4) of MobileNetV3 networks (arXiv 1905.02244)."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Decision
from tailornas.spaces.dimension import Dimension, Number
from tailornas.spaces.elastic import ElasticBatchNorm2d, ElasticDepth
from tailornas.spaces.elastic_conv import ElasticConv2d
from tailornas.spaces.grammar import Grammar
from tailornas.spaces.mobilenet_text import BLOCKS, DEPTHS, EXPANSIONS, KERNELS, STAGES, from_text, to_text
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import initialise
from tailornas.spaces.space import SearchSpace

__all__ = ["MobileNetV3", "mobilenet"]

SMALLEST = 32
"""Resolution below which the last stage would have nothing left to see."""

LAYOUT = (
    # A stage each: channels, stride of the first block, hard swish instead of ReLU, squeeze-and-excitation
    (24, 2, False, False),
    (40, 2, False, True),
    (80, 2, True, False),
    (112, 1, True, True),
    (160, 2, True, True),
)


def _eights(channels: float) -> int:
    """The nearest multiple of 8, but not less than nine tenths: the rounding of all MobileNets."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _activation(hard_swish: bool) -> nn.Module:
    return nn.Hardswish() if hard_swish else nn.ReLU(inplace=True)


def _layer(conv: ElasticConv2d, activation: nn.Module | None = None) -> nn.Sequential:
    parts: dict[str, nn.Module] = {"conv": conv, "bn": ElasticBatchNorm2d(conv.outputs)}
    if activation is not None:
        parts["activation"] = activation
    return nn.Sequential(OrderedDict(parts))


@final
class SqueezeExcitation(nn.Module):
    """Scales each channel by a hard sigmoid of what two layers see of all channels' means (1905.02244, sec. 5.3).

    Args:
        channels: in and out.
        inner: channels between the two layers.
    """

    def __init__(self, channels: Number, inner: Number) -> None:
        super().__init__()
        self.reduce = ElasticConv2d(channels, inner, 1, bias=True)
        self.expand = ElasticConv2d(inner, channels, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, channels, height, width)`` to the same shape."""
        scale: Tensor = self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * F.hardsigmoid(scale)


@final
class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze-and-excitation, linear projection; a shortcut where shapes allow it.

    Args:
        inputs: channels in.
        middle: channels between expansion and projection; without an expansion they are the inputs.
        outputs: channels out.
        kernel: size of the depthwise kernel; smaller ones are transformed larger ones (1908.09791, sec. 3.3).
        stride: 2 halves the image, an odd size rounded up.
        hard_swish: instead of ReLU.
        inner: channels inside the squeeze-and-excitation; None: there is none.
    """

    def __init__(
        self,
        inputs: int,
        middle: Dimension | None,
        outputs: int,
        kernel: Number,
        stride: int,
        hard_swish: bool,
        inner: Dimension | None,
    ) -> None:
        super().__init__()
        width = inputs if middle is None else middle
        expand = nn.Identity() if middle is None else _layer(ElasticConv2d(inputs, middle, 1), _activation(hard_swish))
        depthwise = ElasticConv2d(width, width, kernel, stride=stride, depthwise=True, transform=True)
        self.expand = expand
        self.depthwise = _layer(depthwise, _activation(hard_swish))
        self.squeeze = nn.Identity() if inner is None else SqueezeExcitation(width, inner)
        self.project = _layer(ElasticConv2d(width, outputs, 1))
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs, height, width)`` to ``(batch, outputs, height / stride, width / stride)``."""
        y: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return y.add_(x) if self.shortcut else y


@final
class Resolution(nn.Module):
    """Resizes images, bilinearly and smoothed where they shrink, before they go through a network.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns what ``network`` makes of ``x``, ``(batch, 3, height, width)``, at its resolution."""
        return network(_resized(x, self.size))


@final
class ElasticResolution(nn.Module):
    """A resolution that an architecture decides; a mixture sums what the network makes of the images at each.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, size: Dimension) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        """Returns what ``network`` makes of ``x``, ``(batch, 3, height, width)``, at the active resolution."""
        weights = self.size.active
        if not isinstance(weights, tuple):
            return network(_resized(x, self.size.current))
        sizes = self.size.values.values()
        terms = [weight * network(_resized(x, size)) for weight, size in zip(weights, sizes, strict=True)]
        return sum(terms[1:], start=terms[0])

    def decisions(self) -> tuple[Decision, ...]:
        """That of the size."""
        return (self.size,)

    def parts(self) -> tuple[()]:
        """None."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> Resolution:
        """The decided resolution."""
        resolution = Resolution(self.size.values[choices[self.size.key]])
        return resolution.train(self.training)


def _resized(x: Tensor, size: int) -> Tensor:
    if x.shape[2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", antialias=True)


@final
class MobileNetV3(Backbone):
    """Stem, a fixed block, five stages of two to four blocks, expansion, pooling, a last mixing of features, head.

    Args:
        classes: outputs of the head.
        width: multiplies the channels of every layer; 1.0 and 1.2 were published.
        resolutions: sizes in pixels that architectures choose the input's from; empty: images run as they come.

    Raises:
        ArchitectureError: a width that is not positive, or resolutions that are too small or repeated.
    """

    def __init__(self, classes: int, width: float, resolutions: Sequence[int]) -> None:
        if not 0 < width < math.inf:
            raise ArchitectureError(f"MobileNetV3 of width {width}: expected a positive multiplier such as 1.0 or 1.2")
        if len(set(resolutions)) != len(resolutions) or min(resolutions, default=SMALLEST) < SMALLEST:
            raise ArchitectureError(f"resolutions {list(resolutions)}: expected different ones from {SMALLEST} pixels")
        super().__init__(_eights(1280 * width), classes)
        self.width = width
        sizes = {str(size): size for size in resolutions}
        self.resolution = ElasticResolution(Dimension("resolution", sizes)) if resolutions else None
        inputs = _eights(16 * width)
        self.stem = _layer(ElasticConv2d(3, inputs, 3, stride=2), _activation(hard_swish=True))
        self.entry = InvertedResidual(inputs, None, inputs, 3, stride=1, hard_swish=False, inner=None)
        stages = []
        for number, layout in zip(range(1, STAGES + 1), LAYOUT, strict=True):
            channels, stride, hard_swish, squeeze = layout
            outputs = _eights(channels * width)
            blocks = []
            for block in range(1, BLOCKS + 1):
                key = f"stage{number}.block{block}"
                middle = Dimension(f"{key}.expansion", {str(ratio): _eights(ratio * inputs) for ratio in EXPANSIONS})
                kernel = Dimension(f"{key}.kernel", {str(size): size for size in KERNELS})
                inner = Dimension(middle.key, {ratio: _eights(c // 4) for ratio, c in middle.values.items()})
                blocks.append(
                    InvertedResidual(
                        inputs,
                        middle,
                        outputs,
                        kernel,
                        stride=stride if block == 1 else 1,
                        hard_swish=hard_swish,
                        inner=inner if squeeze else None,
                    )
                )
                inputs = outputs
            depth = Dimension(f"stage{number}.depth", {str(depth): depth for depth in DEPTHS})
            stages.append(ElasticDepth(depth, blocks))
        self.stages = nn.Sequential(*stages)
        self.last = _layer(ElasticConv2d(inputs, _eights(960 * width), 1), _activation(hard_swish=True))
        self.mix = nn.Conv2d(_eights(960 * width), self.feature_dim, 1, bias=False)

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``."""
        features: Tensor = self._features(x) if self.resolution is None else self.resolution(x, self._features)
        return features

    def _features(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.stages(self.entry(self.stem(x))))
        return F.hardswish(self.mix(y.mean((2, 3), keepdim=True))).flatten(1)


def mobilenet(
    *, generator: torch.Generator, classes: int = 10, width: float = 1.0, resolutions: Sequence[int] = ()
) -> SearchSpace[MobileNetV3]:
    """Builds the once-for-all space with its supernet; :func:`~tailornas.spaces.ofa_checkpoint.load_ofa` fills it.

    Decisions, a stage: its depth; a block: its expansion ratio and the size of its depthwise kernel. The paper has the
    resolution among them, 128 to 224 in steps of 4. Here it is one where ``resolutions`` are given, and the network
    then resizes its images; otherwise the images' own size is the resolution, as in all spaces of this package.

    Args:
        generator: draws the supernet's weights.
        classes: outputs of the linear head.
        width: multiplies the channels; supernets were published for 1.0 and 1.2.
        resolutions: sizes in pixels to choose from.
    """
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = MobileNetV3(classes, width, resolutions)
    initialise(network, generator)
    read = partial(from_text, resolutions=tuple(resolutions))
    sizing = ("resolution",) if resolutions else ()
    return SearchSpace(network, Grammar(to_text=to_text, from_text=read, sizing=sizing))
