"""What the reader of a report must know about a collection of images, in sentences."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from tailornas.data.sources import PartName, Source
from tailornas.types import Split, TrainSplit

__all__ = ["notes", "overlaps"]


def notes(source: Source, fit: TrainSplit) -> Iterator[str]:
    """Yields what listing the images showed, and a sentence on images under several labels.

    Args:
        source: the images.
        fit: those of the source's training part that the final networks are fitted to: a profile leaves out others,
            and what is not trained on makes no result too good.
    """
    yield from source.listing
    parts = _parts(source, fit)
    several = _under_several_labels(
        torch.cat([source.contents[name][part.rows] for name, part in parts.items()]),
        torch.cat([part.labels for part in parts.values()]),
    )
    if several:
        there = "image is" if several == 1 else "images are"
        yield f"{several:,} {there} there under several labels, of which at most one is right."


def overlaps(source: Source, fit: TrainSplit) -> Iterator[tuple[PartName, str]]:
    """Yields a part whose results are too good, as images of it are in another part, and a sentence on that.

    Args:
        source: the images.
        fit: see :func:`notes`.
    """
    contents = {name: source.contents[name][part.rows] for name, part in _parts(source, fit).items()}
    for (name, numbers), (other, others) in combinations(contents.items(), 2):
        shared = int(torch.isin(numbers, others).sum())
        if shared:
            are, them = ("image is", "it") if shared == 1 else ("images are", "them")
            yield name, f"{shared:,} {name} {are} in the {other} part, too: results on {them} are too good."


def _parts(source: Source, fit: TrainSplit) -> dict[PartName, Split]:
    """What the source came with, and what of it is fitted to."""
    own: dict[PartName, Split | None] = {"test": source.test, "selection": source.selection, "train": fit}
    return {name: part for name, part in own.items() if part is not None}


def _under_several_labels(contents: Tensor, labels: Tensor) -> int:
    """How many different images have more than one label; both int64 ``(images,)``."""
    images, group = map(torch.from_numpy, np.unique(contents.numpy(), return_inverse=True))
    lowest, highest = (
        torch.zeros_like(images).scatter_reduce(0, group, labels, way, include_self=False) for way in ("amin", "amax")
    )
    return int((lowest < highest).sum())
