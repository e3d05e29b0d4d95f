import errno
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tailornas.data.images import load_images
from tailornas.data.scan import scan
from tailornas.data.stored import ImageArrays, ImageFiles


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """A photograph, its copy, and one file of everything that can be wrong or odd."""
    noise(60, 40).save(tmp_path / "0.jpg")
    shutil.copy(tmp_path / "0.jpg", tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes((tmp_path / "0.jpg").read_bytes()[:-600])
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_text("not an image")
    Image.new("F", (8, 8)).save(tmp_path / "6.tif")
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    for number, form in ((7, "gif"), (8, "webp"), (9, "png"), (10, "tif")):
        frames[0].save(tmp_path / f"{number}.{form}", save_all=True, append_images=frames[1:])
    noise(5, 5).convert("L").save(tmp_path / "11.png")
    names = [
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "3.png",
        "4.png",
        "5.png",
        "6.tif",
        "7.gif",
        "8.webp",
        "9.png",
        "10.tif",
        "11.png",
    ]
    return ImageFiles([tmp_path / name for name in names])


def test_every_file_is_judged(files: ImageFiles) -> None:
    found = scan(files)
    assert [(problem.row, problem.kind) for problem in found.bad] == [
        (2, "truncated"),
        (3, "empty"),
        (4, "unreadable"),
        (5, "missing"),
        (6, "unreadable"),
    ]
    reasons = [problem.reason for problem in found.bad]
    assert reasons[1] == "0 bytes"
    assert reasons[2].startswith("its format is none of JPEG, PNG, ")
    assert "floating-point" in reasons[4]
    assert [problem.row for problem in found.animated] == [7, 8, 9, 10]
    assert "GIF of several frames" in found.animated[0].reason
    assert found.usable.tolist() == [0, 1, 7, 8, 9, 10, 11]


def test_sizes_modes_and_formats(files: ImageFiles) -> None:
    found = scan(files)
    assert found.sizes[[0, 2, 7, 11]].tolist() == [[60, 40], [0, 0], [9, 7], [5, 5]]
    assert found.formats == {"JPEG": 2, "GIF": 1, "WEBP": 1, "PNG": 2, "TIFF": 1}
    assert found.modes["L"] == 1
    assert sum(found.modes.values()) == 7


def test_equal_bytes_are_equal_files(files: ImageFiles) -> None:
    hashes = [bytes(row) for row in scan(files).files]
    assert hashes[0] == hashes[1]
    assert len({hashes[row] for row in (0, 7, 8, 9, 10, 11)}) == 6


def test_equal_pixels_are_equal_contents(files: ImageFiles) -> None:
    contents = scan(files, size=8).contents
    assert contents[0] == contents[1]
    assert contents[7] == contents[9] == contents[10]  # the same red as GIF, PNG and TIFF
    usable = scan(files).usable
    assert torch.equal(contents[usable], load_images(files, 8, stream=True, skip_bad=True)[2][usable])


def test_pixels_of_another_shape_are_another_image() -> None:
    one, other = (ImageArrays(np.zeros((1, *shape), np.uint8), "a test") for shape in ((4, 6), (6, 4)))
    assert scan(one).files.tolist() != scan(other).files.tolist()
    assert scan(one).formats == {"pixels": 1}


def test_progress_reaches_the_end() -> None:
    told: list[int] = []
    scan(ImageArrays(np.zeros((150, 4, 4), np.uint8), "a test"), told.append)
    assert told == [64, 128, 150]


def test_an_interruption_does_not_open_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    images = ImageArrays(np.zeros((64 * 200, 4, 4), np.uint8), "a test")
    opened = []
    really_open = ImageArrays.open

    def open_and_count(self: ImageArrays, row: int) -> Image.Image:
        opened.append(row)
        return really_open(self, row)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageArrays, "open", open_and_count)
    with pytest.raises(KeyboardInterrupt):
        scan(images, interrupt)
    assert len(opened) < len(images)


def test_an_error_of_the_disk_is_listed_with_its_reason(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out for it: a run would stop at such an image."""
    really_open = ImageFiles.open

    def fail(self: ImageFiles, row: int) -> Image.Image:
        if row == 7:
            raise OSError(errno.EIO, "Input/output error")
        return really_open(self, row)

    monkeypatch.setattr(ImageFiles, "open", fail)
    problems = {problem.row: (problem.kind, problem.reason) for problem in scan(files).bad}
    assert problems[7] == ("unreadable", "[Errno 5] Input/output error")


def test_a_path_that_no_file_can_have_is_unreadable() -> None:
    found = scan(ImageFiles([Path("a\0b.png")]))
    assert [(problem.kind, problem.reason) for problem in found.bad] == [("unreadable", "embedded null byte")]
