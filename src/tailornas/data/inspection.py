"""What a collection of images is like, before anything is trained on it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tailornas.data.images import StreamedImages
from tailornas.data.listing import listing_notes
from tailornas.data.profiles import Profile
from tailornas.data.scan import Scan, scan
from tailornas.data.sources import PartName, Source, decoded_size
from tailornas.data.splits import DataConfig, divide
from tailornas.data.stored import StoredSource, StoredSplit
from tailornas.errors import DataError
from tailornas.types import ClassCounts, SelectionSplit, Split, TestSplit, TrainSplit

__all__ = ["Division", "Duplicate", "Inspection", "Part", "gini", "inspect"]


_SIZE = 64  # pixels that images are decoded to where their own size is not known

_SPLITS: dict[PartName, type[Split]] = {"train": TrainSplit, "selection": SelectionSplit, "test": TestSplit}


@final
@dataclass(frozen=True, eq=False)
class Part:
    """One part of a collection: its images as they lie there, and what opening them showed.

    Args:
        stored: the images and their labels.
        scan: what is known of each.
        counts: usable images a class.
    """

    stored: StoredSplit
    scan: Scan
    counts: ClassCounts

    def label(self, row: int) -> int:
        """The label of an image."""
        return int(self.stored.labels[row])

    def name(self, row: int) -> str:
        """What messages call an image."""
        return self.stored.images.name(row)


@final
@dataclass(frozen=True)
class Duplicate:
    """Images with the same bytes.

    Args:
        kind: ``parts`` where they are in several parts, so that a test image is trained on; else ``classes`` where they
            carry several labels, of which at most one is right; else ``class``.
        images: ``(part, row)`` of each.
    """

    kind: Literal["parts", "classes", "class"]
    images: tuple[tuple[PartName, int], ...]


@final
@dataclass(frozen=True)
class Division:
    """How a run would divide the usable images.

    Args:
        fit: images a class that the final networks are fitted to: all that are not test.
        selection: images a class to choose by.
        test: images a class to test on.
    """

    fit: ClassCounts
    selection: ClassCounts
    test: ClassCounts


@final
@dataclass(frozen=True, eq=False)
class Inspection:
    """What :func:`inspect` found.

    Args:
        description: what was read from where.
        classes: class names in label order.
        profile: how class sizes are made to fall off; ``as-is``: not at all.
        parts: the parts that the collection came with; ``train`` is everything where there is no other.
        counts: images a class that the figures below speak of: the usable ones of ``train`` or, under a profile, those
            that it leaves to fit the final networks to.
        gini: :func:`gini` of ``counts``.
        duplicates: groups of equal images, the worst kind first.
        division: how a run would divide the images; None where it would refuse them.
        refusal: why a run would refuse the images.
        passed_over: files that lie among the images but have no image's name: how many, by ending and class.
        listing: what the owner must know of how the images lie there, a sentence each.
        image_size: height and width in pixels that a run decodes images to.
    """

    description: str
    classes: tuple[str, ...]
    profile: Profile
    parts: Mapping[PartName, Part]
    counts: ClassCounts
    gini: float
    duplicates: tuple[Duplicate, ...]
    division: Division | None
    refusal: str | None
    passed_over: Mapping[str, Mapping[str, int]]
    listing: tuple[str, ...]
    image_size: int

    @property
    def sizes(self) -> NDArray[np.int32]:
        """int32 ``(usable images, 2)``, width and height of every usable image of all parts."""
        sizes = np.concatenate([part.scan.sizes for part in self.parts.values()])
        return sizes[sizes[:, 0] > 0]

    @property
    def kept(self) -> float:
        """Share of the median image, of 0 to 1, that lies in its centred square, which is all that a run sees of it."""
        return float(np.median(self.sizes.min(1) / self.sizes.max(1)))


def gini(counts: ClassCounts) -> float:
    """Gini coefficient of the class sizes: 0 where all are equal, near 1 where one class has nearly everything.

    With the C sizes in ascending order, ``G = 2 sum_i i n_i / (C sum_i n_i) - (C + 1) / C``, i from 1: half the mean
    absolute difference of two classes' sizes over their mean. Its maximum, all images in one class, is ``(C - 1) / C``.
    As a measure of long-tailedness: Yang et al. 2022 (2205.13775).
    """
    if not counts.total:
        return 0.0
    classes = len(counts)
    weighted = sum(rank * count for rank, count in enumerate(sorted(counts), start=1))
    return 2 * weighted / (classes * counts.total) - (classes + 1) / classes


def inspect(
    stored: StoredSource, config: DataConfig, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Inspection:
    """Opens every image of a collection, and works out what a run would make of them.

    Args:
        stored: the collection.
        config: how a run would make it long-tailed and divide it; unusable images count as left out.
        seed: the seed of that division's draws.
        progress: told how many of how many images are done.

    Raises:
        ConfigError: options contradict each other.
        DataError: a profile was asked for that the images cannot take on.
    """
    splits: dict[PartName, StoredSplit] = {"train": stored.train}
    if stored.selection is not None:
        splits["selection"] = stored.selection
    if stored.test is not None:
        splits["test"] = stored.test
    profile, _ = config.long_tail()
    if profile != "as-is":  # a profile that the images cannot take on is known before any is opened
        rows = {name: torch.arange(len(split.images)) for name, split in splits.items()}
        _divide(stored, splits, rows, rows, config, seed)
    size = _SIZE
    with suppress(DataError):  # where no image can be opened the scan says why
        size = decoded_size(stored, config.image_size)
    total = sum(len(split.images) for split in splits.values())
    parts: dict[PartName, Part] = {}
    before = 0
    for name, split in splits.items():

        def tell(done: int, before: int = before) -> None:
            progress(before + done, total)

        scanned = scan(split.images, tell, size)
        counts = ClassCounts.of(split.labels[scanned.usable], len(stored.classes))
        parts[name] = Part(split, scanned, counts)
        before += len(split.images)

    division, refusal = None, None
    try:
        usable = {name: part.scan.usable for name, part in parts.items()}
        contents = {name: part.scan.contents for name, part in parts.items()}
        division = _divide(stored, splits, usable, contents, config, seed)
    except DataError as problem:
        if profile != "as-is":
            raise
        refusal = str(problem)
    counts = parts["train"].counts if profile == "as-is" or division is None else division.fit
    return Inspection(
        description=stored.description,
        classes=stored.classes,
        profile=profile,
        parts=parts,
        counts=counts,
        gini=gini(counts),
        duplicates=tuple(_duplicates(parts)),
        division=division,
        refusal=refusal,
        passed_over=stored.passed_over,
        listing=tuple(listing_notes(stored)),
        image_size=size,
    )


def _divide(
    stored: StoredSource,
    splits: Mapping[PartName, StoredSplit],
    rows: Mapping[PartName, Tensor],
    contents: Mapping[PartName, Tensor],
    config: DataConfig,
    seed: int,
) -> Division:
    """Divides the given rows of each part as a run would; by labels and contents, so nothing is decoded."""
    images = {name: StreamedImages(split.images, 1) for name, split in splits.items()}
    labels = {name: split.labels[rows[name]] for name, split in splits.items()}
    counts = ClassCounts.of(labels["train"], len(stored.classes))
    if (empty := counts.first_empty) is not None:
        name = stored.classes[empty]
        raise DataError(f"class {name!r} has no training image that can be read: replace them, or leave the class out")
    for part in splits:
        if not len(rows[part]):
            raise DataError(f"the {part} part has no image that can be read: replace them, or leave the part out")
    own: dict[PartName, Any] = {
        name: kind(images[name], rows[name], labels[name], stored.classes) if name in splits else None
        for name, kind in _SPLITS.items()
    }
    source = Source(
        name=config.data,
        description=stored.description,
        train=own["train"],
        test=own["test"],
        flip=stored.flip,
        skipped=(),
        identity="",
        contents=contents,
        selection=own["selection"],
    )
    train, selection, test, _ = divide(source, config, seed)
    fit = train if source.selection else train.with_selection(selection)
    return Division(fit.counts, selection.counts, test.counts)


def _duplicates(parts: Mapping[PartName, Part]) -> Sequence[Duplicate]:
    names = list(parts)
    rows = [part.scan.usable for part in parts.values()]
    part_of = torch.cat([torch.full_like(usable, number) for number, usable in enumerate(rows)]).numpy()
    row_of = torch.cat(rows).numpy()
    contents = np.concatenate(
        [part.scan.files[usable.numpy()] for part, usable in zip(parts.values(), rows, strict=True)]
    )
    order = np.lexsort((np.arange(len(contents)), *contents.T))
    same = (contents[order][1:] == contents[order][:-1]).all(axis=1)
    found = []
    for members in np.split(order, np.flatnonzero(~same) + 1):
        if len(members) > 1:
            images = tuple((names[part_of[member]], int(row_of[member])) for member in members)
            labels = {parts[name].label(row) for name, row in images}
            kind: Literal["parts", "classes", "class"] = "class"
            if len({name for name, _ in images}) > 1:
                kind = "parts"
            elif len(labels) > 1:
                kind = "classes"
            found.append(Duplicate(kind, images))
    severity = ("parts", "classes", "class")
    return sorted(
        found,
        key=lambda duplicate: (
            severity.index(duplicate.kind),
            names.index(duplicate.images[0][0]),
            duplicate.images[0][1],
        ),
    )
