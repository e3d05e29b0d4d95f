import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tailornas.data import sources as module
from tailornas.data.idx import read_fashion_mnist
from tailornas.data.images import MemoryImages, StreamedImages
from tailornas.data.parquet import read_parquet
from tailornas.data.sources import SOURCES, load, read
from tailornas.data.stored import StoredSource
from tailornas.errors import ConfigError, DataError, UnknownNameError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of 6 and 3 images of 40 x 50 pixels, each of its own colour."""
    for name, images in (("cat", 6), ("dog", 3)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (40, 50), (number, images, 0)).save(tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def test_digits() -> None:
    source = load("digits")
    assert source.train.counts.counts == (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    assert source.classes == tuple("0123456789")
    assert source.test is None
    assert not source.flip
    assert source.train.images.size == 8
    pixels = source.train.images.take(source.train.rows)
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    # The first row of the first digit is 0 0 5 13 9 1 0 0 out of 16.
    assert pixels[0, 0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert pixels.min() == 0
    assert pixels.max() == 255


def test_a_folder(folder: Path) -> None:
    source = load(folder)
    assert source.name == source.description == str(folder)
    assert source.train.counts.counts == (6, 3)
    assert source.train.images.size == 32
    assert isinstance(source.train.images, MemoryImages)
    assert source.flip
    assert source.skipped == ()


def test_progress_is_over_all_parts(tmp_path: Path) -> None:
    for part, images in (("train", 70), ("test", 3)):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(images):
                Image.new("RGB", (4, 4)).save(tmp_path / part / name / f"{number}.png")
    told: list[tuple[int, int]] = []
    load(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(64, 146), (128, 146), (140, 146), (146, 146)]


def test_a_chosen_size(folder: Path) -> None:
    assert load(folder, image_size=12).train.images.size == 12


def test_the_memory_cap_decides_about_streaming(folder: Path) -> None:
    need = 9 * 3 * 32 * 32
    memory, streamed = load(folder, memory_cap=need), load(folder, memory_cap=need - 1)
    assert isinstance(memory.train.images, MemoryImages)
    assert isinstance(streamed.train.images, StreamedImages)
    rows = memory.train.rows
    assert torch.equal(memory.train.images.take(rows), streamed.train.images.take(rows))
    assert memory.identity == streamed.identity


def test_the_memory_cap_counts_train_and_test(folder: Path) -> None:
    for name in ("cat", "dog"):
        (folder.parent / "both" / "test" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(folder.parent / "both" / "test" / name / "0.png")
    folder.rename(folder.parent / "both" / "train")
    source = load(folder.parent / "both", memory_cap=11 * 3072 - 1)
    assert isinstance(source.train.images, StreamedImages)
    assert source.test is not None
    assert isinstance(source.test.images, StreamedImages)
    assert len(source.test) == 2
    assert isinstance(load(folder.parent / "both", memory_cap=11 * 3072).train.images, MemoryImages)


def test_a_list_file_with_its_root(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("cat/1.png 1\ncat/3.png 0\ndog/2.png 0\n")
    source = load(tmp_path / "train.txt", data_dir=folder)
    assert source.train.labels.tolist() == [1, 0, 0]
    assert source.train.images.take(torch.tensor([2]))[0, :, 0, 0].tolist() == [2, 3, 0]


def test_bad_images_are_left_out(folder: Path) -> None:
    (folder / "cat" / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"cat/2\.png .*give --skip-bad"):
        load(folder)
    source = load(folder, skip_bad=True)
    assert source.skipped == (str(folder / "cat" / "2.png"),)
    assert source.train.counts.counts == (5, 3)
    assert source.train.rows.tolist() == [0, 1, 3, 4, 5, 6, 7, 8]
    pixels = source.train.images.take(source.train.rows)
    assert pixels[:, 0, 0, 0].tolist() == [0, 1, 3, 4, 5, 0, 1, 2]


def test_a_class_of_bad_images_alone(folder: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"class 'dog' of .* has no image left without those that cannot be read"):
        load(folder, skip_bad=True)


def test_a_test_part_of_bad_images_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("cat/1.png 1\ncat/3.png 0\n")
    (tmp_path / "test.txt").write_text("cat/missing.png 1\n")
    with pytest.raises(DataError, match=r"no test image that can be read: replace .*missing\.png"):
        load(tmp_path / "train.txt", data_dir=folder, skip_bad=True)


@pytest.mark.parametrize("memory_cap", [2**30, 0])
def test_identity_follows_the_images_and_not_their_files(folder: Path, memory_cap: int) -> None:
    first = load(folder, memory_cap=memory_cap).identity
    copy = folder.rename(folder.with_name("copy"))
    for path in copy.glob("*/*.png"):
        os.utime(path, (1, 1))
    with Image.open(copy / "cat" / "0.png") as image:
        image.save(copy / "cat" / "0.png", compress_level=0)
    assert load(copy, memory_cap=memory_cap).identity == first
    status = (copy / "cat" / "0.png").stat()
    Image.new("RGB", (40, 50), (0, 6, 1)).save(copy / "cat" / "0.png", compress_level=0)
    os.utime(copy / "cat" / "0.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (copy / "cat" / "0.png").stat().st_size == status.st_size
    assert load(copy, memory_cap=memory_cap).identity != first
    assert load(copy, memory_cap=memory_cap, image_size=16).identity not in (first, load(copy).identity)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown data source 'cifra10': expected one of cifar10, ") as caught:
        load("cifra10")
    assert "no such file or folder" in str(caught.value)
    assert set(SOURCES) < set(caught.value.known)


def test_an_image_is_no_list_of_images(folder: Path) -> None:
    with pytest.raises(DataError, match=r"cat/0\.png is an image: expected the folder that has one sub-folder"):
        load(folder / "cat" / "0.png")


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_a_data_folder_that_is_not_there_is_an_error_and_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("torchvision.datasets.utils.download_url", pytest.fail)
    with pytest.raises(
        DataError, match=r"^no such folder: .*typo: expected --data-dir \(data_dir\) to name the folder"
    ):
        load(name, data_dir=tmp_path / "typo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["missing/folder", "missing.txt", "./missing"])
def test_a_missing_path(path: str) -> None:
    with pytest.raises(DataError, match="no such file or folder: missing"):
        load(path)


@pytest.mark.parametrize("name", ["a" * 300, "b" * 300 + ".txt"])
def test_a_path_that_is_too_long(tmp_path: Path, name: str) -> None:
    # Python 3.14 answers that no such file is there.
    with pytest.raises(
        DataError, match=rf"{name} cannot be read \(.*File name too long|no such file or folder: .*{name}"
    ):
        load(tmp_path / name)


def refuse(path: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize("asked", ["is_file", "is_dir", "exists"])
def test_a_place_that_may_not_be_looked_into(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(Path, asked, refuse)
    with pytest.raises(DataError, match=r"cannot be .*Permission denied: .*: expected"):
        load(folder)
    (tmp_path / "train.txt").write_text("cat/0.png 0\ndog/0.png 1\n")
    if asked != "exists":
        with pytest.raises(DataError, match=r"cannot be read \(.*Permission denied: .*\): expected .* its permissions"):
            load(tmp_path / "train.txt", data_dir=folder)


def test_a_benchmarks_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        DataError, match=r"^cifar10 cannot be read \(.*Permission denied: .*test_batch\.bin'\): expected"
    ):
        load("cifar10", data_dir=tmp_path)


def test_a_name_wins_over_a_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.parent / "digits")
    monkeypatch.chdir(folder.parent)
    assert load("digits").description == "digits"
    assert load("./digits").classes == ("cat", "dog")
    assert load(Path("digits")).classes == ("cat", "dog")


def test_data_dir_has_to_have_an_effect(folder: Path, tmp_path: Path) -> None:
    for source in ("digits", str(folder)):
        with pytest.raises(ConfigError, match=r"data_dir .* has no effect with .*cifar10, cifar100, fashion-mnist"):
            load(source, data_dir=tmp_path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Makes a benchmark one of so many training and as many test images."""

    def shrink(name: str, images: int) -> None:
        benchmark = replace(cast("partial[StoredSource]", SOURCES[name]).args[0], images=(images, images))
        monkeypatch.setitem(SOURCES, name, partial(module._benchmark, benchmark))

    return shrink


def lay_fashion(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for prefix in ("train", "t10k"):
        head = bytes((0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0, 28))
        (place / f"{prefix}-images-idx3-ubyte").write_bytes(head + bytes(range(20)) * 784)
        labels = np.arange(20, dtype=np.uint8) % 10
        (place / f"{prefix}-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 20)) + labels.tobytes())


@pytest.mark.parametrize("below", [".", "fashion-mnist"])
def test_a_benchmark_lies_in_the_data_folder_or_below(
    tmp_path: Path, small: Callable[[str, int], None], below: str
) -> None:
    small("fashion-mnist", 20)
    lay_fashion(tmp_path / below)
    source = load("fashion-mnist", data_dir=tmp_path)
    assert (source.name, source.description) == ("fashion-mnist", "Fashion-MNIST")
    assert source.test is not None
    assert (len(source.train), len(source.test)) == (20, 20)
    assert source.train.images.size == 32


def test_without_data_dir_cache_and_system_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Callable[[str, int], None]
) -> None:
    small("fashion-mnist", 20)
    monkeypatch.setattr(module, "_CACHE", tmp_path / "cache")
    monkeypatch.setattr(module, "_SYSTEM", tmp_path / "system")
    lay_fashion(tmp_path / "system" / "fashion-mnist")
    assert len(load("fashion-mnist").train) == 20


def test_what_is_nowhere_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def fetch(place: Path) -> None:
        fetched.append(place)
        lay_fashion(place)

    benchmark = module._Benchmark("fashion-mnist", "Fashion-MNIST", 10, (20, 20), read_fashion_mnist, fetch)
    for _ in range(2):
        assert len(module._benchmark(benchmark, tmp_path, 0).train.images) == 20
    assert fetched == [tmp_path / "fashion-mnist"]


def write_parquet(place: Path, classes: int, image: bytes | None = None) -> None:
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "JPEG")
    place.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        rows = [{"bytes": image or file.getvalue(), "path": ""}] * classes
        pq.write_table(pa.table({"image": rows, "label": list(range(classes))}), place / f"{part}.parquet")


def test_a_benchmark_as_parquet_says_so(tmp_path: Path, small: Callable[[str, int], None]) -> None:
    small("cifar10", 10)
    write_parquet(tmp_path / "cifar10", 10)
    source = load("cifar10", data_dir=tmp_path)
    assert source.description == "CIFAR-10 (JPEG copy)"
    assert source.test is not None
    assert (len(source.train), len(source.test)) == (10, 10)


def test_another_dataset_as_parquet_is_not_the_benchmark(tmp_path: Path) -> None:
    write_parquet(tmp_path, 10)
    with pytest.raises(DataError, match="Parquet files with 10 classes: expected the 100 of CIFAR-100"):
        load("cifar100", data_dir=tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_of_a_benchmark_is_not_the_benchmark(
    tmp_path: Path, small: Callable[[str, int], None], part: str
) -> None:
    small("cifar10", 20)
    write_parquet(tmp_path, 10)
    if part == "test":
        small("cifar10", 10)
        (tmp_path / "test.parquet").unlink()
    there = "10 training and 10" if part == "train" else "10 training and 0"
    expected = "20 and 20" if part == "train" else "10 and 10"
    with pytest.raises(DataError, match=f"holds {there} test images: expected the {expected} of CIFAR-10, copy all"):
        load("cifar10", data_dir=tmp_path)


def test_files_of_another_number_of_images_are_not_the_benchmark(tmp_path: Path) -> None:
    lay_fashion(tmp_path)
    with pytest.raises(DataError, match="holds 20 training and 20 test images: expected the 60,000 and 10,000"):
        load("fashion-mnist", data_dir=tmp_path)


def test_a_broken_benchmark_as_parquet_names_its_row(tmp_path: Path, small: Callable[[str, int], None]) -> None:
    small("cifar10", 10)
    write_parquet(tmp_path, 10, b"no image")
    with pytest.raises(DataError, match=r"none of the 10 images looked at can be read, .*train\.parquet row 0"):
        load("cifar10", data_dir=tmp_path)


def test_a_folder_of_parquet_and_one_file(tmp_path: Path) -> None:
    write_parquet(tmp_path, 3)
    whole = load(tmp_path)
    assert whole.test is not None
    assert len(whole.test) == 3
    assert load(tmp_path / "train.parquet").test is None


def test_the_real_cifar10_images(cifar10_dir: Path) -> None:
    source = read_parquet([cifar10_dir / "test.parquet"], [], 2**30)
    pixels = StreamedImages(source.train.images, 32).take(torch.arange(0, 10_000, 10))
    # The published channel means of CIFAR-10's test images, which the JPEG step leaves where they are.
    assert (pixels.float().mean((0, 2, 3)) / 255).tolist() == pytest.approx([0.494, 0.485, 0.450], abs=0.01)


def test_a_part_of_its_own_to_choose_by(folder: Path) -> None:
    lists = {"train": ("cat/0.png 0", "cat/1.png 0", "dog/0.png 1"), "val": ("cat/2.png 0", "dog/1.png 1")}
    for name, lines in (lists | {"test": ("cat/3.png 0",)}).items():
        (folder / f"{name}.txt").write_text("\n".join(lines))
    source = load(folder / "train.txt", memory_cap=6 * 3072)
    assert source.selection is not None
    assert source.selection.counts.counts == (1, 1)
    assert source.selection.images.take(source.selection.rows)[0, :, 0, 0].tolist() == [2, 6, 0]
    assert isinstance(source.selection.images, MemoryImages)
    assert isinstance(load(folder / "train.txt", memory_cap=6 * 3072 - 1).selection.images, StreamedImages)  # type: ignore[union-attr]
    for name in ("cat/2.png", "dog/1.png"):
        (folder / name).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no selection image that can be read: replace .*dog/1\.png"):
        load(folder / "train.txt", skip_bad=True)


def test_reading_decodes_nothing(folder: Path) -> None:
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"no image")
    stored = read(folder)
    assert len(stored.train.images) == 9
    assert stored.train.images.content(0) == b"no image"


def test_annotations_with_their_root(folder: Path, tmp_path: Path) -> None:
    content = {
        "images": [{"id": 0, "file_name": "cat/1.png"}, {"id": 1, "file_name": "dog/2.png"}],
        "categories": [{"id": 5, "name": "a cat"}, {"id": 6, "name": "a dog"}],
        "annotations": [{"image_id": 0, "category_id": 5}, {"image_id": 1, "category_id": 6}],
    }
    (tmp_path / "train2018.json").write_text(json.dumps(content))
    source = load(tmp_path / "train2018.json", data_dir=folder)
    assert source.classes == ("a cat", "a dog")
    assert source.train.images.take(torch.tensor([1]))[0, :, 0, 0].tolist() == [2, 3, 0]
