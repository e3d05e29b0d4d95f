"""Stratified draws: so many images of each class, at random."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tailornas.errors import DataError
from tailornas.types import ClassCounts, SelectionSplit, TrainSplit

__all__ = ["complement", "counts_for_selection", "counts_for_test", "draw", "hold_out"]


def draw(labels: Tensor, counts: ClassCounts | Sequence[int], generator: torch.Generator) -> Tensor:
    """Draws positions of ``labels`` without replacement, so many of each class.

    Args:
        labels: int64 ``(images,)``.
        counts: images wanted of each class, in label order.
        generator: CPU generator the draw is made with.

    Returns:
        int64 ``(sum of counts,)``, class after class in label order.

    Raises:
        DataError: a class has fewer images than wanted.
    """
    drawn = []
    sizes = torch.bincount(labels, minlength=len(counts)).tolist()
    by_class = torch.split(labels.argsort(stable=True), sizes)
    for label, (count, positions) in enumerate(zip(counts, by_class, strict=True)):
        if count > len(positions):
            raise DataError(f"class {label} has {len(positions)} images: expected at least the {count} to draw")
        drawn.append(positions[torch.randperm(len(positions), generator=generator)[:count]])
    return torch.cat(drawn)


def complement(positions: Tensor, length: int) -> Tensor:
    """Returns the positions below ``length`` that are not in ``positions``, ascending."""
    rest = torch.ones(length, dtype=torch.bool)
    rest[positions] = False
    return rest.nonzero().flatten()


def counts_for_test(available: ClassCounts, fraction: float) -> ClassCounts:
    """How many test images to take of each class: the rounded fraction, at least one where a class has three.

    A class of one or two images gives none: it has to be trained and, if it can, selected on.
    """
    return ClassCounts(tuple(max(1, _rounded(n * fraction)) if n >= 3 else 0 for n in available))


def counts_for_selection(available: ClassCounts, fraction: float) -> ClassCounts:
    """How many selection images to take of each class: the rounded fraction, at least one, at most half.

    A class of a single image gives none: it stays in training and cannot be scored.
    """
    return ClassCounts(tuple(min(max(1, _rounded(n * fraction)), n // 2) for n in available))


def hold_out(split: TrainSplit, fraction: float, generator: torch.Generator) -> tuple[TrainSplit, SelectionSplit]:
    """Divides a split into images to fit and images to choose by, class by class.

    How many each class gives is :func:`counts_for_selection`'s answer.

    Raises:
        DataError: no class has two images.
    """
    counts = counts_for_selection(split.counts, fraction)
    if not counts.total:
        raise DataError("no class has 2 images: a selection split expects at least one such class, add images")
    held = draw(split.labels, counts, generator)
    selection = SelectionSplit(split.images, split.rows[held], split.labels[held], split.classes)
    return split.subset(complement(held, len(split))), selection


def _rounded(value: float) -> int:
    return int(value + 0.5)
