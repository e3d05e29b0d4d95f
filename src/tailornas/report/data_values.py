"""What is told about a collection of images, as JSON values: to the terminal, to the page and to programs."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from tailornas.data import Inspection, Part, Problem
from tailornas.metrics import shot_groups, tercile_groups
from tailornas.report.data_sentences import SMALL, advice, found, seen, warnings
from tailornas.types import ClassCounts

__all__ = [
    "ClassValues",
    "DataValues",
    "DuplicateValues",
    "GroupValues",
    "ProblemValues",
    "SeenValues",
    "SizeValues",
    "data_values",
]

_COMMON = 20  # sizes that are listed one by one


class ClassValues(TypedDict):
    """One class: its usable images in all, those that the figures speak of, and its division by a run.

    ``fit``, ``selection`` and ``test`` are None where a run would refuse the images.
    """

    name: str
    label: int
    usable: int
    bad: int
    images: int
    group: str
    tercile: str
    fit: int | None
    selection: int | None
    test: int | None


class GroupValues(TypedDict):
    """A shot group: its classes and their images."""

    classes: int
    images: int


class SizeValues(TypedDict):
    """Smallest, median and largest value of a side, in pixels."""

    min: int
    median: float
    max: int


class SeenValues(TypedDict):
    """What a run sees of an image: a square of ``size`` pixels, which is the share ``kept`` of the median image."""

    size: int
    kept: float
    text: str


class ProblemValues(TypedDict):
    """An image that is broken or odd."""

    part: str
    name: str
    class_name: str
    kind: str
    reason: str


class DuplicateValues(TypedDict):
    """Images with the same bytes; ``kind`` is :class:`tailornas.data.Duplicate`'s."""

    kind: str
    images: list[dict[str, str]]


class DataValues(TypedDict):
    """Everything that is told.

    ``imbalance_factor`` is None where a class is empty, ``sizes`` and ``seen`` where no image is usable.
    ``common_sizes`` are ``[width, height, images]``. ``fit_groups`` are the groups of a run's own report, which go by
    the images left once the test images are set apart. ``passed_over`` counts the files that lie among the images but
    have no image's name, by ending and class.
    """

    data: str
    description: str
    profile: str
    parts: dict[str, dict[str, int]]
    classes: int
    images: int
    imbalance_factor: float | None
    gini: float
    groups: dict[str, GroupValues]
    terciles: dict[str, GroupValues]
    fit_groups: dict[str, GroupValues] | None
    per_class: list[ClassValues]
    sizes: dict[str, SizeValues] | None
    common_sizes: list[list[int]]
    seen: SeenValues | None
    modes: dict[str, int]
    formats: dict[str, int]
    bad: list[ProblemValues]
    animated: list[ProblemValues]
    duplicates: list[DuplicateValues]
    passed_over: dict[str, dict[str, int]]
    small_classes: list[str]
    without_selection: list[str]
    without_test: list[str]
    refusal: str | None
    warnings: list[str]
    advice: list[str]


def data_values(inspection: Inspection, data: str) -> DataValues:
    """Returns everything that is told about a collection.

    Args:
        inspection: what was found.
        data: the name or path that it was asked for by.
    """
    counts, division, parts = inspection.counts, inspection.division, inspection.parts
    sizes = inspection.sizes
    fixed, terciles = shot_groups(counts), tercile_groups(counts)
    group = {label: name for name, labels in fixed.items() for label in labels}
    tercile = {label: name for name, labels in terciles.items() for label in labels}
    broken = Counter(part.label(problem.row) for part in parts.values() for problem in part.scan.bad)
    per_class: list[ClassValues] = [
        {
            "name": name,
            "label": label,
            "usable": sum(part.counts[label] for part in parts.values()),
            "bad": broken[label],
            "images": counts[label],
            "group": group[label],
            "tercile": tercile[label],
            "fit": division.fit[label] if division else None,
            "selection": division.selection[label] if division else None,
            "test": division.test[label] if division else None,
        }
        for label, name in enumerate(inspection.classes)
    ]
    factor = counts.imbalance_factor
    return {
        "data": data,
        "description": inspection.description,
        "profile": inspection.profile,
        "parts": {name: {"images": len(part.scan), "usable": part.counts.total} for name, part in parts.items()},
        "classes": len(counts),
        "images": counts.total,
        "imbalance_factor": factor if math.isfinite(factor) else None,
        "gini": inspection.gini,
        "groups": _groups(fixed, counts),
        "terciles": _groups(terciles, counts),
        "fit_groups": _groups(shot_groups(division.fit), division.fit) if division else None,
        "per_class": per_class,
        "sizes": _sizes(sizes) if len(sizes) else None,
        "common_sizes": [[*size, images] for size, images in _common_sizes(sizes)],
        "seen": _seen(inspection) if len(sizes) else None,
        "modes": _merged(part.scan.modes for part in parts.values()),
        "formats": _merged(part.scan.formats for part in parts.values()),
        "bad": [_problem(inspection, *entry) for entry in found(parts, "bad")],
        "animated": [_problem(inspection, *entry) for entry in found(parts, "animated")],
        "duplicates": [
            {
                "kind": duplicate.kind,
                "images": [
                    {
                        "part": name,
                        "class": inspection.classes[parts[name].label(row)],
                        "name": parts[name].name(row),
                    }
                    for name, row in duplicate.images
                ],
            }
            for duplicate in inspection.duplicates
        ],
        "passed_over": {ending: dict(by_class) for ending, by_class in inspection.passed_over.items()},
        "small_classes": [entry["name"] for entry in per_class if entry["images"] < SMALL],
        "without_selection": [entry["name"] for entry in per_class if entry["selection"] == 0],
        "without_test": [entry["name"] for entry in per_class if entry["test"] == 0],
        "refusal": inspection.refusal,
        "warnings": list(warnings(inspection)),
        "advice": list(advice(inspection, fixed)),
    }


def _groups(groups: Mapping[str, tuple[int, ...]], counts: ClassCounts) -> dict[str, GroupValues]:
    return {
        name: {"classes": len(labels), "images": sum(counts[label] for label in labels)}
        for name, labels in groups.items()
    }


def _sizes(sizes: NDArray[np.int32]) -> dict[str, SizeValues]:
    return {
        side: {"min": int(pixels.min()), "median": float(np.median(pixels)), "max": int(pixels.max())}
        for side, pixels in (("width", sizes[:, 0]), ("height", sizes[:, 1]))
    }


def _seen(inspection: Inspection) -> SeenValues:
    size, kept = inspection.image_size, inspection.kept
    return {"size": size, "kept": kept, "text": seen(size, kept)}


def _common_sizes(sizes: NDArray[np.int32]) -> list[tuple[tuple[int, int], int]]:
    return Counter((width, height) for width, height in sizes.tolist()).most_common(_COMMON)


def _merged(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total.most_common())


def _problem(inspection: Inspection, name: str, part: Part, problem: Problem) -> ProblemValues:
    return {
        "part": name,
        "name": part.name(problem.row),
        "class_name": inspection.classes[part.label(problem.row)],
        "kind": problem.kind,
        "reason": problem.reason,
    }
