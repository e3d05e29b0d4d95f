"""What is said about a collection of images: what to mend, and what to do with it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from tailornas.data import Inspection, Part, PartName, Problem

__all__ = ["BALANCED", "SMALL", "advice", "found", "seen", "warnings"]

BALANCED = 1.5
"""Imbalance factor up to which classes count as nearly equal in size."""

SMALL = 5
"""A class of fewer images is named: not every split gets one, or a rate on it has steps of 20% and more."""

_CROPPED = 0.5  # share of the median image under which its square is said to be too little of it


def warnings(inspection: Inspection) -> Iterator[str]:
    """Yields what to mend, a sentence each."""
    parts, classes, division = inspection.parts, inspection.classes, inspection.division
    if inspection.refusal:
        yield f"A run would refuse these images: {inspection.refusal}."
    bad = len(list(found(parts, "bad")))
    if bad:
        total = sum(len(part.scan) for part in parts.values())
        yield f"{bad:,} of {total:,} images cannot be read: a run stops there, unless --skip-bad leaves them out."
    animated = len(list(found(parts, "animated")))
    if animated:
        yield f"{_images(animated, 'has', 'have')} several frames: a run uses the first."
    copies = Counter(duplicate.kind for duplicate in inspection.duplicates)
    if copies["parts"]:
        yield (
            f"{_images(copies['parts'], 'is', 'are')} in more than one part ({', '.join(parts)}): results on "
            "them would be too good, so remove them from all but one."
        )
    if copies["classes"]:
        apart = "" if "test" in parts else "; a run tests on none of them"
        there = _images(copies["classes"], "is", "are")
        yield f"{there} there under several labels, of which at most one is right{apart}."
    if copies["class"]:
        apart = "" if "test" in parts else "; a run tests on all copies of one or on none"
        yield f"{_images(copies['class'], 'is', 'are')} there more than once in a class{apart}."
    yield from inspection.listing
    if len(inspection.sizes) and inspection.kept < _CROPPED:
        yield (
            f"The centred square, which is all that a run sees of an image, is {inspection.kept:.0%} of the median "
            "image: cut the images or pad them to squares, where what matters may lie outside of it."
        )
    small = [name for name, n in zip(classes, inspection.counts, strict=True) if n < SMALL]
    if small:
        yield f"{_classes(small)} fewer than {SMALL} images."
    if division:
        for part, counts, use in (
            ("selection", division.selection, "to choose by"),
            ("test", division.test, "to test on"),
        ):
            lacking = [name for name, n in zip(classes, counts, strict=True) if not n]
            if lacking:
                yield f"{_classes(lacking)} no {part} image {use}, so no {part} figure includes {_them(lacking)}."


def advice(inspection: Inspection, groups: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Yields which loss and which metric, as far as the class sizes say; nothing where a class is empty.

    Args:
        inspection: what was found.
        groups: labels by shot group.
    """
    counts = inspection.counts
    if min(counts) == 0:
        return
    if counts.imbalance_factor <= BALANCED:
        yield "The classes are nearly equal in size: plain cross-entropy and accuracy are enough."
        return
    largest = max(range(len(counts)), key=lambda label: counts[label])
    yield (
        f"Judge by balanced accuracy (always answering {inspection.classes[largest]!r} would be right for "
        f"{counts[largest] / counts.total:.0%} of the images, but for 1 class of {len(counts)}), and train with a loss "
        "that knows the class sizes, such as ldam with drw or balanced_softmax."
    )
    absent = [name for name in ("many", "medium", "few") if name not in groups]
    if absent:
        yield (
            f"By the fixed thresholds no class is {' or '.join(f'{name}-shot' for name in absent)}: "
            "to compare large classes with small ones, let a run group by terciles (--set groups.by=terciles)."
        )


def seen(image_size: int, kept: float) -> str:
    """Says in a few words what a run makes of an image.

    Args:
        image_size: height and width in pixels that it is decoded to.
        kept: share of the median image that is left of it, of 0 to 1.
    """
    centre = f", the centre: {kept:.0%} of the median image" if round(kept, 2) < 1 else ""
    return f"{image_size} x {image_size} pixels{centre} (--image-size of a run for another)"


def _images(number: int, one: str, several: str) -> str:
    return f"{number:,} image {one}" if number == 1 else f"{number:,} images {several}"


def _classes(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"1 class ({shown}) has" if len(names) == 1 else f"{len(names):,} classes ({shown}) have"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def found(parts: Mapping[PartName, Part], kind: Literal["bad", "animated"]) -> Iterator[tuple[str, Part, Problem]]:
    """Yields every image that is broken or odd, with its part and the part's name."""
    for name, part in parts.items():
        for problem in part.scan.bad if kind == "bad" else part.scan.animated:
            yield name, part, problem
