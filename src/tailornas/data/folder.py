"""A folder with one sub-folder of images a class, optionally under ``train`` and ``test``."""

import os
from pathlib import Path

import torch

from tailornas.data.stored import ImageFiles, StoredSource, StoredSplit
from tailornas.errors import DataError

__all__ = ["EXTENSIONS", "read_folder"]

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
"""File name endings of images, in lower case; files with others are passed over."""


def read_folder(root: Path) -> StoredSource:
    """Lists the images of a folder; a class is a sub-folder, and classes are sorted by name.

    A sub-folder ``train`` that itself has sub-folders means that the classes are one level down, with the
    test images, if any, likewise under ``test``. Images may lie deeper inside their class's folder. Hidden
    files and folders (whose name starts with a dot) are passed over. Symbolic links to files and to class
    folders are followed, wherever they lead, because the folder is the user's own; links to folders deeper
    inside a class are not, so that no circle of links can be entered.

    Raises:
        DataError: there is no sub-folder, or only one; a class has no image; the test images have a class of
            their own; or there are sub-folders beside ``train`` and ``test``.
    """
    try:
        return _read(root)
    except OSError as problem:
        raise DataError(f"{root} cannot be listed ({problem}): expected a readable folder") from problem


def _read(root: Path) -> StoredSource:
    folders = _subfolders(root)
    if "train" not in folders or not _subfolders(root / "train"):
        return StoredSource(_labelled(root, folders, folders), None, tuple(folders), str(root))
    others = [name for name in folders if name not in ("train", "test")]
    if others:
        raise DataError(
            f"{root} has the sub-folders {', '.join(others)} beside train: expected only train and test, "
            "move or rename the others"
        )
    classes, test = _subfolders(root / "train"), None
    train = _labelled(root / "train", classes, classes)
    if "test" in folders:
        test = _labelled(root / "test", _subfolders(root / "test"), classes)
    return StoredSource(train, test, tuple(classes), str(root))


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _labelled(root: Path, folders: list[str], classes: list[str]) -> StoredSplit:
    if not folders:
        raise DataError(f"{root} has no sub-folders: expected one sub-folder of images a class")
    known = {name: label for label, name in enumerate(classes)}
    paths: list[Path] = []
    labels: list[int] = []
    for name in folders:
        if name not in known:
            raise DataError(
                f"{root} has the class {name!r}, which the training images have not: expected the same names"
            )
        found = _images(root / name)
        if not found:
            raise DataError(
                f"{root / name} holds no image: expected files ending in {' '.join(sorted(EXTENSIONS))}, "
                "add some or remove the sub-folder"
            )
        paths += found
        labels += [known[name]] * len(found)
    return StoredSplit(ImageFiles(paths), torch.tensor(labels, dtype=torch.int64))


def _images(folder: Path) -> list[Path]:
    found = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name) for name in files if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
        ]
    return sorted(found)


def _raise(problem: OSError) -> None:
    raise problem
