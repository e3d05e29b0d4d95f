import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.images import MemoryImages
from tailornas.data.stratified import (
    complement,
    counts_for_selection,
    counts_for_test,
    draw,
    draw_apart,
    hold_out,
)
from tailornas.errors import DataError
from tailornas.types import ClassCounts, SelectionSplit, TrainSplit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split_of(counts: list[int]) -> TrainSplit:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    images = MemoryImages(torch.zeros((len(labels), 3, 4, 4), dtype=torch.uint8))
    return TrainSplit(images, torch.arange(len(labels)), labels, tuple(f"class {c}" for c in range(len(counts))))


def test_draw_gives_the_counts_in_label_order() -> None:
    labels = torch.tensor([2, 0, 1, 0, 2, 1, 0, 2])
    drawn = draw(labels, (2, 0, 3), seeded())
    assert labels[drawn].tolist() == [0, 0, 2, 2, 2]
    assert len(set(drawn.tolist())) == 5


def test_draw_depends_on_the_generator_alone() -> None:
    labels = torch.arange(5).repeat(20)
    first, again, other = (draw(labels, (7,) * 5, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_draw_chooses_every_image_equally_often() -> None:
    generator = seeded()
    labels = torch.zeros(10, dtype=torch.int64)
    hits = torch.zeros(10)
    for _ in range(2000):
        hits[draw(labels, (3,), generator)] += 1
    assert ((hits - 600).abs() < 100).all()  # about five standard deviations


def test_draw_refuses_more_than_there_is() -> None:
    with pytest.raises(DataError, match="class 1 has 2 images: expected at least the 3 to draw"):
        draw(torch.tensor([0, 1, 1]), (1, 3), seeded())


def test_equal_images_are_drawn_together() -> None:
    # Class 0: a pair, a triple and singles; class 1: three pairs; class 2: copies of one image; 8 has two labels.
    labels = torch.tensor([0] * 10 + [1] * 6 + [2] * 3 + [3] * 4)
    contents = torch.tensor([0, 0, 1, 1, 1, 2, 3, 4, 5, 8, 10, 10, 11, 11, 12, 12, 20, 20, 20, 8, 30, 31, 32])
    for seed in range(30):
        drawn = draw_apart(labels, (4, 1, 1, 2), contents, seeded(seed))
        assert not set(contents[drawn].tolist()) & set(contents[complement(drawn, 23)].tolist())
        # One image of class 1 cannot be had without its copy, and class 2 would have nothing left.
        assert torch.bincount(labels[drawn], minlength=4).tolist() == [4, 2, 0, 2]
        assert 8 not in contents[drawn]


def test_where_all_images_of_a_class_differ_copies_elsewhere_change_nothing() -> None:
    labels, contents = torch.arange(3).repeat_interleave(10), torch.arange(30)
    plain = draw_apart(labels, (3, 4, 2), contents, seeded())
    assert torch.equal(plain, draw(labels, (3, 4, 2), seeded()))
    contents[29] = contents[28]
    assert torch.equal(draw_apart(labels, (3, 4, 2), contents, seeded())[:7], plain[:7])


def test_hold_out_keeps_copies_on_one_side() -> None:
    split = split_of([8, 2])
    contents = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    train, selection = hold_out(split, 0.25, contents, seeded())
    assert selection.counts.counts == (2, 0)
    assert not set(contents[selection.rows].tolist()) & set(contents[train.rows].tolist())
    with pytest.raises(DataError, match="no class has 2 images that differ"):
        hold_out(split, 0.25, torch.arange(2).repeat_interleave(torch.tensor([8, 2])), seeded())


def test_complement() -> None:
    assert complement(torch.tensor([3, 0]), 5).tolist() == [1, 2, 4]
    assert complement(torch.tensor([], dtype=torch.int64), 2).tolist() == [0, 1]


def test_counts_for_test_spare_the_smallest_classes() -> None:
    assert counts_for_test(ClassCounts((100, 12, 4, 3, 2, 1)), 0.2).counts == (20, 2, 1, 1, 0, 0)


def test_counts_for_selection_take_one_and_at_most_half() -> None:
    assert counts_for_selection(ClassCounts((100, 12, 4, 3, 2, 1)), 0.2).counts == (20, 2, 1, 1, 1, 0)
    assert counts_for_selection(ClassCounts((101, 3, 1)), 0.5).counts == (50, 1, 0)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=8), st.floats(0.01, 0.5), st.integers(0, 5))
def test_hold_out_divides_every_class(counts: list[int], fraction: float, seed: int) -> None:
    split = split_of(counts)
    if max(counts) < 2:
        with pytest.raises(DataError, match="no class has 2 images"):
            hold_out(split, fraction, torch.arange(len(split)), seeded(seed))
        return
    train, selection = hold_out(split, fraction, torch.arange(len(split)), seeded(seed))
    assert type(train) is TrainSplit
    assert type(selection) is SelectionSplit
    assert sorted(train.rows.tolist() + selection.rows.tolist()) == split.rows.tolist()
    for part in (train, selection):
        assert torch.equal(split.labels[part.rows], part.labels)
    for whole, kept, held in zip(counts, train.counts, selection.counts, strict=True):
        assert kept + held == whole
        assert held <= whole // 2
        assert held >= (whole > 1)
        assert abs(held - whole * fraction) <= 1 or held in (1, whole // 2)
