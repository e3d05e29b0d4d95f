"""Decoded images: all in memory, or decoded on demand."""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tailornas.data.chunks import in_chunks
from tailornas.data.decode import decode_image, decoding_problem
from tailornas.data.stored import StoredImages, check_disk
from tailornas.errors import DataError

__all__ = ["MemoryImages", "StreamedImages", "content_number", "contents_identity", "decoded_bytes", "load_images"]


@final
class MemoryImages:
    """Images held as one tensor.

    Args:
        pixels: uint8 ``(images, 3, size, size)``.

    Raises:
        DataError: the tensor has another type or shape.
    """

    def __init__(self, pixels: Tensor) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise DataError(f"expected uint8 pixels (images, 3, size, size), got {pixels.dtype} {tuple(pixels.shape)}")
        if pixels.shape[2] != pixels.shape[3]:
            raise DataError(f"expected square images, got {pixels.shape[2]} x {pixels.shape[3]} pixels")
        self.pixels = pixels

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return self.pixels.shape[2]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Tensor) -> Tensor:
        """Returns uint8 ``(len(rows), 3, size, size)``."""
        return self.pixels.index_select(0, rows)


@final
class StreamedImages:
    """Images decoded each time they are taken, by as many threads as torch uses.

    Args:
        stored: the images as they lie on disk.
        size: height and width to decode them to.
    """

    def __init__(self, stored: StoredImages, size: int) -> None:
        self._stored, self._size = stored, size
        # Asked here because torch answers differently in threads that it did not start.
        self._threads = torch.get_num_threads()

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return self._size

    def __len__(self) -> int:
        return len(self._stored)

    def take(self, rows: Tensor) -> Tensor:
        """Decodes uint8 ``(len(rows), 3, size, size)``.

        Raises:
            DataError: an image can no longer be read.
            DiskError: an image cannot be read now; see :func:`~tailornas.data.stored.check_disk`.
        """
        pixels = torch.empty((len(rows), 3, self._size, self._size), dtype=torch.uint8)
        into = pixels.numpy()

        def fill(place: int, row: int) -> None:
            into[place] = _read(self._stored, row, self._size)

        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(fill, range(len(rows)), rows.tolist()):
                pass  # raises what the thread raised
        return pixels


def decoded_bytes(images: int, size: int) -> int:
    """Memory that so many decoded images take."""
    return images * 3 * size * size


def content_number(pixels: NDArray[np.uint8]) -> int:
    """A number of 64 bits that equal pixels share, and other pixels by a chance of 1 in 10^19 only."""
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def contents_identity(size: int, contents: Iterable[tuple[str, Tensor]]) -> str:
    """Returns a text that depends on the pixels and the order of all images, and on nothing else of their files.

    So it is the same for a copy of the files, and whether the decoded images are kept in memory or not.

    Args:
        size: height and width in pixels that the images are decoded to.
        contents: of each part its name and the :func:`content_number` of every image, int64 ``(images,)``.
    """
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    for name, numbers in contents:
        digest.update(f" {name} {len(numbers)} ".encode())
        digest.update(numbers.numpy().data)
    return digest.hexdigest()


def load_images(
    stored: StoredImages,
    size: int,
    *,
    stream: bool,
    skip_bad: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[MemoryImages | StreamedImages, Tensor, Tensor, tuple[str, ...]]:
    """Decodes every image once, to keep it or, when streaming, to know that it can be decoded.

    Args:
        stored: the images as they lie on disk.
        size: height and width to decode them to.
        stream: decode again on demand instead of keeping the pixels.
        skip_bad: leave out images that cannot be decoded instead of refusing the collection.
        progress: told how many images are decoded, every few images.

    Returns:
        The images; the rows that can be used, int64 ascending; the :func:`content_number` of every row, int64
        ``(images,)``, of which that of a row left out means nothing; and the names of the images left out.

    Raises:
        DataError: an image cannot be decoded and ``skip_bad`` is off.
        DiskError: an image cannot be read now, whatever ``skip_bad`` is; see :func:`~tailornas.data.stored.check_disk`.
    """
    pixels = torch.empty((0 if stream else len(stored), 3, size, size), dtype=torch.uint8)
    into = pixels.numpy()
    contents = torch.zeros(len(stored), dtype=torch.int64)
    numbers = contents.numpy()

    def read_chunk(rows: range) -> list[int]:
        unreadable = []
        for row in rows:
            try:
                image = _read(stored, row, size)
            except DataError:
                if not skip_bad:
                    raise
                unreadable.append(row)
                image = np.zeros((3, size, size), np.uint8)
            numbers[row] = content_number(image)
            if not stream:
                into[row] = image
        return unreadable

    bad = [row for unreadable in in_chunks(read_chunk, len(stored), progress) for row in unreadable]
    usable = torch.ones(len(stored), dtype=torch.bool)
    usable[bad] = False
    images = StreamedImages(stored, size) if stream else MemoryImages(pixels)
    return images, usable.nonzero().flatten(), contents, tuple(stored.name(row) for row in bad)


def _read(stored: StoredImages, row: int, size: int) -> NDArray[np.uint8]:
    try:
        with stored.open(row) as image:
            return decode_image(image, size)
    except MemoryError:
        raise
    except Exception as problem:  # a damaged file can make a decoder raise anything
        check_disk(problem, stored.name(row))
        raise DataError(
            f"cannot read image {stored.name(row)} ({decoding_problem(problem)}): replace or remove it, "
            "or give --skip-bad (skip_bad) to leave such images out"
        ) from problem
