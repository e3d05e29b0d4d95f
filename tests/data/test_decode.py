import io
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from tailornas.data.decode import decode_image, to_rgb, to_square
from tailornas.errors import DataError


def stored(image: Image.Image, form: str, **options: object) -> Image.Image:
    """The image as it comes back from a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def pixel(image: Image.Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value


def test_grey_is_replicated() -> None:
    rgb = to_rgb(stored(Image.new("L", (4, 4), 77), "PNG"))
    assert (rgb.mode, pixel(rgb)) == ("RGB", (77, 77, 77))


def test_one_bit_becomes_black_and_white() -> None:
    image = Image.new("1", (4, 4), 0)
    image.putpixel((1, 0), 1)
    rgb = to_rgb(stored(image, "PNG"))
    assert (pixel(rgb), pixel(rgb, 1)) == ((0, 0, 0), (255, 255, 255))


def test_a_palette_is_expanded() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(to_rgb(stored(image, "PNG"))) == (10, 20, 30)


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((2, 0), 0)
    for form in ("PNG", "GIF"):
        back = stored(image, form, transparency=0)
        assert back.mode == "P"
        rgb = to_rgb(back)
        assert (pixel(rgb), pixel(rgb, 2)) == ((10, 20, 30), (255, 255, 255))


def test_palette_entries_may_be_partly_transparent() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 0])
    assert pixel(to_rgb(stored(image, "PNG", transparency=bytes([128])))) == (127, 127, 127)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 100, 200, 255), (0, 100, 200)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 51), (204, 204, 204)),
    ],
)
def test_alpha_is_composited_on_white(mode: str, colour: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert pixel(to_rgb(stored(Image.new(mode, (4, 4), colour), "PNG"))) == expected


def test_a_transparent_colour_of_rgb_becomes_white() -> None:
    image = Image.new("RGB", (4, 4), (1, 2, 3))
    assert pixel(to_rgb(stored(image, "PNG", transparency=(1, 2, 3)))) == (255, 255, 255)


DEEP = np.array([[0, 257, 514, 32_768], [65_535, 128, 129, 40_000]], np.uint16)
# Each value over 257, to the nearest whole number: a clip at 255 would turn most of them white.
SHALLOW = [[0, 1, 2, 128], [255, 0, 1, 156]]


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    for form, mode in (("PNG", "I;16"), ("TIFF", "I;16"), ("PPM", "I")):
        image = stored(Image.fromarray(DEEP), form)
        assert image.mode == mode
        assert np.asarray(to_rgb(image)).transpose(2, 0, 1).tolist() == [SHALLOW] * 3


@pytest.mark.parametrize("mode", ["I", "I;16", "I;16B"])
def test_every_sixteen_bit_grey_becomes_the_nearest(mode: str) -> None:
    every = np.arange(65_536)
    image = Image.frombytes(mode, (256, 256), every.astype({"I": "=i4", "I;16": "<u2", "I;16B": ">u2"}[mode]).tobytes())
    assert np.array_equal(np.asarray(to_rgb(image))[:, :, 0].ravel(), np.rint(every / 257))


def test_sixteen_bit_grey_takes_little_memory() -> None:
    image = Image.new("I;16", (1000, 1000), 40_000)
    tracemalloc.start()
    to_rgb(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * 1000 * 12  # bytes, beside Pillow's own


def test_sixteen_bit_big_endian_grey_is_scaled() -> None:
    image = Image.frombytes("I;16B", (4, 2), DEEP.astype(">u2").tobytes())
    back = stored(image, "TIFF")
    assert back.mode == "I;16B"
    assert np.asarray(to_rgb(back))[:, :, 0].tolist() == SHALLOW


@pytest.mark.parametrize("value", [-1, 65_536])
def test_integers_beyond_sixteen_bits_are_refused(value: int) -> None:
    image = stored(Image.fromarray(np.array([[5, value]], np.int32)), "TIFF")
    assert image.mode == "I"
    with pytest.raises(DataError, match=rf"range from .*{value}.*expected 0 to 65535"):
        to_rgb(image)


def test_floating_point_pixels_are_refused() -> None:
    image = stored(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF")
    assert image.mode == "F"
    with pytest.raises(DataError, match="floating-point numbers, which have no defined range"):
        to_rgb(image)


@pytest.mark.parametrize(
    ("mode", "colour", "form", "expected"),
    [
        ("CMYK", (0, 0, 0, 0), "TIFF", (255, 255, 255)),
        ("CMYK", (255, 0, 0, 0), "TIFF", (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), "JPEG", (0, 0, 0)),
        ("YCbCr", (128, 128, 128), "TIFF", (128, 128, 128)),
    ],
)
def test_other_modes_are_converted(mode: str, colour: tuple[int, ...], form: str, expected: tuple[int, ...]) -> None:
    image = stored(Image.new(mode, (8, 8), colour), form)
    assert image.mode == mode
    assert pixel(to_rgb(image)) == pytest.approx(expected, abs=1)


def test_rgb_is_left_alone() -> None:
    image = Image.new("RGB", (4, 4))
    assert to_rgb(image) is image


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "I;16B"]
)
def test_every_mode_but_float_decodes(mode: str) -> None:
    pixels = decode_image(Image.new(mode, (20, 10)), 8)
    assert pixels.shape == (3, 8, 8)
    assert pixels.dtype == np.uint8


def halves(width: int, height: int) -> Image.Image:
    """White left, black right."""
    image = Image.new("RGB", (width, height))
    image.paste((255, 255, 255), (0, 0, width // 2, height))
    return image


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the stored left is the top
    pixels = decode_image(stored(halves(16, 16), form, exif=exif), 16)
    assert pixels[:, :6].min() > 230
    assert pixels[:, 10:].max() < 25


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_pillows(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8))
    for form in ("PNG", "TIFF"):
        expected = np.asarray(ImageOps.exif_transpose(stored(image, form, exif=exif)))
        assert np.array_equal(decode_image(stored(image, form, exif=exif), 12), expected.transpose(2, 0, 1))


def test_other_tags_of_a_wrong_type_do_no_harm() -> None:
    # Pillow reads a resolution that a camera wrote as text, but cannot write it again.
    tags = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 2, 4, b"72/\0")]
    entries = b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(stored(halves(16, 16), "JPEG", exif=exif))
    pixels = decode_image(stored(halves(16, 16), "JPEG", exif=exif), 16)
    assert pixels[:, :6].min() > 230
    assert pixels[:, 10:].max() < 25


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0 no tags at all"])
def test_metadata_that_cannot_be_read_is_upright(exif: bytes) -> None:
    pixels = decode_image(stored(halves(16, 16), "JPEG", exif=exif), 16)
    assert np.array_equal(pixels, decode_image(stored(halves(16, 16), "JPEG"), 16))


def test_a_profile_of_metadata_that_is_no_hexadecimal_text_is_upright() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n       4\nzzzz")
    with pytest.raises(ValueError, match="hexadecimal"):
        stored(halves(16, 16), "PNG", pnginfo=text).getexif()
    pixels = decode_image(stored(halves(16, 16), "PNG", pnginfo=text), 16)
    assert np.array_equal(pixels, decode_image(stored(halves(16, 16), "PNG"), 16))


def test_warnings_of_the_decoder_are_not_printed(tmp_path: Path) -> None:
    # In a process of its own, because the tests make errors of warnings.
    for name in "ab":
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.png")
    script = """
import sys
from pathlib import Path
from PIL import Image
from tailornas.data import scan
from tailornas.data.images import load_images
from tailornas.data.stored import ImageFiles, shorter_sides
Image.MAX_IMAGE_PIXELS = 300
files = ImageFiles(sorted(Path(sys.argv[1]).iterdir()))
assert shorter_sides(files) == [20, 20]
images, rows, *_ = load_images(files, 8, stream=True, skip_bad=False)
assert len(images.take(rows)) == 2
assert not scan(files).bad
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    image = stored(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(image, 8)[:, 0, 0].tolist() == [255, 0, 0]


def test_the_centre_is_kept() -> None:
    wide = Image.new("RGB", (30, 10), "red")
    wide.paste("green", (10, 0, 20, 10))
    for image in (wide, wide.rotate(90, expand=True)):
        assert pixel(to_square(image, 10), 0) == (0, 128, 0)
        # Resized first and cropped then, so the border of a smaller square knows its neighbours.
        assert np.unique(np.asarray(to_square(image, 5))[1:-1, 1:-1].reshape(-1, 3), axis=0).tolist() == [[0, 128, 0]]


def test_shrinking_averages_over_all_pixels() -> None:
    checkered: NDArray[np.uint8] = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    small = decode_image(Image.fromarray(checkered), 8)
    assert small.min() >= 125
    assert small.max() <= 130


def test_an_image_of_the_right_size_is_not_touched() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert np.array_equal(decode_image(Image.fromarray(noise), 8), noise.transpose(2, 0, 1))


def test_a_big_jpeg_is_reduced_by_its_decoder(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(600), np.arange(800)) * (255 / 1398)
    image = Image.fromarray(ramp.astype(np.uint8)).convert("RGB")
    whole = np.asarray(to_square(image, 32)).transpose(2, 0, 1).astype(int)
    back = stored(image, "JPEG", quality=95)
    reduced = decode_image(back, 32)
    assert back.size == (100, 75)  # an eighth: 75 is the last not below 64
    assert np.abs(reduced - whole).max() <= 3


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 40))
def test_any_size_becomes_the_square_and_keeps_a_plain_colour(width: int, height: int, size: int) -> None:
    pixels = decode_image(Image.new("RGB", (width, height), (9, 99, 199)), size)
    assert pixels.shape == (3, size, size)
    assert np.unique(pixels.reshape(3, -1), axis=1).tolist() == [[9], [99], [199]]
