"""A folder with one sub-folder of images a class, optionally under ``train``, ``val`` and ``test``."""

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
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

_A_LIST = "or the path of a list of the images with their labels, such as labels.csv"


def read_folder(root: Path) -> StoredSource:
    """Lists the images of a folder; a class is a sub-folder, and classes are sorted by name.

    A sub-folder ``train`` or ``training`` that itself has sub-folders means that the classes are one level down, with
    the images to choose by and the test images, if any, likewise under ``val``, ``valid`` or ``validation`` and under
    ``test`` or ``testing``, in any case of letters. So do two such sub-folders that have sub-folders of their own, and
    a folder that has no others; else such a name is that of a class. ``val`` without ``test`` is the test part, as in
    lists (:func:`~tailornas.data.listfile.read_list`). A class has the same name in every part, whichever way its
    accents are encoded: macOS takes letters and accents apart where others keep them together.

    Images may lie deeper inside their class's folder. Files with other endings are counted and passed over, and so are
    images beside the classes; hidden files and folders (whose name starts with a dot) are passed over. Symbolic links
    to files and to class folders are followed, wherever they lead, because the folder is the user's own; links to
    folders deeper inside a class are counted and not followed, so that no circle of links can be entered.

    Raises:
        DataError: there is no sub-folder, or only one; a class has no image; two classes have names that differ in the
            encoding of their accents alone; the images to test on or to choose by have a class of their own, or no
            classes; or there are sub-folders beside the parts, two of one part, or none to train on.
    """
    try:
        return _read(root)
    except OSError as problem:
        raise DataError(f"{root} cannot be listed ({problem}): expected a readable folder") from problem


@dataclass
class _Found:
    """What is passed over on the way."""

    others: dict[str, Counter[str]] = field(default_factory=dict)
    loose: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


def _read(root: Path) -> StoredSource:
    found = _Found()
    folders = _subfolders(root, found)
    roles = {name: _ROLES[name.lower()] for name in folders if name.lower() in _ROLES}
    divided = [role for name, role in roles.items() if _subfolders(root / name)]
    if len(divided) > 1 or "train" in divided or (roles and len(roles) == len(folders)):
        parts, classes = _parts(root, folders, roles, found)
    else:
        parts, classes = {"train": _labelled(root, folders, folders, found)}, folders
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    return StoredSource(
        parts["train"],
        parts.get("test"),
        tuple(map(as_text, classes)),
        str(root),
        selection=parts.get("val"),
        passed_over=dict(sorted(found.others.items(), key=lambda other: (-sum(other[1].values()), other[0]))),
        loose=tuple(as_text(str(path)) for path in found.loose),
        links=tuple(as_text(str(path)) for path in found.links),
    )


def _parts(
    root: Path, folders: list[str], roles: dict[str, str], found: _Found
) -> tuple[dict[str, StoredSplit], list[str]]:
    """The images of each part by its role, and the classes."""
    others = [name for name in folders if name not in roles]
    by_role = {role: name for name, role in roles.items()}
    if others:
        named = by_role.get("train", next(iter(roles)))
        raise DataError(
            f"{root} has the sub-folders {', '.join(others)} beside {', '.join(roles)}: expected only parts (train, "
            f"val, test), move or rename the others, or rename {named} if it is a class; or give {root / named} alone"
        )
    if len(by_role) < len(roles) or "train" not in by_role:
        raise DataError(
            f"{root} has the parts {', '.join(roles)}: expected one to train on (train), at most one to choose by "
            "(val) and at most one to test on (test), move or rename the others"
        )
    within = {role: _subfolders(root / name, found) for role, name in by_role.items()}
    for role, name in sorted(by_role.items(), key=lambda part: part[0] != "train"):
        if not within[role]:
            raise DataError(
                f"{root / name} has no sub-folders, so images in it have no labels: expected one sub-folder of images "
                f"a class, {_way_on(role, by_role, within)}"
            )
    classes = within["train"]
    return {role: _labelled(root / name, within[role], classes, found) for role, name in by_role.items()}, classes


def _way_on(role: str, by_role: dict[str, str], within: dict[str, list[str]]) -> str:
    """What else can be done about a part whose images have no labels."""
    if role == "train":
        return f"{_A_LIST}; if {by_role[role]} is a class, rename it"
    train, away = by_role["train"], f"or move {by_role[role]} elsewhere:"
    if role == "test" and within.get("val"):
        return f"{away} {by_role['val']} then becomes the test part"
    kind, use = ("selection", "choose by") if role == "val" and within.get("test") else ("test", "test on")
    return f"{away} a share of {train} (data.{kind}_fraction, a fifth unless set) is then set apart to {use}"


def _subfolders(folder: Path, found: _Found | None = None) -> list[str]:
    """The names of a folder's sub-folders in order; images beside them are entered in ``found``."""
    folders, loose = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # Unlike that of an entry, is_dir of a path says no to a circle of links.
            if (folder / entry.name).is_dir() if entry.is_symlink() else entry.is_dir():
                folders.append(entry.name)
            elif found and (path := folder / entry.name).suffix.lower() in EXTENSIONS:
                loose.append(path)
    if found:
        found.loose += sorted(loose)
    return sorted(folders)


def _labelled(root: Path, folders: list[str], classes: list[str], found: _Found) -> StoredSplit:
    """The images of the class folders; enters in ``found`` what is passed over."""
    if not folders:
        raise DataError(f"{root} has no sub-folders: expected one sub-folder of images a class, {_A_LIST}")
    known = {_composed(name): label for label, name in enumerate(classes)}
    twice = [name for name, times in Counter(map(_composed, folders)).items() if times > 1]
    if twice:
        raise DataError(
            f"{root} has two sub-folders {twice[0]!r}, whose names differ in the encoding of their accents alone: "
            "expected every class once, move the images of one into the other"
        )
    paths: list[Path] = []
    labels: list[int] = []
    for name in folders:
        if _composed(name) not in known:
            raise DataError(
                f"{root} has the class {name!r}, which the training images have not: expected the same names"
            )
        images, others = _images(root / name, found)
        if not images:
            ends = f" (its files end in {' '.join(sorted(filter(None, others)))})" if any(others) else ""
            raise DataError(
                f"{root / name} holds no image{ends}: expected files ending in {' '.join(sorted(EXTENSIONS))}, "
                "add some or remove the sub-folder"
            )
        for ending, files in others.items():
            found.others.setdefault(ending, Counter())[as_text(name)] += files
        paths += images
        labels += [known[_composed(name)]] * len(images)
    return StoredSplit(ImageFiles(paths), torch.tensor(labels, dtype=torch.int64))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _images(folder: Path, found: _Found) -> tuple[list[Path], Counter[str]]:
    """The images of a folder in order, and how many files have which other ending."""
    images: list[Path] = []
    others: Counter[str] = Counter()
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))  # walked in this order
        found.links += [path for path in (Path(place, name) for name in folders) if path.is_symlink()]
        for path in (Path(place, name) for name in files if not name.startswith(".")):
            if path.suffix.lower() in EXTENSIONS:
                images.append(path)
            else:
                others[as_text(path.suffix.lower())] += 1
    return sorted(images), others


def _raise(problem: OSError) -> None:
    raise problem
