"""A balanced source dataset out of what the long-tailed draw left over."""

from dataclasses import dataclass
from typing import final

import torch

from tailornas.data.splits import Dataset
from tailornas.data.stratified import draw
from tailornas.seeding import generator
from tailornas.types import ClassCounts, TrainSplit

__all__ = ["BalancedSource", "balanced_source", "largest_rectangle"]

_FEWEST = 20  # images a class under which a supernet would learn nothing to transfer


@final
@dataclass(frozen=True, eq=False)
class BalancedSource:
    """A balanced dataset to train a supernet on before it meets the target.

    Args:
        train: equally many images of each of its classes, which are numbered anew from 0.
        description: a sentence fragment for the report.
    """

    train: TrainSplit
    description: str


def balanced_source(dataset: Dataset) -> BalancedSource | None:
    """Takes the largest balanced set out of the images that the profile left out of the target.

    It shares no image with the target's train, selection or test split.

    Returns:
        The balanced set, or None where there is none: the target's images are used as they are, or too few
        are left.
    """
    leftover = dataset.leftover
    images, labels = largest_rectangle(leftover.counts)
    if not labels:
        return None
    renumbered = torch.full((len(leftover.classes),), -1)
    renumbered[list(labels)] = torch.arange(len(labels))
    wanted = [images if label >= 0 else 0 for label in renumbered.tolist()]
    drawn = leftover.subset(draw(leftover.labels, wanted, generator(dataset.seed, "data", "balanced")))
    train = TrainSplit(
        drawn.images,
        drawn.rows,
        renumbered[drawn.labels],
        tuple(leftover.classes[label] for label in labels),
    )
    return BalancedSource(
        train,
        f"balanced subset of {dataset.source}: {images:,} images of each of {len(labels)} classes, none of "
        "them in the target",
    )


def largest_rectangle(available: ClassCounts) -> tuple[int, tuple[int, ...]]:
    """Chooses images a class and classes so that their product is largest.

    Args:
        available: images that each class can give.

    Returns:
        Images a class and the labels of the classes, ascending; of equal products the one with more classes.
        ``(0, ())`` where no two classes can give 20.
    """
    by_size = sorted(available, reverse=True)
    sizes = [(n * classes, classes, n) for classes, n in enumerate(by_size, start=1) if classes > 1 and n >= _FEWEST]
    if not sizes:
        return 0, ()
    _, _, images = max(sizes)
    return images, tuple(label for label, n in enumerate(available) if n >= images)
