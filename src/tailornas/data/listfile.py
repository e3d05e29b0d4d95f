"""Files that list images with their labels: CSV, and text as for ImageNet-LT, Places-LT and iNaturalist."""

import re
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import torch

from tailornas.data.annotations import parse_annotations
from tailornas.data.stored import ImageFiles, StoredSource, StoredSplit, inside, numbered_classes
from tailornas.data.table import label_order, parse_table
from tailornas.errors import DataError

__all__ = ["parse_list", "read_list"]

_LabelT = TypeVar("_LabelT", int, str)

_Listed = tuple[list[str], list[int]]


def parse_list(text: str, place: str, classes: int | None = None) -> _Listed:
    """Parses lines of ``relative/path label``.

    The label is what follows the last white space, so paths may contain spaces. Blank lines and lines that
    start with ``#`` are passed over.

    Args:
        text: content of the list file.
        place: what messages call the file.
        classes: number of classes that labels must stay below, if it is known.

    Returns:
        The paths and, for each, its label.

    Raises:
        DataError: a line is malformed, its label is not one of the classes, its path leaves the root, or was
            listed before; or no line lists an image.
    """
    return _each_once(_lines(text, place, classes), place, "relative/path label")


def read_list(path: Path, root: Path | None) -> StoredSource:
    """Reads a list file, and the lists that lie beside it.

    ``.json`` is an annotation file (:func:`~tailornas.data.annotations.parse_annotations`), which names the classes,
    and ``.csv`` a table (:func:`~tailornas.data.table.parse_table`), whose labels are the names of the classes;
    anything else is text (:func:`parse_list`). There, a file ``classes.txt`` beside the list, with one name a line in
    label order, names the classes; without it labels name themselves, and every label from 0 to the largest must
    occur.

    Where the file's name has the word ``train`` (``ImageNet_LT_train.txt``, ``train2018.json``), files beside it that
    are named the same with ``val`` and ``test`` instead, in any case of letters, belong to it. The ``val`` list is the
    part to choose by; where there is no ``test`` list, it is the test part, because that is how results on iNaturalist
    are reported, whose test labels are not public.

    Args:
        path: the list file.
        root: the folder that listed paths are relative to; None: the list file's folder.

    Raises:
        DataError: see :func:`parse_list`; or a table has a label that the one to train on has not; or an image is in
            two of the lists, or two lists are of one part.
    """
    root = root or path.parent
    listed, classes = _read(path, _class_names(path))
    if not listed[0]:
        raise DataError(f"{path} has no annotations: expected a category for every training image")
    classes = classes or numbered_classes(listed[1], str(path))
    lists, parts = {path: listed}, {}
    for part in ("val", "test"):
        beside = _beside(path, part)
        if beside:
            try:
                listed, _ = _read(beside, classes)
            except DataError as problem:
                raise DataError(
                    f"{problem}; or move {beside.name} elsewhere, if it is not the list of the {part} part"
                ) from problem
            if listed[0]:
                lists[beside], parts[part] = listed, _split(root, *listed)
    for (one, (files, _)), (other, (others, _)) in combinations(lists.items(), 2):
        shared = set(files).intersection(others)
        if shared:
            raise DataError(
                f"{one} and {other} both list {min(shared)}: expected the parts to be apart, remove it from one"
            )
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    return StoredSource(_split(root, *lists[path]), parts.get("test"), classes, str(path), selection=parts.get("val"))


def _beside(path: Path, part: str) -> Path | None:
    """The list of another part; names may differ in case, as those of folders may."""
    name = re.sub(r"train(?![A-Za-z])", part, path.stem, flags=re.IGNORECASE) + path.suffix
    if name == path.name:
        return None
    if (exact := path.with_name(name)).is_file():
        return exact
    found = sorted(other for other in path.parent.iterdir() if other.name.lower() == name.lower() and other.is_file())
    if len(found) > 1:
        raise DataError(
            f"{path} has {' and '.join(other.name for other in found)} beside it: expected one list of the {part} "
            "part, move or rename the others"
        )
    return found[0] if found else None


def _class_names(path: Path) -> tuple[str, ...] | None:
    names = path.with_name("classes.txt")
    named_by_itself = path.suffix == ".json" or path.suffix.lower() == ".csv"
    lines = _text(names).splitlines() if not named_by_itself and names.is_file() else []
    return tuple(line.strip() for line in lines if line.strip()) or None


def _read(path: Path, classes: tuple[str, ...] | None) -> tuple[_Listed, tuple[str, ...] | None]:
    """What a file lists, and the names of its classes as far as they are known."""
    if path.suffix.lower() == ".csv":
        return _read_table(path, classes)
    if path.suffix != ".json":
        return parse_list(_text(path), str(path), None if classes is None else len(classes)), classes
    files, labels, names = parse_annotations(_text(path), str(path))
    if files and classes is not None and names != classes:
        raise DataError(f"{path} has other categories than the list to train on: expected the same ids and names")
    return (files, labels), names


def _read_table(path: Path, classes: tuple[str, ...] | None) -> tuple[_Listed, tuple[str, ...]]:
    files, labels = _each_once(parse_table(_text(path), str(path)), str(path), "path,label")
    classes = classes or label_order(labels)
    known = {name: label for label, name in enumerate(classes)}
    other = next((name for name in labels if name not in known), None)
    if other is not None:
        raise DataError(f"{path} has the label {other!r}, which the list to train on has not: expected the same labels")
    return (files, [known[name] for name in labels]), classes


def _each_once(
    listed: Iterable[tuple[int, str, _LabelT]], place: str, expected: str
) -> tuple[list[str], list[_LabelT]]:
    """Takes line number, path and label of every image; refuses paths that leave the root or are listed again."""
    lines: dict[str, int] = {}
    labels: list[_LabelT] = []
    for number, entry, label in listed:
        path = inside(entry, f"{place} line {number}").as_posix()
        if path in lines:
            raise DataError(
                f"{place} line {number} lists {path} again, after line {lines[path]}: expected every image once"
            )
        lines[path] = number
        labels.append(label)
    if not lines:
        raise DataError(f"{place} lists no image: expected lines of {expected!r}")
    return list(lines), labels


def _lines(text: str, place: str, classes: int | None) -> Iterator[tuple[int, str, int]]:
    # Not splitlines(), which also divides at characters that file names may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, *_parse_line(line, f"{place} line {number}", classes)


def _parse_line(line: str, place: str, classes: int | None) -> tuple[str, int]:
    fields = line.rsplit(maxsplit=1)
    if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > 9:
        raise DataError(f"{place} is {line[:80]!r}: expected 'relative/path label' with an integer label from 0")
    path, label = fields[0], int(fields[1])
    if classes is not None and label >= classes:
        raise DataError(f"{place} has the label {label}: expected 0 to {classes - 1}")
    return path, label


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read ({problem}): expected a UTF-8 text file") from problem


def _split(root: Path, files: list[str], labels: list[int]) -> StoredSplit:
    return StoredSplit(ImageFiles([root / file for file in files]), torch.tensor(labels, dtype=torch.int64))
