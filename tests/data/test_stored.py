import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from tailornas.data.stored import (
    ImageArrays,
    ImageFiles,
    StoredSource,
    StoredSplit,
    check_disk,
    default_size,
    inside,
    numbered_classes,
    shorter_sides,
)
from tailornas.errors import DataError, DiskError


def grey(*shape: int) -> ImageArrays:
    return ImageArrays(np.zeros(shape, np.uint8), "a test")


def source(labels: list[int], classes: tuple[str, ...]) -> StoredSource:
    return StoredSource(
        StoredSplit(grey(len(labels), 8, 8), torch.tensor(labels, dtype=torch.int64)), None, classes, "pets"
    )


def test_a_source_needs_two_classes() -> None:
    with pytest.raises(DataError, match="pets has 1 class: expected at least 2"):
        source([0, 0], ("cat",))


def test_a_source_needs_images_of_every_class() -> None:
    with pytest.raises(DataError, match=r"class 'dog' \(label 1\) of pets has no training image"):
        source([0, 2], ("cat", "dog", "eel"))


def test_arrays_open_as_images() -> None:
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    images = ImageArrays(pixels, "a test")
    with images.open(1) as image:
        assert image.size == (5, 4)
        assert np.array_equal(np.asarray(image), pixels[1])
    assert images.name(1) == "1 of a test"


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENOTCONN])
def test_an_error_of_the_disk_is_none_of_the_image(number: int) -> None:
    with pytest.raises(
        DiskError, match=r"^cannot read image a\.png now \(.*\), good or not: check the disk, the network"
    ):
        check_disk(OSError(number, os.strerror(number)), "a.png")


@pytest.mark.parametrize(
    "problem",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EINVAL, "Invalid argument"),
        OSError("image file is truncated (5 bytes not processed)"),
        OSError(-2),
        ValueError("embedded null byte"),
    ],
)
def test_an_error_of_the_image_is_none_of_the_disk(problem: Exception) -> None:
    check_disk(problem, "a.png")


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ([8], 8),
        ([2], 4),
        ([16, 16, 16], 16),
        ([17], 32),
        ([28], 32),
        ([32], 32),
        ([48], 32),
        ([49], 64),
        ([500, 8, 300], 64),
    ],
)
def test_default_size(sides: list[int], size: int) -> None:
    assert default_size(sides) == size


def test_shorter_sides_are_sampled_evenly() -> None:
    assert shorter_sides(grey(5, 20, 30)) == [20] * 5
    assert len(shorter_sides(grey(2500, 4, 4))) == 834  # every third
    assert len(shorter_sides(grey(1000, 4, 4))) == 1000


def test_shorter_sides_pass_over_broken_files(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (7, 9)).save(good)
    bad.write_text("no image")
    assert shorter_sides(ImageFiles([bad, good])) == [7]
    with pytest.raises(DataError, match=r"none of the 1 images looked at can be read, .*bad\.png for one"):
        shorter_sides(ImageFiles([bad]))


def test_shorter_sides_need_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(images: ImageArrays, row: int) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(ImageArrays, "open", stale)
    with pytest.raises(DiskError, match="Stale file handle"):
        shorter_sides(grey(5, 20, 30))


def test_an_eps_by_the_name_of_another_format_is_not_opened(tmp_path: Path) -> None:
    """Its pixels would come from Ghostscript, which runs it as a program."""
    Image.new("RGB", (4, 4)).save(tmp_path / "x.jpg", "EPS")
    with pytest.raises(UnidentifiedImageError):
        ImageFiles([tmp_path / "x.jpg"]).open(0)


def test_numbered_classes() -> None:
    assert numbered_classes([1, 0, 2, 1], "list.txt") == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "said"), [([0, 2], "label 2 but not 1"), ([1, 2], "label 2 but not 0"), ([-1, 0], "label -1 but not 1")]
)
def test_numbered_classes_have_no_gap(labels: list[int], said: str) -> None:
    with pytest.raises(DataError, match=rf"list\.txt has the {said}: expected labels from 0 without a gap"):
        numbered_classes(labels, "list.txt")


def test_content_is_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1234")
    assert ImageFiles([tmp_path / "a.png"]).content(0) == b"1234"
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert ImageArrays(pixels, "a test").content(1) == bytes(range(6, 12))


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", ".."])
def test_listed_paths_stay_inside(path: str) -> None:
    with pytest.raises(DataError, match=r"^list line 3 lists .*, which leaves the root folder"):
        inside(path, "list line 3")
    assert inside("./a/../b", "list line 3") == Path("b")
