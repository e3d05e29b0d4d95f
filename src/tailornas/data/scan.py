"""Opening every image of a collection once, to know what is there: sizes, formats, contents, and what is broken."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from tailornas.data.chunks import in_chunks
from tailornas.data.decode import decode_image, decoding_problem
from tailornas.data.images import content_number
from tailornas.data.stored import StoredImages

__all__ = ["Problem", "Scan", "scan"]

_DIGEST = 8  # bytes of a file's hash
_FRAMES = frozenset({"GIF", "PNG", "TIFF", "WEBP"})
"""Formats whose further frames are pictures; those of a camera's MPO are previews of the first."""


@final
@dataclass(frozen=True)
class Problem:
    """Something about one image that its owner should know.

    Args:
        row: the image.
        kind: ``missing``, ``empty`` (no byte), ``truncated`` or ``unreadable`` keep a run from using it;
            of an ``animated`` one it uses the first frame.
        reason: what is wrong, in one line.
    """

    row: int
    kind: Literal["missing", "empty", "truncated", "unreadable", "animated"]
    reason: str


@final
@dataclass(frozen=True, eq=False)
class Scan:
    """What is known of every image of a collection: 24 bytes an image, however large the images are.

    Args:
        sizes: int32 ``(images, 2)``, width and height in pixels as stored; 0 where the image cannot be used.
        files: uint8 ``(images, 8)``, a hash of the image's bytes; 0 where the image cannot be used.
        contents: int64 ``(images,)``, :func:`~tailornas.data.images.content_number` of the decoded pixels, which a run
            goes by; 0 where the image cannot be used.
        modes: number of usable images by Pillow's mode: ``RGB``, ``L``, ``CMYK``, ...
        formats: number of usable images by file format; plain pixels have none and count as ``pixels``.
        bad: the images that cannot be used, by row.
        animated: the images with more than one frame, by row.
    """

    sizes: NDArray[np.int32]
    files: NDArray[np.uint8]
    contents: torch.Tensor
    modes: Mapping[str, int]
    formats: Mapping[str, int]
    bad: tuple[Problem, ...]
    animated: tuple[Problem, ...]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def usable(self) -> torch.Tensor:
        """int64 ``(usable images,)``, ascending rows."""
        return torch.from_numpy(self.sizes[:, 0].nonzero()[0])


@dataclass
class _Found:
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    bad: list[Problem] = field(default_factory=list)
    animated: list[Problem] = field(default_factory=list)


def scan(stored: StoredImages, progress: Callable[[int], None] = lambda done: None, size: int = 64) -> Scan:
    """Opens, decodes and hashes every image, by as many threads as torch uses; no pixels are kept.

    An image counts as usable exactly where a run can decode it.

    Args:
        stored: the images as they lie on disk.
        progress: told how many images are done, every few images.
        size: height and width in pixels that a run decodes them to.
    """
    sizes = np.zeros((len(stored), 2), np.int32)
    files = np.zeros((len(stored), _DIGEST), np.uint8)
    contents = np.zeros(len(stored), np.int64)

    def look_at(rows: range) -> _Found:
        found = _Found()
        for row in rows:
            try:
                with stored.open(row) as image:
                    shape, mode, form = image.size, image.mode, image.format
                    content = content_number(decode_image(image, size))
                file = hashlib.blake2b(repr(shape).encode(), digest_size=_DIGEST)
                file.update(stored.content(row))
            except MemoryError:
                raise
            except Exception as problem:  # a damaged file can make a decoder raise anything
                found.bad.append(_diagnose(stored, row, problem))
                continue
            sizes[row], files[row], contents[row] = shape, np.frombuffer(file.digest(), np.uint8), content
            found.modes[mode] += 1
            found.formats[form or "pixels"] += 1
            if form in _FRAMES and _animated(stored, row):
                found.animated.append(Problem(row, "animated", f"{form} of several frames, of which the first counts"))
        return found

    total = _Found()
    for found in in_chunks(look_at, len(stored), progress):
        total.modes += found.modes
        total.formats += found.formats
        total.bad += found.bad
        total.animated += found.animated
    return Scan(
        sizes, files, torch.from_numpy(contents), total.modes, total.formats, tuple(total.bad), tuple(total.animated)
    )


def _diagnose(stored: StoredImages, row: int, problem: Exception) -> Problem:
    reason = decoding_problem(problem)
    if isinstance(problem, FileNotFoundError):
        return Problem(row, "missing", "no such file")
    with suppress(OSError, ValueError):  # of a path that no file can have
        if not stored.content(row):
            return Problem(row, "empty", "0 bytes")
    return Problem(row, "truncated" if "truncated" in reason.lower() else "unreadable", reason)


def _animated(stored: StoredImages, row: int) -> bool:
    try:
        with stored.open(row) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # the first frame was decoded, so a later one is there and damaged
        return True
