from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tailornas.data import MemoryImages
from tailornas.errors import ArchitectureError, DataError, TailorNASError, UnknownNameError
from tailornas.stages import Detached, Stage
from tailornas.types import Architecture, ClassCounts, Images, SelectionSplit, Split, TestSplit, TrainSplit

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=20)


def split_of(labels: Sequence[int], rows: Sequence[int] | None = None, kind: type[Split] = TrainSplit) -> Split:
    chosen = torch.tensor(range(len(labels)) if rows is None else rows)
    images = MemoryImages(torch.zeros(10, 3, 4, 4, dtype=torch.uint8))
    return kind(images, chosen, torch.tensor(labels), ("cat", "dog", "owl"))


@settings(deadline=None, max_examples=100)
@given(numbers=COUNTS)
def test_class_counts_are_a_sequence_of_numbers(numbers: list[int]) -> None:
    counts = ClassCounts(tuple(numbers))
    assert len(counts) == len(numbers)
    assert list(counts) == numbers
    assert [counts[label] for label in range(len(numbers))] == numbers
    assert counts.total == sum(numbers)
    assert counts == ClassCounts(tuple(numbers))
    assert hash(counts) == hash(ClassCounts(tuple(numbers)))
    assert counts.tensor().dtype == torch.float32
    assert counts.tensor().tolist() == numbers


@settings(deadline=None, max_examples=100)
@given(labels=st.lists(st.integers(0, 4), max_size=40))
def test_class_counts_of_labels(labels: list[int]) -> None:
    counts = ClassCounts.of(torch.tensor(labels, dtype=torch.int64), 5)
    assert counts.counts == tuple(labels.count(label) for label in range(5))


def test_the_imbalance_factor() -> None:
    assert ClassCounts((50, 10, 5)).imbalance_factor == 10
    assert ClassCounts((5, 10, 50)).imbalance_factor == 10
    assert ClassCounts((7, 7)).imbalance_factor == 1
    assert ClassCounts((7, 0)).imbalance_factor == float("inf")


def test_impossible_class_counts() -> None:
    with pytest.raises(DataError, match=r"^class counts are empty: expected one number a class$"):
        ClassCounts(())
    with pytest.raises(DataError, match=r"^class counts must not be negative: class 1 has -3$"):
        ClassCounts((4, -3, -1))


@pytest.mark.parametrize(
    "given", [[4, 0, 2], (np.int64(4), np.int32(0), 2), np.array([4, 0, 2]), torch.tensor([4, 0, 2])]
)
def test_class_counts_become_a_tuple_of_integers(given: Any) -> None:
    counts = ClassCounts(given)
    assert counts == ClassCounts((4, 0, 2))
    assert hash(counts) == hash(ClassCounts((4, 0, 2)))
    assert [type(count) for count in counts] == [int] * 3


@pytest.mark.parametrize(
    ("given", "came"),
    [
        ((1.5, 2.5), r"\(1.5, 2.5\)"),
        (torch.tensor([4.0, 2.0]), r"tensor\(\[4., 2.\]\)"),
        (np.eye(2, dtype=np.int64), r"array\(\[\[1, 0\], \[0, 1\]\]\)"),
        (5, "5"),
        (("4", "2"), r"\('4', '2'\)"),
    ],
)
def test_class_counts_that_are_no_integers(given: Any, came: str) -> None:
    with pytest.raises(DataError, match=rf"^class counts must be integers, .*, got {came}$"):
        ClassCounts(given)


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, 2]])
def test_labels_outside_the_classes_are_not_counted(labels: list[int]) -> None:
    with pytest.raises(DataError, match=rf"labels from 0 to 1, of 2 classes, got labels from {labels[0]} to 2"):
        ClassCounts.of(torch.tensor(labels), 2)


def test_the_first_class_without_images() -> None:
    assert ClassCounts((4, 0, 2, 0)).first_empty == 1
    assert ClassCounts((0, 1)).first_empty == 0
    assert ClassCounts((4, 2)).first_empty is None


def test_an_architecture_is_an_ordered_hashable_mapping() -> None:
    architecture = Architecture.of({"b": "conv", "a": "skip"})
    assert architecture["b"] == "conv"
    assert list(architecture) == ["b", "a"]
    assert len(architecture) == 2
    assert dict(architecture) == {"b": "conv", "a": "skip"}
    assert {architecture: 1}[Architecture((("b", "conv"), ("a", "skip")))] == 1
    assert architecture != Architecture.of({"a": "skip", "b": "conv"})
    assert architecture != {"b": "conv", "a": "skip"}
    with pytest.raises(KeyError, match="c"):
        architecture["c"]
    with pytest.raises(FrozenInstanceError):
        architecture.choices = ()  # type: ignore[misc]


def test_replacing_one_option_of_an_architecture() -> None:
    architecture = Architecture.of({"a": "conv", "b": "skip"})
    assert architecture.replace("b", "none") == Architecture.of({"a": "conv", "b": "none"})
    assert architecture["b"] == "skip"
    with pytest.raises(ArchitectureError, match=r"^unknown decision 'c': expected one of a, b$"):
        architecture.replace("c", "none")


def test_a_decision_that_is_given_twice() -> None:
    with pytest.raises(ArchitectureError, match=r"^decision 'a' is given twice: expected every decision once$"):
        Architecture((("b", "conv"), ("a", "conv"), ("a", "skip")))


def test_splits_count_their_labels_and_give_subsets_of_their_own_type() -> None:
    split = split_of([0, 0, 2, 0], [4, 5, 6, 7], SelectionSplit)
    assert len(split) == 4
    assert split.counts == ClassCounts((3, 0, 1))
    part = split.subset(torch.tensor([2, 0]))
    assert type(part) is SelectionSplit
    assert part.rows.tolist() == [6, 4]
    assert part.labels.tolist() == [2, 0]
    assert part.images is split.images
    assert part.classes == split.classes


def test_train_and_selection_split_together() -> None:
    train, selection = split_of([0, 1], [3, 1]), split_of([2], [8], SelectionSplit)
    assert isinstance(train, TrainSplit)
    assert isinstance(selection, SelectionSplit)
    both = train.with_selection(selection)
    assert type(both) is TrainSplit
    assert both.rows.tolist() == [3, 1, 8]
    assert both.labels.tolist() == [0, 1, 2]
    assert train.rows.tolist() == [3, 1]


def test_the_three_splits_are_three_types() -> None:
    kinds = (TrainSplit, SelectionSplit, TestSplit)
    for kind in kinds:
        split = split_of([0, 1, 2], kind=kind)
        assert [isinstance(split, other) for other in kinds] == [kind is other for other in kinds]
    with pytest.raises(TypeError, match="Split is abstract: use TrainSplit, SelectionSplit or TestSplit"):
        split_of([0], kind=Split)


@pytest.mark.parametrize(
    ("rows", "labels"), [(torch.arange(3), torch.arange(2)), (torch.zeros(2, 1), torch.zeros(2, 1))]
)
def test_rows_and_labels_that_do_not_fit(rows: Tensor, labels: Tensor) -> None:
    images = MemoryImages(torch.zeros(10, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(DataError, match=r"^rows and labels must be vectors of one length: rows \("):
        TrainSplit(images, rows, labels, ("cat", "dog"))


def test_images_in_memory_are_images() -> None:
    images: Images = MemoryImages(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 3, 4, 4))
    assert (len(images), images.size) == (10, 4)
    assert images.take(torch.tensor([7, 2]))[:, 0, 0, 0].tolist() == [7, 2]


def test_a_detached_stage_keeps_nothing_and_is_never_overdue() -> None:
    stage: Stage = Detached()
    stage.save({"epoch": 3})
    stage.log(loss=1.0)
    stage.progress(1, 2, "steps", loss="1.0")
    assert stage.restore() is None
    assert not stage.overdue(1e9)


def test_an_unknown_name_lists_the_known_ones() -> None:
    error = UnknownNameError("loss", "lmad", ("ldam", "focal"))
    assert str(error) == "unknown loss 'lmad': expected one of focal, ldam"
    assert isinstance(error, TailorNASError)
    assert (error.kind, error.name, error.known) == ("loss", "lmad", ("ldam", "focal"))
