"""Elastic layers: numbers of a network as decisions, weights entangled by slicing.

A layer holds the weights of its largest form; a smaller one is a slice of them: the first channels, the centre of the
kernel, the first blocks (once-for-all, arXiv 1908.09791, sec. 3.3; the size space of NATS-Bench, 2009.00437).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Conditions, Decision, run_unchanging, weighted_sum
from tailornas.spaces.copying import copy_module
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

__all__ = ["ElasticBatchNorm2d", "ElasticDepth", "ElasticLinear"]


@final
class ElasticBatchNorm2d(nn.BatchNorm2d):
    """A batch norm of the first ``features`` channels; where that number is mixed, it scales the channels.

    Channels are normalized independently, so a slice is what a batch norm of fewer channels computes. But the running
    statistics of a channel are those of all paths that ran it: recalibrate them for one path before evaluating it.

    Args:
        features: channels.
    """

    def __init__(self, features: Number) -> None:
        check_positive("elastic batch norm", features=features)
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
        return decisions_of(self.features)

    def parts(self) -> tuple[()]:
        """None."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.BatchNorm2d:
        """A batch norm of the slice."""
        width = chosen(self.features, choices)
        norm = nn.BatchNorm2d(width, self.eps, self.momentum, device="meta")
        norm.track_running_stats = self.track_running_stats
        norm.weight = copied(self.weight[:width], self.weight)
        norm.bias = copied(self.bias[:width], self.bias)
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
        check_positive("elastic linear layer", inputs=inputs, outputs=outputs)
        super().__init__(largest(inputs), largest(outputs), bias=bias)
        self.inputs, self.outputs = inputs, outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, inputs)`` to ``(batch, outputs)``."""
        inputs, outputs = current(self.inputs), current(self.outputs)
        bias = None if self.bias is None else self.bias[:outputs]
        return mask(F.linear(x, self.weight[:outputs, :inputs].contiguous(), bias), self.outputs)

    def decisions(self) -> tuple[Decision, ...]:
        """Those of its widths."""
        return decisions_of(self.inputs, self.outputs)

    def parts(self) -> tuple[()]:
        """None."""
        return ()

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Linear:
        """A linear layer with the slice as its weights."""
        inputs, outputs = chosen(self.inputs, choices), chosen(self.outputs, choices)
        linear = nn.Linear(inputs, outputs, bias=self.bias is not None, device="meta")
        linear.weight = copied(self.weight[:outputs, :inputs].contiguous(), self.weight)
        linear.bias = None if self.bias is None else copied(self.bias[:outputs], self.bias)
        return linear.train(self.training)


@final
class ElasticDepth(nn.Sequential):
    """The first ``depth`` of its blocks, one after the other; decisions inside the others decide nothing.

    Args:
        depth: number of blocks that run. A mixture sums their outputs: it refuses blocks that change the shape.
        blocks: as many as run at most. They must not change their input in place; a mixture refuses those that do.

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
        for place, block in enumerate(self, start=1):
            outputs.append(run_unchanging(block, (outputs[-1],), f"block {place} of depth {self.depth.key!r}"))
        depths = self.depth.values
        total: Tensor = weighted_sum("depth", self.depth.key, weights, {name: outputs[d] for name, d in depths.items()})
        return total

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
        blocks = list(self)[: chosen(self.depth, choices)]
        stage = nn.Sequential(*(copy_module(block, copies) for block in blocks))
        stage.training = self.training  # by train() the blocks would lose modes of their own
        return stage
