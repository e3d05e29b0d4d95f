"""A folder with one sub-folder of images a class, optionally under ``train``, ``val`` and ``test``."""

import os
from collections import Counter
from pathlib import Path

import torch

from tailornas.data.decode import FORMATS
from tailornas.data.stored import ImageFiles, StoredSource, StoredSplit, as_text
from tailornas.errors import DataError

__all__ = ["EXTENSIONS", "read_folder"]

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
    + ((".avif",) if "AVIF" in FORMATS else ())
)
"""File name endings of images, in lower case; files with others are passed over. AVIF is one where Pillow reads it."""

_ROLES = {
    name: role
    for role, names in {
        "train": ("train", "training"),
        "val": ("val", "valid", "validation"),
        "test": ("test", "testing"),
    }.items()
    for name in names
}


def read_folder(root: Path) -> StoredSource:
    """Lists the images of a folder; a class is a sub-folder, and classes are sorted by name.

    A sub-folder ``train`` that itself has sub-folders means that the classes are one level down, with the images to
    choose by and the test images, if any, likewise under ``val`` and ``test``; ``training``, ``valid``, ``validation``
    and ``testing`` mean the same, in any case of letters, where two such sub-folders have sub-folders of their own.
    ``val`` without ``test`` is the test part, as in lists (:func:`~tailornas.data.listfile.read_list`).

    Images may lie deeper inside their class's folder. Files with other endings are counted and passed over; hidden
    files and folders (whose name starts with a dot) are passed over. Symbolic links to files and to class folders are
    followed, wherever they lead, because the folder is the user's own; links to folders deeper inside a class are not,
    so that no circle of links can be entered.

    Raises:
        DataError: there is no sub-folder, or only one; a class has no image; the images to test on or to choose by have
            a class of their own; or there are sub-folders beside the parts, two of one part, or none to train on.
    """
    try:
        return _read(root)
    except OSError as problem:
        raise DataError(f"{root} cannot be listed ({problem}): expected a readable folder") from problem


def _read(root: Path) -> StoredSource:
    folders = _subfolders(root)
    roles = {name: _ROLES[name.lower()] for name in folders if name.lower() in _ROLES}
    parts = [name for name in roles if _subfolders(root / name)]
    passed_over: dict[str, Counter[str]] = {}
    if len(parts) < 2 and "train" not in parts:
        train = _labelled(root, folders, folders, passed_over)
        return StoredSource(train, None, tuple(map(as_text, folders)), str(root), passed_over=_by_number(passed_over))
    others = [name for name in folders if name not in roles]
    if others:
        raise DataError(
            f"{root} has the sub-folders {', '.join(others)} beside {', '.join(roles)}: expected only parts (train, "
            "val, test), move or rename the others"
        )
    by_role = {role: name for name, role in roles.items()}
    if len(by_role) < len(roles) or "train" not in by_role:
        raise DataError(
            f"{root} has the parts {', '.join(roles)}: expected one to train on (train), at most one to choose by "
            "(val) and at most one to test on (test), move or rename the others"
        )
    classes = _subfolders(root / by_role["train"])
    splits = {
        role: _labelled(root / name, classes if role == "train" else _subfolders(root / name), classes, passed_over)
        for role, name in by_role.items()
    }
    if "test" not in splits and "val" in splits:
        splits["test"] = splits.pop("val")
    return StoredSource(
        splits["train"],
        splits.get("test"),
        tuple(map(as_text, classes)),
        str(root),
        selection=splits.get("val"),
        passed_over=_by_number(passed_over),
    )


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _labelled(root: Path, folders: list[str], classes: list[str], passed_over: dict[str, Counter[str]]) -> StoredSplit:
    """The images of the class folders; counts the files passed over, by ending and class, in ``passed_over``."""
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
        found, others = _images(root / name)
        if not found:
            ends = f" (its files end in {' '.join(sorted(filter(None, others)))})" if any(others) else ""
            raise DataError(
                f"{root / name} holds no image{ends}: expected files ending in {' '.join(sorted(EXTENSIONS))}, "
                "add some or remove the sub-folder"
            )
        for ending, files in others.items():
            passed_over.setdefault(ending, Counter())[as_text(name)] += files
        paths += found
        labels += [known[name]] * len(found)
    return StoredSplit(ImageFiles(paths), torch.tensor(labels, dtype=torch.int64))


def _by_number(passed_over: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    return dict(sorted(passed_over.items(), key=lambda found: (-found[1].total(), found[0])))


def _images(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The images of a folder in order, and how many files have which other ending."""
    found: list[Path] = []
    others: Counter[str] = Counter()
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in files if not name.startswith(".")):
            if path.suffix.lower() in EXTENSIONS:
                found.append(path)
            else:
                others[as_text(path.suffix.lower())] += 1
    return sorted(found), others


def _raise(problem: OSError) -> None:
    raise problem
