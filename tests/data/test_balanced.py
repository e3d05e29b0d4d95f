from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.balanced import balanced_source, largest_rectangle
from tailornas.data.splits import DataConfig, Dataset, prepare
from tailornas.types import ClassCounts


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(imbalance_factor=14), 0)


def test_what_cifar10_leaves_at_factor_100() -> None:
    target = (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    leftover = ClassCounts(tuple(5000 - n for n in target))
    assert largest_rectangle(leftover) == (3923, (3, 4, 5, 6, 7, 8, 9))


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ((0, 0, 0), (0, ())),
        ((500, 19, 19), (0, ())),
        ((500, 20), (20, (0, 1))),
        ((40, 60, 40, 60), (40, (0, 1, 2, 3))),
        ((30, 60, 20, 60), (60, (1, 3))),
        ((60, 40, 60, 30), (30, (0, 1, 2, 3))),  # 120 three times: of equal products the most classes
    ],
)
def test_largest_rectangle(available: tuple[int, ...], expected: tuple[int, tuple[int, ...]]) -> None:
    assert largest_rectangle(ClassCounts(available)) == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=7))
def test_no_choice_of_classes_gives_more(available: list[int]) -> None:
    images, labels = largest_rectangle(ClassCounts(tuple(available)))
    assert all(available[label] >= images for label in labels)
    best = 0
    for size in range(2, len(available) + 1):
        for chosen in combinations(available, size):
            if min(chosen) >= 20:
                best = max(best, min(chosen) * size)
    assert images * len(labels) == best


def test_the_source_is_balanced_renumbered_and_apart(digits: Dataset) -> None:
    source = balanced_source(digits)
    assert source is not None
    images, labels = largest_rectangle(digits.leftover.counts)
    assert source.train.counts.counts == (images,) * len(labels)
    assert source.train.classes == tuple(str(label) for label in labels)
    taken = set(source.train.rows.tolist())
    assert len(taken) == len(source.train)
    for split in (digits.train, digits.selection, digits.test):
        assert taken.isdisjoint(split.rows.tolist())
    truth = dict(zip(digits.leftover.rows.tolist(), digits.leftover.labels.tolist(), strict=True))
    assert [labels[label] for label in source.train.labels.tolist()] == [
        truth[row] for row in source.train.rows.tolist()
    ]
    assert source.description == (
        f"balanced subset of digits: {images} images of each of {len(labels)} classes, none of them in the target"
    )


def test_the_source_is_the_same_each_time(digits: Dataset) -> None:
    first, again = balanced_source(digits), balanced_source(digits)
    assert first is not None
    assert again is not None
    assert torch.equal(first.train.rows, again.train.rows)
    other = balanced_source(prepare(DataConfig(imbalance_factor=14), 1))
    assert other is not None
    assert not torch.equal(first.train.rows, other.train.rows)


@pytest.mark.parametrize("config", [DataConfig(profile="as-is"), DataConfig(imbalance_factor=1)])
def test_there_is_none_where_nothing_is_left(config: DataConfig) -> None:
    assert balanced_source(prepare(config, 0)) is None
