"""Stratified draws: so many images of each class, at random."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tailornas.errors import DataError
from tailornas.types import ClassCounts, SelectionSplit, TrainSplit

__all__ = ["complement", "counts_for_selection", "counts_for_test", "draw", "draw_apart", "hold_out"]


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


def draw_apart(
    labels: Tensor, counts: ClassCounts | Sequence[int], contents: Tensor, generator: torch.Generator
) -> Tensor:
    """Draws like :func:`draw`, but never one of several equal images without the others.

    Where all images differ the draw is :func:`draw`'s. Equal images are passed over where they are more than are
    still wanted; a class that gives none for that reason gives the fewest equal images that it has, if it has others
    besides. Equal images of several labels are not drawn, since at most one of the labels is right.

    Args:
        labels: int64 ``(images,)``.
        counts: images wanted of each class, in label order.
        contents: int64 ``(images,)``, a number that equal images share.
        generator: CPU generator the draw is made with.

    Returns:
        int64 ``(drawn,)``, class after class in label order.

    Raises:
        DataError: a class has fewer images than wanted.
    """
    group, sizes = map(torch.from_numpy, np.unique(contents.numpy(), return_inverse=True, return_counts=True)[1:])
    if len(sizes) == len(labels):
        return draw(labels, counts, generator)
    available = torch.bincount(labels, minlength=len(counts)).tolist()
    order = draw(labels, [max(pair) for pair in zip(counts, available, strict=True)], generator)
    lowest, highest = (
        torch.zeros_like(sizes).scatter_reduce(0, group, labels, way, include_self=False) for way in ("amin", "amax")
    )
    groups, one_label = group.tolist(), (lowest == highest).tolist()
    drawn: list[int] = []
    for count, positions in zip(counts, torch.split(order, available), strict=True):
        copies: dict[int, list[int]] = {}
        for position in positions.tolist():
            copies.setdefault(groups[position], []).append(position)
        whole = [members for number, members in copies.items() if one_label[number]]
        taken: list[int] = []
        for members in whole:
            if len(taken) + len(members) <= count:
                taken += members
        if count and not taken and whole and len(copies) > 1:
            taken = min(whole, key=len)
        drawn += taken
    return torch.tensor(drawn, dtype=torch.int64)


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


def hold_out(
    split: TrainSplit, fraction: float, contents: Tensor, generator: torch.Generator
) -> tuple[TrainSplit, SelectionSplit]:
    """Divides a split into images to fit and images to choose by, class by class; equal images stay together.

    How many each class gives is :func:`counts_for_selection`'s answer, as far as :func:`draw_apart` can follow it.

    Args:
        split: what to divide.
        fraction: share of the images to choose by.
        contents: int64 ``(images of the split,)``, a number that equal images share.
        generator: CPU generator the draw is made with.

    Raises:
        DataError: no class has two images that differ.
    """
    held = draw_apart(split.labels, counts_for_selection(split.counts, fraction), contents, generator)
    if not len(held):
        raise DataError(
            "no class has 2 images that differ: a selection split expects at least one such class, add some"
        )
    selection = SelectionSplit(split.images, split.rows[held], split.labels[held], split.classes)
    return split.subset(complement(held, len(split))), selection


def _rounded(value: float) -> int:
    return int(value + 0.5)
