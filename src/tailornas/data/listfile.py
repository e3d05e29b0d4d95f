"""Text files that list images with their labels: as for ImageNet-LT, Places-LT and iNaturalist."""

import os.path
from pathlib import Path

import torch

from tailornas.data.stored import ImageFiles, StoredSource, StoredSplit, numbered_classes
from tailornas.errors import DataError

__all__ = ["parse_list", "read_list"]


def parse_list(text: str, place: str, classes: int | None = None) -> tuple[list[str], list[int]]:
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
    lines: dict[str, int] = {}
    labels: list[int] = []
    # Not splitlines(), which also divides at characters that file names may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        path, label = _parse_line(line, f"{place} line {number}", classes)
        if path in lines:
            raise DataError(
                f"{place} line {number} lists {path} again, after line {lines[path]}: expected every image once"
            )
        lines[path] = number
        labels.append(label)
    if not lines:
        raise DataError(f"{place} lists no image: expected lines of 'relative/path label'")
    return list(lines), labels


def read_list(path: Path, root: Path | None) -> StoredSource:
    """Reads a list file.

    A file ``classes.txt`` beside it, with one name a line in label order, names the classes; without it
    labels name themselves, and every label from 0 to the largest must occur. A list whose name ends in
    ``train`` (``train.txt``, ``ImageNet_LT_train.txt``) has its test list beside it where that is named the
    same with ``test`` instead.

    Args:
        path: the list file.
        root: the folder that listed paths are relative to; None: the list file's folder.

    Raises:
        DataError: see :func:`parse_list`; or an image is listed for training and for test.
    """
    root = root or path.parent
    names = path.with_name("classes.txt")
    lines = _text(names).splitlines() if names.is_file() else []
    classes = tuple(line.strip() for line in lines if line.strip())
    files, labels = parse_list(_text(path), str(path), len(classes) or None)
    classes = classes or numbered_classes(labels, str(path))
    test = None
    beside = path.with_name(f"{path.stem.removesuffix('train')}test{path.suffix}")
    if path.stem.endswith("train") and beside.is_file():
        test_files, test_labels = parse_list(_text(beside), str(beside), len(classes))
        shared = set(files).intersection(test_files)
        if shared:
            raise DataError(
                f"{path} and {beside} both list {min(shared)}: expected test images to be apart, remove it from one"
            )
        test = _split(root, test_files, test_labels)
    return StoredSource(_split(root, files, labels), test, classes, str(path))


def _parse_line(line: str, place: str, classes: int | None) -> tuple[str, int]:
    fields = line.rsplit(maxsplit=1)
    if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > 9:
        raise DataError(f"{place} is {line[:80]!r}: expected 'relative/path label' with an integer label from 0")
    path, label = Path(os.path.normpath(fields[0])), int(fields[1])
    if path.is_absolute() or path.parts[:1] == ("..",):
        raise DataError(
            f"{place} lists {fields[0]}, which leaves the root folder: expected a path relative to it and inside it"
        )
    if classes is not None and label >= classes:
        raise DataError(f"{place} has the label {label}: expected 0 to {classes - 1}")
    return path.as_posix(), label


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read ({problem}): expected a UTF-8 text file") from problem


def _split(root: Path, files: list[str], labels: list[int]) -> StoredSplit:
    return StoredSplit(ImageFiles([root / file for file in files]), torch.tensor(labels, dtype=torch.int64))
