"""Parquet files in the layout of a Hugging Face image dataset.

Two columns: ``image``, a struct whose field ``bytes`` is an encoded image file, and ``label``, an integer.
"""

import io
import json
import mmap
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, final

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from tailornas.data.decode import open_image
from tailornas.data.stored import StoredSource, StoredSplit, numbered_classes
from tailornas.errors import DataError, DiskError

__all__ = ["ParquetImages", "find_shards", "read_parquet"]

_BATCH = 1024  # rows held at a time while a file is read


@final
@dataclass(frozen=True, eq=False)
class ParquetImages:
    """Encoded images, laid one after the other in one buffer.

    Parquet itself cannot fetch a row without decompressing its whole row group.

    Args:
        buffer: the encoded images.
        ends: where each image ends in the buffer.
        files: the files that the images came from.
        starts: the row each of those files starts at.
    """

    buffer: bytes | mmap.mmap
    ends: Sequence[int]
    files: Sequence[Path]
    starts: Sequence[int]

    def __len__(self) -> int:
        return len(self.ends)

    def name(self, row: int) -> str:
        """The file and the row's number within it, from 0."""
        shard = bisect_right(self.starts, row) - 1
        return f"{self.files[shard]} row {row - self.starts[shard]}"

    def open(self, row: int) -> Image.Image:
        """Opens the row's encoded image."""
        return open_image(io.BytesIO(self.content(row)))

    def content(self, row: int) -> bytes:
        """The row's encoded image."""
        return self.buffer[self.ends[row - 1] if row else 0 : self.ends[row]]


def find_shards(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the train and the test shards of a folder: ``train*.parquet`` and ``test*.parquet``, by name.

    Raises:
        DataError: the folder has Parquet files, and one of them is neither, or none is for training.
    """
    found = sorted(folder.glob("*.parquet"))
    train = [path for path in found if path.name.startswith("train")]
    test = [path for path in found if path.name.startswith("test")]
    others = [path.name for path in found if path not in train and path not in test]
    if found and (others or not train):
        raise DataError(
            f"{folder} holds {', '.join(others) or 'only test shards'}: expected train*.parquet and, "
            "optionally, test*.parquet; rename or move the others"
        )
    return train, test


def read_parquet(train: Sequence[Path], test: Sequence[Path], memory_cap: int) -> StoredSource:
    """Reads the shards of a dataset; images stay encoded.

    Class names are those of the schema metadata's ``class_names`` (comma separated), else of the Hugging Face
    features in it, else the labels themselves.

    Args:
        train: the training shards.
        test: the test shards, or nothing.
        memory_cap: encoded images of more than this many bytes go to an unnamed temporary file instead of
            memory.

    Raises:
        DataError: a file is not Parquet or not of the layout, or a label is not one of the classes.
        DiskError: there is no room for the temporary file.
    """
    images, labels = _read_shards(train, memory_cap)
    classes = _class_names(train[0]) or numbered_classes(labels, str(train[0]))
    held_out = None
    if test:
        held_out = _labelled(*_read_shards(test, memory_cap), len(classes))
    place = train[0] if len(train) == 1 and not test else train[0].parent
    return StoredSource(_labelled(images, labels, len(classes)), held_out, classes, str(place))


def _open(path: Path) -> Any:
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} cannot be read as a Parquet file: {' '.join(str(problem).split())}") from problem
    schema = file.schema_arrow
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    image = schema.field("image").type if schema.names.count("image") == 1 else None
    if image is None or not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
        raise DataError(f"{path} has the columns {columns}: expected 'image', a struct with the field 'bytes'")
    if schema.names.count("label") != 1 or not pa.types.is_integer(schema.field("label").type):
        raise DataError(f"{path} has the columns {columns}: expected 'label', an integer")
    return file


def _read_shards(paths: Sequence[Path], memory_cap: int) -> tuple[ParquetImages, list[int]]:
    files = [_open(path) for path in paths]
    counts = [file.metadata.num_rows for file in files]
    if not sum(counts):
        raise DataError(f"{paths[0]} has no rows: expected images of at least 2 classes")
    groups = (file.metadata.row_group(group) for file in files for group in range(file.num_row_groups))
    in_memory = sum(group.total_byte_size for group in groups) <= memory_cap
    lengths: list[int] = []
    labels: list[int] = []
    try:
        with io.BytesIO() if in_memory else tempfile.TemporaryFile() as laid:
            for path, file in zip(paths, files, strict=True):
                for encoded, label in _rows(path, file):
                    laid.write(encoded)
                    lengths.append(len(encoded))
                    labels.append(label)
            laid.flush()
            buffer = laid.getvalue() if isinstance(laid, io.BytesIO) else _mapped(laid)
    except OSError as problem:
        raise DiskError(
            f"cannot lay out the images of {paths[0].parent} in {tempfile.gettempdir()} ({problem}): "
            "set TMPDIR to a folder with room for them"
        ) from problem
    return ParquetImages(buffer, list(accumulate(lengths)), paths, [0, *accumulate(counts)][:-1]), labels


def _mapped(file: IO[bytes]) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _rows(path: Path, file: Any) -> Iterator[tuple[bytes, int]]:
    """Yields each row's encoded image, empty where there is none (decoding reports that), and label."""
    row = 0
    try:
        for batch in file.iter_batches(_BATCH, columns=["image.bytes", "label"], use_threads=False):
            for image, label in zip(batch.column("image").to_pylist(), batch.column("label").to_pylist(), strict=True):
                if label is None:
                    raise DataError(f"{path} row {row} has no label: expected an integer, remove the row")
                yield (image or {}).get("bytes") or b"", label
                row += 1
    except (pa.ArrowException, OSError) as problem:
        raise DataError(f"{path} is damaged after row {row}: {' '.join(str(problem).split())}") from problem


def _labelled(images: ParquetImages, labels: list[int], classes: int) -> StoredSplit:
    wrong = next((row for row, label in enumerate(labels) if not 0 <= label < classes), None)
    if wrong is not None:
        raise DataError(
            f"{images.name(wrong)} has the label {labels[wrong]}: expected 0 to {classes - 1}, mend the "
            "label or the class names in the schema metadata"
        )
    return StoredSplit(images, torch.tensor(labels, dtype=torch.int64))


def _class_names(path: Path) -> tuple[str, ...] | None:
    metadata = _open(path).schema_arrow.metadata or {}
    try:
        if b"class_names" in metadata:
            return tuple(name.strip() for name in metadata[b"class_names"].decode().split(","))
        features = json.loads(metadata.get(b"huggingface", b"{}"))
        names = features.get("info", {}).get("features", {}).get("label", {}).get("names")
        return None if names is None else tuple(str(name) for name in names)
    except (ValueError, AttributeError, TypeError) as problem:
        raise DataError(f"{path} has class names in its schema metadata that cannot be read: {problem}") from problem
