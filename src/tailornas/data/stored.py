"""Images in the form in which a source keeps them, before any is decoded."""

import errno
import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median_low
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tailornas.data.decode import open_image
from tailornas.errors import DataError, DiskError
from tailornas.types import ClassCounts

__all__ = [
    "ImageArrays",
    "ImageFiles",
    "StoredImages",
    "StoredSource",
    "StoredSplit",
    "as_text",
    "check_disk",
    "default_size",
    "inside",
    "numbered_classes",
    "shorter_sides",
]

_OF_THE_FILE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
    }
)
"""Errors of the system that a file gives each time; EINVAL where a damaged header leads to a place before its start."""

_LOOKED_AT = 1000  # images whose size says which size to decode a collection to


class StoredImages(Protocol):
    """A sequence of images that can be opened one at a time, from several threads."""

    def __len__(self) -> int: ...

    def name(self, row: int) -> str:
        """What an error message calls the image."""
        ...

    def open(self, row: int) -> Image.Image:
        """Opens an image; its pixels are read later, by whoever decodes it, who also closes it."""
        ...

    def content(self, row: int) -> bytes:
        """The bytes that an image is stored as; images with the same bytes and shape are the same image."""
        ...


@final
@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files.

    Args:
        paths: one path an image.
    """

    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, row: int) -> str:
        """The file's path, by :func:`as_text`."""
        return as_text(str(self.paths[row]))

    def open(self, row: int) -> Image.Image:
        """Opens the file and reads its header."""
        return open_image(self.paths[row])

    def content(self, row: int) -> bytes:
        """The whole file."""
        return self.paths[row].read_bytes()


@final
@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images that a source holds as plain pixels.

    Args:
        pixels: uint8 ``(images, height, width)`` for grey or ``(images, height, width, 3)`` for RGB.
        source: what the images belong to, for messages.
    """

    pixels: NDArray[np.uint8]
    source: str

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, row: int) -> str:
        """The row's number within the source."""
        return f"{row} of {self.source}"

    def open(self, row: int) -> Image.Image:
        """Wraps the row's pixels."""
        return Image.fromarray(self.pixels[row])

    def content(self, row: int) -> bytes:
        """The row's pixels."""
        return bytes(self.pixels[row].tobytes())


@final
@dataclass(frozen=True, eq=False)
class StoredSplit:
    """Stored images with their labels.

    Args:
        images: the images.
        labels: int64 ``(images,)``.
    """

    images: StoredImages
    labels: Tensor


@final
@dataclass(frozen=True, eq=False)
class StoredSource:
    """A labelled image collection as it lies on disk.

    Args:
        train: the training part, or everything.
        test: the source's own test part, if it has one.
        classes: class names in label order.
        description: what was read from where, in a few words, for the report.
        flip: whether a mirrored image still belongs to its class.
        selection: the source's own part to choose by, if it has one.
        passed_over: files that lie among the images but have no image's name: how many, by ending and class.
        loose: the images that lie in no class's folder, and are not used.
        links: the folders inside of classes' that are links, and are not followed.

    Raises:
        DataError: fewer than two classes, or a class without training images.
    """

    train: StoredSplit
    test: StoredSplit | None
    classes: tuple[str, ...]
    description: str
    flip: bool = True
    selection: StoredSplit | None = None
    passed_over: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    loose: Sequence[str] = ()
    links: Sequence[str] = ()

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise DataError(
                f"{self.description} has {len(self.classes)} class: expected at least 2 to tell apart, add another"
            )
        counts = ClassCounts.of(self.train.labels, len(self.classes))
        if (label := counts.first_empty) is not None:
            raise DataError(
                f"class {self.classes[label]!r} (label {label}) of {self.description} has no training image: "
                "add some, or leave the class out"
            )


def as_text(name: str) -> str:
    """Returns a file's or folder's name as it can be written anywhere: bytes that are no UTF-8 as escapes."""
    return name.encode(errors="backslashreplace").decode()


def check_disk(problem: Exception, name: str) -> None:
    """Raises where an image could not be read for a reason outside of its file, so that the image may be good.

    Such a reason is an error of the system that the same file need not give again: of a disk or a network, or too many
    open files. What Pillow says of a damaged file are OSErrors without ``errno``.

    Args:
        problem: what opening or decoding the image raised.
        name: what messages call the image.

    Raises:
        DiskError: there is such a reason.
    """
    if isinstance(problem, OSError) and problem.errno is not None and problem.errno not in _OF_THE_FILE:
        raise DiskError(
            f"cannot read image {name} now ({problem.strerror}), good or not: check the disk, the network and the "
            "limit on open files, and start again"
        ) from problem


def inside(path: str, place: str) -> Path:
    """Returns a listed path without its dots, relative to the root that it must stay in.

    Args:
        path: what the list says.
        place: what messages call the entry.

    Raises:
        DataError: the path is absolute or leads out of the root.
    """
    plain = Path(os.path.normpath(path))
    if plain.is_absolute() or plain.parts[:1] == ("..",):
        raise DataError(
            f"{place} lists {path}, which leaves the root folder: expected a path relative to it and inside it"
        )
    return plain


def numbered_classes(labels: Sequence[int], place: str) -> tuple[str, ...]:
    """Returns the class names ``"0"``, ``"1"``, ... of labels without names.

    Raises:
        DataError: the labels are not 0 to ``C - 1`` without a gap.
    """
    present = set(labels)
    gap = next(label for label in range(len(present) + 1) if label not in present)
    if gap < len(present):
        odd = min(present) if min(present) < 0 else max(present)
        raise DataError(
            f"{place} has the label {odd} but not {gap}: expected labels from 0 without a gap, renumber them"
        )
    return tuple(str(label) for label in range(len(present)))


def shorter_sides(images: StoredImages) -> list[int]:
    """Reads the shorter side, in pixels, of up to 1,000 images spread evenly over the collection.

    Images that cannot be opened are passed over here: decoding reports them.

    Raises:
        DataError: none of the images looked at could be opened.
        DiskError: see :func:`check_disk`.
    """
    sides = []
    rows = range(0, len(images), -(-len(images) // _LOOKED_AT))
    for row in rows:
        try:
            with images.open(row) as image:
                sides.append(min(image.size))
        except Exception as problem:  # whatever a broken header raises, decoding will say it
            check_disk(problem, images.name(row))
    if not sides:
        raise DataError(f"none of the {len(rows)} images looked at can be read, {images.name(0)} for one")
    return sides


def default_size(sides: Sequence[int]) -> int:
    """The image size to use when the user sets none, from the shorter sides of the collection's images.

    A median of at most 16 pixels is kept as it is (digits: 8; at least 4), of at most 48 becomes 32 (CIFAR,
    Fashion-MNIST), and anything larger 64, which a small machine can search on.
    """
    median = median_low(sides)
    if median <= 16:
        return max(4, median)
    return 32 if median <= 48 else 64
