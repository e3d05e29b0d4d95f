"""From any stored image to RGB pixels of one square size: the one conversion and the one resize."""

import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from tailornas.errors import DataError

__all__ = ["FORMATS", "decode_image", "decoding_problem", "open_image", "to_rgb", "to_square"]

# JPEG's reader opens a camera's MPO, too, which is no format to ask for by itself.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", *(("AVIF",) if features.check("avif") else ()))
"""The formats that are read, by Pillow's names; AVIF where Pillow reads it."""

# Pillow warns of oddities (metadata, palettes, great size) that keep no image from being decoded. The whole process
# is told to pass them over, because images are decoded in threads, in which warnings cannot be set aside for a while.
warnings.filterwarnings("ignore", module=r"PIL\.")

_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of each EXIF orientation but 1, which is upright, upright."""


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """Opens an image of one of :data:`FORMATS`, whatever its name ends in; its pixels are read later.

    Pillow's other formats are not tried: for EPS it starts Ghostscript, which runs the program that such a file is.

    Raises:
        UnidentifiedImageError: the file is of another format, or none.
        OSError: the file cannot be opened.
    """
    return Image.open(file, formats=FORMATS)


def decode_image(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Decodes an opened image.

    The EXIF orientation is applied (one that is unknown or cannot be read counts as upright), then
    :func:`to_rgb`, then :func:`to_square`. Of an image with several frames the first is read. Colour profiles
    are not applied. A JPEG of more than twice the wanted size is reduced by its decoder (a power of two, never
    below twice ``size``), which is several times as fast.

    Returns:
        uint8 ``(3, size, size)``.

    Raises:
        DataError: the image's pixels have no defined 8-bit form; see :func:`to_rgb`.
    """
    image.draft(None, (2 * size, 2 * size))
    image.load()  # before the tags are read: a PNG's may lie behind its pixels, and TIFF applies its own
    upright = _UPRIGHT.get(_orientation(image))
    image = image if upright is None else image.transpose(upright)
    return np.asarray(to_square(to_rgb(image), size)).transpose(2, 0, 1)


def decoding_problem(problem: Exception) -> str:
    """Says in one line why an image could not be opened or decoded."""
    if isinstance(problem, UnidentifiedImageError):
        return f"its format is none of {', '.join(FORMATS)}"
    return " ".join(str(problem).split())


def _orientation(image: Image.Image) -> Any:
    # Not Pillow's exif_transpose, which writes all tags anew and so fails at any that is odd.
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata can make its reader raise anything, and the pixels are still good
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to 8-bit RGB.

    Grey is replicated and a palette expanded. Transparency (an alpha channel or a transparent colour) is
    composited on white. 16-bit grey (``I;16``, and ``I`` whose values fit) is scaled by 1/257 and rounded, so
    that 65,535 becomes 255; Pillow itself would clip at 255. Everything else (CMYK, YCbCr, LAB, HSV, ...) is
    Pillow's conversion.

    Raises:
        DataError: floating-point pixels, which have no defined range, or integers beyond 16 bits.
    """
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode == "F":
        raise DataError("its pixels are floating-point numbers, which have no defined range: expected 8 or 16 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int32)  # in place from here: an image may have many millions of pixels
        if values.min() < 0 or values.max() > 65_535:
            raise DataError(f"its pixels range from {values.min()} to {values.max()}: expected 0 to 65535")
        values += 128
        values //= 257
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white.convert("RGB")
    return image.convert("RGB")


def to_square(image: Image.Image, size: int) -> Image.Image:
    """Resizes the shorter side to ``size`` and crops the centre, in one step.

    The largest centred square is resampled by Pillow's bilinear filter, which averages over all source pixels
    when it shrinks (antialiasing), after a box reduction that leaves at least twice the size.
    """
    if image.size == (size, size):
        return image
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
