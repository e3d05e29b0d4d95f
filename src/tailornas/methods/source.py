"""The images that the supernet is trained on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

from tailornas.data import Dataset, balanced_source
from tailornas.types import Normalization, TrainSplit

__all__ = ["SupernetSource", "choose_source", "published_source"]


@final
@dataclass(frozen=True, eq=False)
class SupernetSource:
    """A balanced dataset, or one that is made to look balanced.

    Args:
        train: its images; none of them is in the target's selection or test split.
        normalization: statistics of their pixels.
        flip: whether a mirrored image still belongs to its class.
        sampler: ``"instance"`` for balanced images, ``"class_balanced"`` for others.
        description: a sentence fragment for the report.
        fingerprint: a text that changes when the images change.
        weights: a published supernet, which is loaded instead of training one; the images are then not used.
    """

    train: TrainSplit
    normalization: Normalization
    flip: bool
    sampler: str
    description: str
    fingerprint: str
    weights: Path | None = None


def published_source(target: Dataset, weights: Path) -> SupernetSource:
    """A supernet that others trained.

    Args:
        target: the long-tailed dataset.
        weights: the file.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return SupernetSource(
        train=target.train,
        normalization=target.normalization,
        flip=target.flip,
        sampler="instance",
        description=f"data of its authors and read from {weights}",
        fingerprint=f"sha256 {digest}",
        weights=weights,
    )


def choose_source(target: Dataset, named: Dataset | None) -> SupernetSource:
    """The source that the user named; else what the target's profile left over; else the target itself.

    Args:
        target: the long-tailed dataset.
        named: the dataset that the user named as the source, if any; its test split is not used.
    """
    if named is not None:
        return SupernetSource(
            train=named.fit,
            normalization=named.normalization,
            flip=named.flip,
            sampler="instance" if named.imbalance_factor < 1.5 else "class_balanced",
            description=f"all training images of {named.description}",
            fingerprint=named.fingerprint,
        )
    if (leftover := balanced_source(target)) is not None:
        return SupernetSource(
            train=leftover.train,
            normalization=target.normalization,
            flip=target.flip,
            sampler="instance",
            description=f"a {leftover.description}",
            fingerprint=f"{target.fingerprint} balanced",
        )
    return SupernetSource(
        train=target.train,
        normalization=target.normalization,
        flip=target.flip,
        sampler="class_balanced",
        description="the target's own training images, each class drawn equally often",
        fingerprint=f"{target.fingerprint} itself",
    )
