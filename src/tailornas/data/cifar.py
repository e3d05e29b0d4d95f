"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from the files that their author distributes.

The binary and the Python form are read, each from its extracted folder or straight from its archive.
"""

import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from tailornas.data.stored import ImageArrays, StoredSource, StoredSplit
from tailornas.data.unpickle import unpickle
from tailornas.errors import DataError

__all__ = ["read_cifar10", "read_cifar100"]

_PIXELS = 3 * 32 * 32

_Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_cifar10(place: Path) -> StoredSource | None:
    """Reads CIFAR-10 from ``place``, or returns None where none of its folders and archives is there.

    Args:
        place: the folder that holds ``cifar-10-batches-bin``, ``cifar-10-batches-py`` or one of their
            archives.

    Raises:
        DataError: files are there but missing in part, damaged, or not CIFAR-10's.
    """
    return _read(place, "CIFAR-10", _CIFAR10)


def read_cifar100(place: Path) -> StoredSource | None:
    """Reads CIFAR-100 with its fine labels from ``place``; see :func:`read_cifar10`."""
    return _read(place, "CIFAR-100", _CIFAR100)


def _binary_batch(content: bytes, label_bytes: int) -> _Batch:
    """Records of ``label_bytes`` labels, the last of which counts, and an image by planes."""
    width = label_bytes + _PIXELS
    if not content or len(content) % width:
        raise DataError(f"expected records of {width} bytes, got {len(content)} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, width)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def _python_batch(content: bytes, key: str) -> _Batch:
    values = unpickle(content)
    pixels, labels = values.get("data"), values.get(key)
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list):
        raise DataError(f"expected the entries 'data' and {key!r}, got {', '.join(values)}")
    fitting = labels and pixels.shape == (len(labels), _PIXELS)
    if not fitting or not all(isinstance(label, int) for label in labels):
        raise DataError(f"expected an integer label and {_PIXELS} pixels an image, got pixels {pixels.shape}")
    return pixels, np.array(labels, np.int64)


def _text_names(content: bytes) -> tuple[str, ...]:
    return tuple(line.strip() for line in content.decode("latin-1").splitlines() if line.strip())


def _python_names(content: bytes, key: str) -> tuple[str, ...]:
    return tuple(str(name) for name in unpickle(content).get(key, ()))


@final
@dataclass(frozen=True)
class _Layout:
    """One distributed form of a dataset.

    Args:
        folder: the folder inside the archive.
        archive: the archive.
        train: its training files.
        test: its test file.
        meta: its file with the class names.
        batch: turns the content of a training or test file into pixels ``(images, 3072)`` and labels.
        names: turns the content of the meta file into class names.
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    meta: str
    batch: Callable[[bytes], _Batch]
    names: Callable[[bytes], tuple[str, ...]]


_CIFAR10 = (
    _Layout(
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary.tar.gz",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        meta="batches.meta.txt",
        batch=partial(_binary_batch, label_bytes=1),
        names=_text_names,
    ),
    _Layout(
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        meta="batches.meta",
        batch=partial(_python_batch, key="labels"),
        names=partial(_python_names, key="label_names"),
    ),
)
_CIFAR100 = (
    _Layout(
        folder="cifar-100-binary",
        archive="cifar-100-binary.tar.gz",
        train=("train.bin",),
        test="test.bin",
        meta="fine_label_names.txt",
        batch=partial(_binary_batch, label_bytes=2),
        names=_text_names,
    ),
    _Layout(
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        train=("train",),
        test="test",
        meta="meta",
        batch=partial(_python_batch, key="fine_labels"),
        names=partial(_python_names, key="fine_label_names"),
    ),
)


def _read(place: Path, title: str, layouts: Sequence[_Layout]) -> StoredSource | None:
    for layout in layouts:
        wanted = (*layout.train, layout.test, layout.meta)
        if (place / layout.folder).is_dir():
            found = place / layout.folder
            contents = {name: (found / name).read_bytes() for name in wanted if (found / name).is_file()}
        elif (place / layout.archive).is_file():
            found = place / layout.archive
            contents = _archived(found, layout.folder, wanted)
        else:
            continue
        missing = [name for name in wanted if name not in contents]
        if missing:
            raise DataError(f"{found} has no {', '.join(missing)}: expected all files of {title}, replace it")
        return _decode(found, title, layout, contents)
    return None


def _archived(archive: Path, folder: str, wanted: Sequence[str]) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(archive) as members:
            for member in members:
                path = Path(member.name)
                if member.isfile() and path.parent == Path(folder) and path.name in wanted:
                    file = members.extractfile(member)
                    assert file is not None
                    contents[path.name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise DataError(f"{archive} is a damaged archive ({problem}): replace it") from problem
    return contents


def _decode(found: Path, title: str, layout: _Layout, contents: dict[str, bytes]) -> StoredSource:
    name = layout.meta
    try:
        classes = layout.names(contents.pop(name))
        splits = []
        for part, files in (("train", layout.train), ("test", (layout.test,))):
            batches = []
            for name in files:
                pixels, labels = layout.batch(contents.pop(name))
                if labels.min() < 0 or labels.max() >= len(classes):
                    raise DataError(f"it has labels from {labels.min()} to {labels.max()} for {len(classes)} classes")
                batches.append((pixels, labels))
            planes = np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, 32, 32)
            images = ImageArrays(planes.transpose(0, 2, 3, 1), f"{title} {part}")
            splits.append(StoredSplit(images, torch.from_numpy(np.concatenate([labels for _, labels in batches]))))
    except DataError as problem:
        raise DataError(f"{found} holds a {name} that is not {title}'s ({problem}): replace it") from problem
    return StoredSource(splits[0], splits[1], classes, title)
