"""Annotation files in the layout of COCO, as iNaturalist's competitions have them: ``train2018.json``."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tailornas.data.stored import inside
from tailornas.errors import DataError

__all__ = ["parse_annotations"]


def parse_annotations(text: str, place: str) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Parses an annotation file.

    It lists ``images`` with ``id`` and ``file_name``, ``annotations`` with ``image_id`` and ``category_id``, and
    ``categories`` with ``id`` and ``name``; everything else in it is passed over. Labels number the categories from 0
    in the order of their ids, so iNaturalist 2018's ids, 0 to 8,141, are its labels. A file without annotations, as a
    challenge publishes for its test images, lists nothing.

    Args:
        text: content of the file.
        place: what messages call the file.

    Returns:
        The paths, for each its label, and the class names in label order.

    Raises:
        DataError: the text is not JSON of that layout; an annotation speaks of an image or a category that the file
            does not have; an image has two annotations, is listed twice, or leaves the root.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise DataError(f"{place} is not JSON ({problem}): expected images, annotations and categories") from problem
    annotations = _entries(content, "annotations", ("image_id", int), ("category_id", int), place)
    if not annotations:
        return [], [], ()
    images = _entries(content, "images", ("id", int), ("file_name", str), place)
    categories = sorted(_entries(content, "categories", ("id", int), ("name", str), place))
    labels = {number: label for label, (number, _) in enumerate(categories)}
    if len(labels) < len(categories):
        raise DataError(f"{place} has two categories of one id: expected every id once")
    paths = {number: inside(path, f"{place} image {number}").as_posix() for number, path in images}
    if len(set(paths.values())) < len(images):
        raise DataError(f"{place} lists an image twice, by its id or its file_name: expected every image once")
    found: dict[str, int] = {}
    for image, category in annotations:
        if image not in paths or category not in labels:
            raise DataError(
                f"{place} annotates image {image} with category {category}: expected ids that the file's images and "
                "categories have"
            )
        if paths[image] in found:
            raise DataError(f"{place} annotates image {image} twice: expected one category an image")
        found[paths[image]] = labels[category]
    return list(found), list(found.values()), tuple(name for _, name in categories)


def _entries(
    content: Any, part: str, first: tuple[str, type], second: tuple[str, type], place: str
) -> Sequence[tuple[Any, Any]]:
    """Two values of every entry of one of the file's lists; a missing list of annotations is an empty one."""
    listed = content.get(part, [] if part == "annotations" else None) if isinstance(content, Mapping) else None
    if not isinstance(listed, list):
        raise DataError(f"{place} has no list {part!r}: expected images, annotations and categories, as COCO has them")
    found = []
    for number, entry in enumerate(listed):
        values = tuple(entry.get(name) for name, _ in (first, second)) if isinstance(entry, Mapping) else ()
        if not values or not isinstance(values[0], first[1]) or not isinstance(values[1], second[1]):
            raise DataError(
                f"{place} entry {number} of {part} is {str(entry)[:80]!r}: expected {first[0]!r} "
                f"({first[1].__name__}) and {second[0]!r} ({second[1].__name__})"
            )
        found.append((values[0], values[1]))
    return found
