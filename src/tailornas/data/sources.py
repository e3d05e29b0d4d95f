"""Where images come from: benchmarks by name, and the user's own by path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, final

from torch import Tensor

from tailornas.data.cifar import read_cifar10, read_cifar100
from tailornas.data.digits import read_digits
from tailornas.data.download import download_cifar10, download_cifar100, download_fashion_mnist
from tailornas.data.folder import EXTENSIONS, read_folder
from tailornas.data.idx import read_fashion_mnist
from tailornas.data.images import contents_identity, decoded_bytes, load_images
from tailornas.data.listfile import read_list
from tailornas.data.listing import listing_notes
from tailornas.data.parquet import find_shards, read_parquet
from tailornas.data.stored import StoredImages, StoredSource, StoredSplit, default_size, shorter_sides
from tailornas.errors import ConfigError, DataError, UnknownNameError
from tailornas.types import SelectionSplit, Split, TestSplit, TrainSplit

__all__ = ["SOURCES", "PartName", "Source", "decoded_size", "load", "read"]

PartName = Literal["train", "selection", "test"]

_SplitT = TypeVar("_SplitT", bound=Split)

_CACHE = Path("~/.cache/tailornas")
_SYSTEM = Path("/usr/share/datasets")  # where Debian's packages of datasets put their files


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A labelled collection of images of one size, not yet divided.

    Args:
        name: the name or path that it was asked for by.
        description: what was read, in a few words, for the report.
        train: its training part, or everything.
        test: its own test part, if it has one.
        flip: whether a mirrored image still belongs to its class.
        skipped: names of the images left out because they cannot be decoded.
        identity: a text that changes when the images' pixels or their order change.
        contents: of each part a number for every row of its images, int64, that equal images share, across parts too.
        selection: its own part to choose by, if it has one.
        listing: what the owner must know of how the images lie there, a sentence each.
    """

    name: str
    description: str
    train: TrainSplit
    test: TestSplit | None
    flip: bool
    skipped: tuple[str, ...]
    identity: str
    contents: Mapping[PartName, Tensor]
    selection: SelectionSplit | None = None
    listing: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.train.classes


@final
@dataclass(frozen=True)
class _Benchmark:
    """A dataset that is found by its name in a folder of datasets, or fetched into it.

    Args:
        name: the name users give, and the sub-folder it is looked for in.
        title: its name in reports.
        classes: number of its classes.
        images: number of its training and of its test images.
        read: reads its own files from a folder; None where the folder does not hold them.
        download: fetches those files into a folder.
    """

    name: str
    title: str
    classes: int
    images: tuple[int, int]
    read: Callable[[Path], StoredSource | None]
    download: Callable[[Path], None]


def load(
    name_or_path: str | Path,
    data_dir: Path | None = None,
    image_size: int | None = None,
    memory_cap: int = 2**30,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Source:
    """Loads a collection by the name of a benchmark or by path.

    A path is a folder with one sub-folder a class (:func:`~tailornas.data.folder.read_folder`), a folder of
    Parquet shards or one Parquet file, which is then everything there is
    (:func:`~tailornas.data.parquet.read_parquet`), or a list or annotation file
    (:func:`~tailornas.data.listfile.read_list`). A name of :data:`SOURCES` wins over a path that reads the
    same; ``./digits`` is the path.

    Every image is decoded once. Where all decoded images, those of every part, take at most ``memory_cap``
    bytes they stay in memory; else they are decoded again each time they are needed.

    Args:
        name_or_path: what to load.
        data_dir: for a benchmark, the folder that holds its files, directly or in a sub-folder of its name,
            and that they are downloaded into if it does not (default ``~/.cache/tailornas``, which is made; Debian's
            ``/usr/share/datasets`` is then looked into, too). For a list file, the folder that its paths are
            relative to.
        image_size: height and width in pixels; None: :func:`~tailornas.data.stored.default_size` decides.
        memory_cap: bytes that decoded images may take in memory.
        skip_bad: leave out images that cannot be decoded.
        progress: told how many of how many images are decoded.

    Raises:
        UnknownNameError: neither a known name nor a path.
        ConfigError: ``data_dir`` is given to a source that does not use it.
        DataError: nothing is there, or what is there cannot be used; the message names the file, row or line.
        DiskError: an image cannot be read now; or there is no room for the images of a Parquet file.
    """
    stored = read(name_or_path, data_dir, memory_cap)
    parts = [part for part in (stored.train, stored.selection, stored.test) if part]
    size = decoded_size(stored, image_size)
    total = sum(len(part.images) for part in parts)
    stream = decoded_bytes(total, size) > memory_cap
    before = 0
    skipped: list[str] = []
    contents: dict[PartName, Tensor] = {}

    def decode(kind: type[_SplitT], name: PartName, part: StoredSplit) -> _SplitT:
        nonlocal before
        images, rows, contents[name], bad = load_images(
            part.images, size, stream=stream, skip_bad=skip_bad, progress=lambda done: progress(before + done, total)
        )
        before += len(part.images)
        skipped.extend(bad)
        return kind(images, rows, part.labels[rows], stored.classes)

    train = decode(TrainSplit, "train", stored.train)
    if (empty := train.counts.first_empty) is not None:
        raise DataError(
            f"class {train.classes[empty]!r} of {stored.description} has no image "
            "left without those that cannot be read: expected at least one, replace "
            f"{skipped[0]}"
        )
    selection = decode(SelectionSplit, "selection", stored.selection) if stored.selection else None
    test = decode(TestSplit, "test", stored.test) if stored.test else None
    for kind, split in (("selection", selection), ("test", test)):
        if split is not None and not len(split):
            raise DataError(f"{stored.description} has no {kind} image that can be read: replace {skipped[-1]}")
    return Source(
        name=str(name_or_path),
        description=stored.description,
        train=train,
        test=test,
        flip=stored.flip,
        skipped=tuple(skipped),
        identity=contents_identity(size, contents.items()),
        contents=contents,
        selection=selection,
        listing=tuple(listing_notes(stored)),
    )


def decoded_size(stored: StoredSource, image_size: int | None = None) -> int:
    """Height and width in pixels that a collection is decoded to; see :func:`load`.

    Raises:
        DataError: no size is given, and none of the images looked at could be opened.
    """
    return image_size or default_size(shorter_sides(stored.train.images))


def read(name_or_path: str | Path, data_dir: Path | None = None, memory_cap: int = 2**30) -> StoredSource:
    """Finds a collection and lists its images without decoding any; see :func:`load` for arguments and errors."""
    try:
        return _read(name_or_path, data_dir, memory_cap)
    except OSError as problem:  # even of asking whether a file is there
        raise DataError(
            f"{name_or_path} cannot be read ({problem}): expected files and folders that can be, check the path, its "
            "permissions and the disk"
        ) from problem


def _read(name_or_path: str | Path, data_dir: Path | None, memory_cap: int) -> StoredSource:
    data_dir = data_dir and data_dir.expanduser()
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(
            f"no such folder: {data_dir}: expected --data-dir (data_dir) to name the folder with the images, or an "
            "existing one to download them into"
        )
    if isinstance(name_or_path, str) and name_or_path in SOURCES:
        return SOURCES[name_or_path](data_dir, memory_cap)
    path = Path(name_or_path).expanduser()
    if path.is_file() and path.suffix.lower() in EXTENSIONS:
        raise DataError(f"{path} is an image: expected the folder that has one sub-folder of images a class")
    if path.is_file() and path.suffix != ".parquet":
        return read_list(path, data_dir)
    if not path.exists():
        if path.suffix or path.name != str(name_or_path):
            raise DataError(f"no such file or folder: {path}")
        path_of_one = "the path of a file or folder (there is no such file or folder)"
        raise UnknownNameError("data source", str(name_or_path), [*SOURCES, path_of_one])
    _refuse_data_dir(str(path), data_dir)
    if path.is_file():
        return read_parquet([path], [], memory_cap)
    train, test = find_shards(path)
    return read_parquet(train, test, memory_cap) if train else read_folder(path)


def _refuse_data_dir(source: str, data_dir: Path | None) -> None:
    if data_dir is not None:
        raise ConfigError(
            f"data_dir {data_dir} has no effect with {source}: leave it out (it is for list files and for "
            f"{', '.join(name for name in SOURCES if name != 'digits')})"
        )


def _digits(data_dir: Path | None, memory_cap: int) -> StoredSource:
    _refuse_data_dir("digits", data_dir)
    return read_digits()


def _benchmark(benchmark: _Benchmark, data_dir: Path | None, memory_cap: int) -> StoredSource:
    folder = data_dir or _CACHE.expanduser()
    places = [folder / benchmark.name, folder]
    if data_dir is None:
        places.append(_SYSTEM / benchmark.name)
    for place in places:
        found = _parquet_copy(benchmark, place, memory_cap) or benchmark.read(place)
        if found:
            return _complete(benchmark, place, found)
    benchmark.download(places[0])
    found = benchmark.read(places[0])
    assert found is not None
    return _complete(benchmark, places[0], found)


def _complete(benchmark: _Benchmark, place: Path, found: StoredSource) -> StoredSource:
    # A copy that broke off half way reads well, and figures on a part of a benchmark pass for figures on all of it.
    images = len(found.train.images), len(found.test.images) if found.test else 0
    if images != benchmark.images:
        train, test = benchmark.images
        raise DataError(
            f"{place} holds {images[0]:,} training and {images[1]:,} test images: expected the {train:,} and {test:,} "
            f"of {benchmark.title}, copy all its files there or give another folder as --data-dir (data_dir)"
        )
    return found


def _parquet_copy(benchmark: _Benchmark, place: Path, memory_cap: int) -> StoredSource | None:
    if not any(place.glob("train*.parquet")):
        return None
    copy = read_parquet(*find_shards(place), memory_cap)
    if len(copy.classes) != benchmark.classes:
        raise DataError(
            f"{place} holds Parquet files with {len(copy.classes)} classes: expected the {benchmark.classes} "
            f"of {benchmark.title}, give another folder as --data-dir (data_dir)"
        )
    return replace(copy, description=f"{benchmark.title} ({_format(copy.train.images)} copy)")


def _format(images: StoredImages) -> str:
    # JPEG is lossy: figures on such a copy are not quite those on the original bytes, so the report has to
    # say it.
    try:
        with images.open(0) as first:
            return first.format or "Parquet"
    except Exception:  # whatever a broken header raises, decoding will say it with the row
        return "Parquet"


SOURCES: dict[str, Callable[[Path | None, int], StoredSource]] = {
    "digits": _digits,
    "cifar10": partial(
        _benchmark, _Benchmark("cifar10", "CIFAR-10", 10, (50_000, 10_000), read_cifar10, download_cifar10)
    ),
    "cifar100": partial(
        _benchmark, _Benchmark("cifar100", "CIFAR-100", 100, (50_000, 10_000), read_cifar100, download_cifar100)
    ),
    "fashion-mnist": partial(
        _benchmark,
        _Benchmark("fashion-mnist", "Fashion-MNIST", 10, (60_000, 10_000), read_fashion_mnist, download_fashion_mnist),
    ),
}
"""The sources known by name: each takes ``data_dir`` and ``memory_cap`` and lists its images."""
