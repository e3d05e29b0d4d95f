"""What the reader of a report must know about the images, whatever the job."""

from collections.abc import Sequence
from typing import Literal

from tailornas.data import Dataset
from tailornas.runs import RunFolder

__all__ = ["first", "introduce"]

MOST = 5
"""Most names that are told; the report lists them all."""


def introduce(folder: RunFolder, target: Dataset, name: Literal["test", "selection"], *others: str) -> None:
    """Notes, on the console and in the report, what is missing from the images and what makes figures too good.

    Args:
        folder: the run.
        target: the images.
        name: the split that networks are measured on in the end.
        others: splits that something is chosen by before.
    """
    measured = target.selection if name == "selection" else target.test
    absent = [label for label, n in zip(target.classes, measured.counts, strict=True) if not n]
    if absent:
        have, them = ("has", "it") if len(absent) == 1 else ("have", "them")
        folder.note(
            f"{len(absent):,} of {len(target.classes):,} classes {have} no {name} image, so {name} figures do not "
            f"include {them}: {first(absent)}."
        )
    if target.skipped:
        folder.note(f"Images left out because they cannot be read: {first(target.skipped)}.")
    for sentence in target.notes:
        folder.note(sentence)
    for part, sentence in target.overlaps:
        if part in (name, *others):
            folder.note(sentence)


def first(names: Sequence[str]) -> str:
    """The first :data:`MOST` names, and how many more there are."""
    more = f" and {len(names) - MOST:,} more" if len(names) > MOST else ""
    return f"{', '.join(names[:MOST])}{more}"
