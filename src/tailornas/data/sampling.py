"""Samplers: the order, and the frequency, in which an epoch meets the images of a long-tailed split.

A sampler fixes each class's probability; an epoch is always as long as the split. Images are drawn as evenly
as those probabilities allow rather than independently: a class gets its expected number of draws, rounded at
random, and none of its images is drawn a second time before all have been drawn once. The expectations are
those of independent draws, the variance is smaller.
"""

from typing import Protocol

import torch
from torch import Tensor

from tailornas.errors import ConfigError, DataError
from tailornas.types import ClassCounts

__all__ = ["SAMPLERS", "Sampler", "class_balanced", "instance", "progressive", "reversed_", "shard", "square_root"]


class Sampler(Protocol):
    """Gives one epoch's order."""

    def __call__(self, labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
        """Returns int64 ``(images,)``: positions of ``labels`` in the order in which the epoch meets them.

        Args:
            labels: int64 ``(images,)``, the label of each image of the split, on any device; the order is on the CPU.
            counts: images a class; classes without images are never drawn.
            generator: CPU generator the order is drawn from.
            progress: share of the training that is done when the epoch begins, ``epoch / epochs``: 0 in the first
                epoch, ``1 - 1 / epochs`` in the last. Schedules and the training loop count alike.

        Raises:
            DataError: the counts do not match the labels; ``instance`` has no use for counts and does not look.
            ConfigError: ``progress`` is outside [0, 1]; only ``progressive`` has a use for it and looks.
        """
        ...


def instance(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
    """Instance-balanced: every image once, so a class weighs as much as it has images."""
    return torch.randperm(len(labels), generator=generator)


def class_balanced(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
    """Class-balanced: every class equally often (Kang et al., 1910.09217, equation 1 with q = 0)."""
    return _draw(labels, counts, _power(counts, 0), generator)


def square_root(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
    """Square-root: a class in proportion to the root of its size (1910.09217, equation 1 with q = 1/2)."""
    return _draw(labels, counts, _power(counts, 0.5), generator)


def progressive(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
    """Progressively balanced: ``(1 - t / T)`` instance- and ``t / T`` class-balanced (1910.09217, equation 2).

    ``t`` of ``T`` epochs are done, so that ``t / T`` is the progress. Deviation: the authors' code divides by ``T - 1``
    and ends with a class-balanced epoch; here the last epoch is ``1 / T`` short of it.
    """
    if not 0 <= progress <= 1:
        raise ConfigError(f"progress is a share of training in [0, 1] and is {progress}: divide by all epochs")
    probabilities = (1 - progress) * _power(counts, 1) + progress * _power(counts, 0)
    return _draw(labels, counts, probabilities, generator)


def reversed_(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
    """Reversed: a class in proportion to the inverse of its size (BBN, 1912.02413, equation 4)."""
    return _draw(labels, counts, _power(counts, -1), generator)


SAMPLERS: dict[str, Sampler] = {
    "instance": instance,
    "class_balanced": class_balanced,
    "square_root": square_root,
    "progressive": progressive,
    "reversed": reversed_,
}


def shard(positions: Tensor, rank: int, world_size: int) -> Tensor:
    """Returns the positions of an epoch that one of several processes works on: every ``world_size``-th.

    All processes get equally many, so that none waits for a batch that another does not have: where the
    number does not divide, the first positions are met a second time, and more often where there are fewer positions
    than processes.

    Args:
        positions: int64 ``(n,)``, the same in every process.
        rank: number of this process, from 0.
        world_size: number of processes.
    """
    each = -(-len(positions) // world_size)
    return positions[(rank + world_size * torch.arange(each)) % max(1, len(positions))]


def _power(counts: ClassCounts, exponent: float) -> Tensor:
    """Probabilities, float64 ``(classes,)``, in proportion to a power of the class sizes; 0 if empty."""
    sizes = torch.tensor(counts.counts, dtype=torch.float64)
    weights = torch.where(sizes > 0, sizes.clamp(min=1) ** exponent, 0)
    return weights / weights.sum()


def _draw(labels: Tensor, counts: ClassCounts, probabilities: Tensor, generator: torch.Generator) -> Tensor:
    labels, length, sizes = labels.cpu(), len(labels), torch.tensor(counts.counts)
    if (found := ClassCounts.of(labels, len(counts))) != counts:
        pairs = enumerate(zip(counts, found, strict=True))
        label, (told, there) = next((label, pair) for label, pair in pairs if pair[0] != pair[1])
        raise DataError(
            f"the class counts do not match the labels: class {label} has {told} by the counts and {there} in the "
            "labels; count these labels"
        )
    # Systematic sampling: rounding the cumulated expectations with one common offset keeps every class's
    # expectation and their sum.
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    ends = (probabilities.cumsum(0) * length + offset).floor().long().clamp(max=length)
    ends[-1] = length
    draws = ends.diff(prepend=torch.zeros(1, dtype=torch.int64))
    shuffled = torch.randperm(length, generator=generator)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    of_class = torch.arange(len(counts)).repeat_interleave(draws)
    turn = torch.arange(length) - (ends - draws)[of_class]
    drawn = by_class[(sizes.cumsum(0) - sizes)[of_class] + turn % sizes[of_class]]
    return drawn[torch.randperm(length, generator=generator)]
