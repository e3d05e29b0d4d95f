"""Frozen values that folders share."""

import operator
import reprlib
from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self, final

import torch
from torch import Tensor

from tailornas.errors import ArchitectureError, DataError

__all__ = [
    "Architecture",
    "ClassCounts",
    "Images",
    "Normalization",
    "SelectionSplit",
    "Split",
    "TestSplit",
    "TrainSplit",
]


@final
@dataclass(frozen=True)
class ClassCounts:
    """How many images each class has, in label order.

    Args:
        counts: one non-negative integer a class; a list, an array or a tensor of them becomes a tuple.

    Raises:
        DataError: no class, or a count that is negative or no integer.
    """

    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            counts = tuple(map(operator.index, self.counts))
        except TypeError as error:
            came = " ".join(reprlib.repr(self.counts).split())
            raise DataError(f"class counts must be integers, one a class, such as (5000, 2997), got {came}") from error
        object.__setattr__(self, "counts", counts)
        if not self.counts:
            raise DataError("class counts are empty: expected one number a class")
        if min(self.counts) < 0:
            worst = self.counts.index(min(self.counts))
            raise DataError(f"class counts must not be negative: class {worst} has {self.counts[worst]}")

    @classmethod
    def of(cls, labels: Tensor, classes: int) -> Self:
        """Counts ``labels``, int64 ``(images,)``, of ``classes`` classes.

        Raises:
            DataError: a label outside the classes.
        """
        if len(labels):
            low, high = (int(end) for end in labels.aminmax())
            if low < 0 or high >= classes:
                raise DataError(
                    f"expected labels from 0 to {classes - 1}, of {classes} classes, got labels from {low} to {high}: "
                    "count as many classes as there are"
                )
        return cls(tuple(torch.bincount(labels, minlength=classes).tolist()))

    def __len__(self) -> int:
        return len(self.counts)

    def __iter__(self) -> Iterator[int]:
        return iter(self.counts)

    def __getitem__(self, label: int) -> int:
        return self.counts[label]

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(self.counts)

    @property
    def first_empty(self) -> int | None:
        """The first class without images; None where all have some."""
        return self.counts.index(0) if 0 in self.counts else None

    @property
    def imbalance_factor(self) -> float:
        """Largest count over smallest count; infinite where a class is empty."""
        smallest = min(self.counts)
        return max(self.counts) / smallest if smallest else float("inf")

    def tensor(self, device: torch.device | str | None = None) -> Tensor:
        """The counts as float32 ``(classes,)``."""
        return torch.tensor(self.counts, dtype=torch.float32, device=device)


@final
@dataclass(frozen=True)
class Architecture(Mapping[str, str]):
    """One option for every decision of a search space: hashable, ordered, readable.

    Args:
        choices: ``(decision key, option name)`` pairs in the space's decision order.
    """

    choices: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if len(dict(self.choices)) != len(self.choices):
            keys = [key for key, _ in self.choices]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ArchitectureError(f"decision {twice!r} is given twice: expected every decision once")

    @classmethod
    def of(cls, choices: Mapping[str, str]) -> Self:
        """The architecture with the choices of a mapping, in the mapping's order."""
        return cls(tuple(choices.items()))

    def __getitem__(self, key: str) -> str:
        for known, option in self.choices:
            if known == key:
                return option
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.choices)

    def __len__(self) -> int:
        return len(self.choices)

    def __hash__(self) -> int:
        return hash(self.choices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.choices == other.choices

    def replace(self, key: str, option: str) -> Self:
        """The same architecture with another option for one decision."""
        if key not in self:
            raise ArchitectureError(f"unknown decision {key!r}: expected one of {', '.join(self)}")
        return type(self)(tuple((k, option if k == key else o) for k, o in self.choices))


@final
@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of a training split's pixels, one a channel, on the 0-1 scale."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Images(Protocol):
    """A collection of RGB images of one square size; rows are fetched by index, from memory or from disk."""

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Tensor:
        """Returns uint8 ``(len(rows), 3, size, size)`` for int64 ``rows``, ``(n,)``, on the CPU."""
        ...


@dataclass(frozen=True, eq=False)
class Split(ABC):
    """Some rows of a collection with their labels. Train, selection and test splits are different types.

    Args:
        images: the collection; several splits share one.
        rows: int64 ``(n,)``, the rows of ``images`` that belong to the split.
        labels: int64 ``(n,)``, the label of each of those rows.
        classes: class names in label order.
    """

    images: Images
    rows: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if type(self) is Split:
            raise TypeError("Split is abstract: use TrainSplit, SelectionSplit or TestSplit")
        if self.rows.shape != self.labels.shape or self.rows.ndim != 1:
            raise DataError(
                f"rows and labels must be vectors of one length: rows {tuple(self.rows.shape)}, "
                f"labels {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> ClassCounts:
        """Images a class."""
        return ClassCounts.of(self.labels, len(self.classes))

    def subset(self, positions: Tensor) -> Self:
        """The split made of the given positions (int64 ``(m,)``) of this one."""
        return replace(self, rows=self.rows[positions], labels=self.labels[positions])


@final
@dataclass(frozen=True, eq=False)
class TrainSplit(Split):
    """Images that networks are fitted to."""

    def with_selection(self, selection: "SelectionSplit") -> "TrainSplit":
        """Both splits together: what the final network is fitted to once nothing is left to choose."""
        return replace(
            self,
            rows=torch.cat([self.rows, selection.rows]),
            labels=torch.cat([self.labels, selection.labels]),
        )


@final
@dataclass(frozen=True, eq=False)
class SelectionSplit(Split):
    """Images that choices are made by: the only split that search accepts."""


@final
@dataclass(frozen=True, eq=False)
class TestSplit(Split):
    """Images that measure the finished network and choose nothing."""

    __test__ = False  # not a pytest class
