"""IDX files, the format of MNIST and Fashion-MNIST."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tailornas.data.stored import ImageArrays, StoredSource, StoredSplit
from tailornas.errors import DataError

__all__ = ["parse_idx", "read_fashion_mnist"]

_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_fashion_mnist(folder: Path) -> StoredSource | None:
    """Reads Fashion-MNIST (Xiao et al., 1708.07747) from its four IDX files, plain or ``.gz``.

    Args:
        folder: where the files lie.

    Returns:
        The dataset, or None where the folder does not hold its training images.

    Raises:
        DataError: a file is missing or damaged, or does not fit the others.
    """
    if _find(folder, "train-images-idx3-ubyte") is None:
        return None
    train, test = (_read_split(folder, prefix) for prefix in ("train", "t10k"))
    return StoredSource(train, test, _CLASSES, "Fashion-MNIST")


def parse_idx(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """Parses an IDX file of unsigned bytes.

    The format: two zero bytes, the element type (8: unsigned byte), the number of dimensions, each dimension
    as a big-endian 32-bit integer, then the elements in row-major order.

    Args:
        content: the whole file.
        dimensions: how many dimensions it should have.

    Raises:
        DataError: the header is another, or the length is not the one that the header states.
    """
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"expected an IDX header of {dimensions}-dimensional unsigned bytes, got {content[:4].hex(' ')!r}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(f"expected {math.prod(shape)} elements for the shape {shape}, got {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    path = _find(folder, name)
    if path is None:
        raise DataError(f"{folder} has no {name} or {name}.gz: expected the four files of Fashion-MNIST")
    try:
        content = path.read_bytes()
        return parse_idx(gzip.decompress(content) if path.suffix == ".gz" else content, dimensions)
    except (OSError, EOFError, zlib.error, DataError) as problem:
        raise DataError(f"{path} is damaged ({problem}): replace the file") from problem


def _read_split(folder: Path, prefix: str) -> StoredSplit:
    pixels = _read(folder, f"{prefix}-images-idx3-ubyte", 3)
    labels = torch.from_numpy(_read(folder, f"{prefix}-labels-idx1-ubyte", 1).astype(np.int64))
    if len(pixels) != len(labels) or not len(labels):
        raise DataError(
            f"{folder} has {len(pixels)} {prefix} images and {len(labels)} {prefix} labels: expected as "
            "many, replace the files"
        )
    if int(labels.max()) >= len(_CLASSES):
        raise DataError(f"{folder} has the {prefix} label {int(labels.max())}: expected 0 to {len(_CLASSES) - 1}")
    return StoredSplit(ImageArrays(pixels, f"Fashion-MNIST {prefix}"), labels)
