import errno
from pathlib import Path

import pytest
import torch
from PIL import Image

from tailornas.data import images as module
from tailornas.data.images import MemoryImages, StreamedImages, contents_identity, decoded_bytes, load_images
from tailornas.data.stored import ImageFiles
from tailornas.errors import DataError, DiskError


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """150 files, more than two chunks, each of its own colour."""
    paths = []
    for number in range(150):
        paths.append(tmp_path / f"{number:03}.png")
        Image.new("RGB", (10, 12), (number, 255 - number, 7)).save(paths[-1])
    return ImageFiles(paths)


def test_images_are_decoded_into_memory(files: ImageFiles) -> None:
    images, rows, _, skipped = load_images(files, 8, stream=False, skip_bad=False)
    assert isinstance(images, MemoryImages)
    assert (len(images), images.size) == (150, 8)
    assert rows.tolist() == list(range(150))
    assert skipped == ()
    taken = images.take(torch.tensor([149, 0, 77]))
    assert taken.shape == (3, 3, 8, 8)
    assert taken[:, :, 4, 4].tolist() == [[149, 106, 7], [0, 255, 7], [77, 178, 7]]


def test_streaming_gives_the_same_pixels(files: ImageFiles) -> None:
    memory, _, numbers, _ = load_images(files, 8, stream=False, skip_bad=False)
    streamed, rows, again, _ = load_images(files, 8, stream=True, skip_bad=False)
    assert isinstance(streamed, StreamedImages)
    assert (len(streamed), streamed.size) == (150, 8)
    assert torch.equal(numbers, again)
    assert torch.equal(streamed.take(rows.flip(0)), memory.take(rows.flip(0)))
    assert streamed.take(rows[:0]).shape == (0, 3, 8, 8)


def test_equal_pixels_share_a_number(files: ImageFiles) -> None:
    with Image.open(files.paths[3]) as image:
        image.save(files.paths[9], "BMP")
    contents = load_images(files, 8, stream=False, skip_bad=False)[2]
    assert contents[3] == contents[9]
    assert len(set(contents.tolist())) == 149


def damage(path: Path, how: str) -> None:
    if how == "truncated":
        Image.effect_noise((64, 64), 90).save(path.with_suffix(".jpg"))
        path.write_bytes(path.with_suffix(".jpg").read_bytes()[:-400])
    elif how == "text":
        path.write_text("no image")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    elif how == "eps":
        Image.new("RGB", (8, 8)).save(path, "EPS")
    elif how == "float":
        Image.new("F", (8, 8)).save(path, "TIFF")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("truncated", "truncated"),
        ("text", "its format is none of JPEG, PNG"),
        ("empty", "its format is none of JPEG, PNG"),
        ("eps", "its format is none of JPEG, PNG"),
        ("missing", "No such file"),
        ("float", "floating-point"),
    ],
)
def test_a_bad_image_is_named(files: ImageFiles, how: str, reason: str, stream: bool) -> None:
    damage(files.paths[100], how)
    with pytest.raises(DataError, match=rf"cannot read image .*100\.png \(.*{reason}.*\): .* give --skip-bad"):
        load_images(files, 8, stream=stream, skip_bad=False)


@pytest.mark.parametrize("stream", [False, True])
def test_bad_images_are_left_out_and_listed(files: ImageFiles, stream: bool) -> None:
    whole, *_ = load_images(files, 8, stream=False, skip_bad=False)
    for row, how in ((0, "text"), (70, "truncated"), (149, "missing")):
        damage(files.paths[row], how)
    images, rows, contents, skipped = load_images(files, 8, stream=stream, skip_bad=True)
    assert rows.tolist() == [row for row in range(150) if row not in (0, 70, 149)]
    assert skipped == tuple(str(files.paths[row]) for row in (0, 70, 149))
    assert torch.equal(images.take(rows), whole.take(rows))
    assert torch.equal(load_images(files, 8, stream=not stream, skip_bad=True)[2], contents)
    if isinstance(images, MemoryImages):
        assert not images.take(torch.tensor([0, 70, 149])).any()


def test_a_file_that_goes_missing_is_named(files: ImageFiles) -> None:
    images, rows, *_ = load_images(files, 8, stream=True, skip_bad=False)
    damage(files.paths[3], "missing")
    with pytest.raises(DataError, match=r"003\.png"):
        images.take(rows[:5])


def test_running_out_of_memory_is_not_a_bad_image(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(image: Image.Image, size: int) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "decode_image", exhausted)
    with pytest.raises(MemoryError):
        load_images(files, 8, stream=False, skip_bad=True)


@pytest.mark.parametrize("skip_bad", [False, True])
def test_an_error_of_the_disk_leaves_out_no_image(
    files: ImageFiles, monkeypatch: pytest.MonkeyPatch, skip_bad: bool
) -> None:
    really_open = ImageFiles.open

    def fail_once(self: ImageFiles, row: int) -> Image.Image:
        if row == 70:
            raise OSError(errno.EIO, "Input/output error")
        return really_open(self, row)

    monkeypatch.setattr(ImageFiles, "open", fail_once)
    with pytest.raises(DiskError, match=r"^cannot read image .*070\.png now \(Input/output error\)") as caught:
        load_images(files, 8, stream=True, skip_bad=skip_bad)
    assert "skip" not in str(caught.value)
    with pytest.raises(DiskError, match=r"070\.png"):
        StreamedImages(files, 8).take(torch.tensor([0, 70]))


def test_an_interruption_does_not_decode_the_rest(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ImageFiles(list(files.paths) * 40)
    opened: list[int] = []
    really_open = ImageFiles.open

    def open_and_count(self: ImageFiles, row: int) -> Image.Image:
        opened.append(row)
        return really_open(self, row)

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageFiles, "open", open_and_count)
    with pytest.raises(KeyboardInterrupt):
        load_images(many, 8, stream=True, skip_bad=False, progress=interrupt)
    assert len(opened) < len(many)


def test_messages_are_one_line(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(image: Image.Image, size: int) -> None:
        raise ValueError("two\n  lines")

    monkeypatch.setattr(module, "decode_image", odd)
    with pytest.raises(DataError, match=r"\(two lines\)"):
        load_images(files, 8, stream=False, skip_bad=False)


def test_identity_follows_size_parts_and_every_image_in_order() -> None:
    one, other = torch.tensor([1, 2]), torch.tensor([3])
    different = [
        contents_identity(8, [("train", one), ("test", other)]),
        contents_identity(16, [("train", one), ("test", other)]),
        contents_identity(8, [("train", one.flip(0)), ("test", other)]),
        contents_identity(8, [("train", one), ("selection", other)]),
        contents_identity(8, [("train", torch.tensor([1])), ("test", torch.tensor([2, 3]))]),
        contents_identity(8, [("train", torch.tensor([1, 2, 3]))]),
    ]
    assert len(set(different)) == len(different)
    assert contents_identity(8, [("train", one.clone()), ("test", other)]) == different[0]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (torch.zeros((2, 3, 4, 4)), "expected uint8 pixels"),
        (torch.zeros((2, 4, 4), dtype=torch.uint8), r"got torch.uint8 \(2, 4, 4\)"),
        (torch.zeros((2, 1, 4, 4), dtype=torch.uint8), "expected uint8 pixels"),
        (torch.zeros((2, 3, 4, 5), dtype=torch.uint8), "expected square images, got 4 x 5"),
    ],
)
def test_memory_images_check_their_pixels(pixels: torch.Tensor, said: str) -> None:
    with pytest.raises(DataError, match=said):
        MemoryImages(pixels)


def test_decoded_bytes() -> None:
    assert decoded_bytes(50_000, 32) == 153_600_000
