"""What the reader of a report must know about a collection of images, in sentences."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import torch

from tailornas.data.sources import PartName, Source
from tailornas.types import Split, TrainSplit

__all__ = ["notes", "passed_over_note"]


def notes(source: Source, fit: TrainSplit) -> Iterator[str]:
    """Yields a sentence on the files passed over, and one on every two of the source's own parts that share images.

    Args:
        source: the images.
        fit: those of the source's training part that the final networks are fitted to: a profile leaves out others,
            and what is not trained on makes no result too good.
    """
    if source.passed_over:
        yield passed_over_note(source.passed_over)
    own: dict[PartName, Split | None] = {"test": source.test, "selection": source.selection, "train": fit}
    parts = {name: source.contents[name][part.rows] for name, part in own.items() if part is not None}
    for (name, contents), (other, others) in combinations(parts.items(), 2):
        shared = int(torch.isin(contents, others).sum())
        if shared:
            are, them = ("image is", "it") if shared == 1 else ("images are", "them")
            yield f"{shared:,} {name} {are} in the {other} part, too: results on {them} are too good."


def passed_over_note(passed_over: Mapping[str, Mapping[str, int]]) -> str:
    """Says how many files lie among the images without an image's name, by ending; there is at least one."""
    files = [
        f"{sum(of_class.values()):,} {f'ending in {ending}' if ending else 'without an ending'}"
        for ending, of_class in passed_over.items()
    ]
    return f"Files passed over, because their names are not those of images: {', '.join(files)}."
