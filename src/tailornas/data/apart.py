"""A source of images without those that another dataset is judged by."""

import hashlib
from dataclasses import replace

import torch
from torch import Tensor

from tailornas.data.sources import PartName
from tailornas.data.splits import Dataset
from tailornas.errors import DataError
from tailornas.types import Split

__all__ = ["apart_from"]


def apart_from(source: Dataset, target: Dataset) -> Dataset:
    """Leaves out of a source what is in the target's selection or test split, and says so in its description.

    Images are told by their pixels, so both datasets have to be of one image size.

    Args:
        source: the dataset that a supernet is trained on; its test split, which is not used, stays.
        target: the dataset that candidates are scored on.

    Raises:
        DataError: a class of the source has no other images.
    """
    judged = torch.cat([_contents(target, "selection", target.selection), _contents(target, "test", target.test)])
    parts: dict[PartName, Split] = {"train": source.train, "selection": source.selection}
    other = {name: ~torch.isin(_contents(source, name, part), judged) for name, part in parts.items()}
    shared = sum(int((~kept).sum()) for kept in other.values())
    if not shared:
        return source
    apart = replace(
        source,
        train=source.train.subset(other["train"].nonzero().flatten()),
        selection=source.selection.subset(other["selection"].nonzero().flatten()),
        description=f"{source.description} but the {shared:,} that are in the target's selection or test split",
        fingerprint=hashlib.blake2b(
            f"{source.fingerprint} apart from {target.fingerprint}".encode(), digest_size=16
        ).hexdigest(),
    )
    if (empty := apart.train.counts.first_empty) is not None:
        name = apart.classes[empty]
        raise DataError(
            f"all training images of class {name!r} of {source.description} are in the target's selection or test "
            "split: expected a source with images of its own, leave the source out or name another"
        )
    return apart


def _contents(dataset: Dataset, name: PartName, split: Split) -> Tensor:
    """The numbers of a split's images; it was drawn from the training part where it has no part of its own."""
    return dataset.contents.get(name, dataset.contents["train"])[split.rows]
