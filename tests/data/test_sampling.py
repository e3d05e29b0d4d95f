import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from support.devices import Elsewhere
from tailornas.data.sampling import SAMPLERS, class_balanced, instance, progressive, reversed_, shard
from tailornas.errors import ConfigError, DataError
from tailornas.types import ClassCounts


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels_of(*counts: int) -> tuple[Tensor, ClassCounts]:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=seeded(9))], ClassCounts(counts)


def drawn_counts(name: str, *counts: int, progress: float = 0, seed: int = 0) -> list[int]:
    labels, known = labels_of(*counts)
    positions = SAMPLERS[name](labels, known, seeded(seed), progress)
    return labels[positions].bincount(minlength=len(counts)).tolist()


def test_instance_meets_every_image_once() -> None:
    labels, counts = labels_of(30, 5, 1)
    positions = instance(labels, counts, seeded(), 0.3)
    assert sorted(positions.tolist()) == list(range(36))
    assert positions.tolist() != list(range(36))


def test_class_balanced_meets_every_class_equally_often() -> None:
    assert drawn_counts("class_balanced", 90, 9, 1) == pytest.approx([100 / 3] * 3, abs=1)
    assert drawn_counts("class_balanced", 60, 20, 10) == [30, 30, 30]


def test_square_root() -> None:
    # Roots 8, 4, 2 of 14 over 84 images.
    assert drawn_counts("square_root", 64, 16, 4) == [48, 24, 12]


def test_progressive_goes_from_instance_to_class_balanced() -> None:
    assert drawn_counts("progressive", 60, 20, 10, progress=0) == [60, 20, 10]
    assert drawn_counts("progressive", 60, 20, 10, progress=0.5) == [45, 25, 20]
    assert drawn_counts("progressive", 60, 20, 10, progress=1) == [30, 30, 30]


def test_classes_without_images_are_not_drawn() -> None:
    for name in SAMPLERS:
        assert drawn_counts(name, 12, 0, 6, 0, progress=1)[1::2] == [0, 0]
    assert drawn_counts("class_balanced", 12, 0, 6, 0) == [9, 0, 9, 0]
    assert drawn_counts("class_balanced", 0, 12, 6) == [0, 9, 9]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ((2, 6), "class 0 has 2 by the counts and 6 in the labels"),
        ((6, 3), "class 1 has 3 by the counts and 2 in the labels"),
        ((6, 2, 1), "class 2 has 1 by the counts and 0 in the labels"),
    ],
)
def test_counts_of_other_labels_are_refused(counts: tuple[int, ...], found: str) -> None:
    labels, _ = labels_of(6, 2)
    with pytest.raises(DataError, match=f"counts do not match the labels: {found}; count these labels"):
        class_balanced(labels, ClassCounts(counts), seeded(), 0)


def test_labels_of_a_class_that_is_not_counted_are_refused() -> None:
    with pytest.raises(DataError, match="expected labels from 0 to 0, of 1 classes, got labels from 0 to 1"):
        class_balanced(labels_of(6, 2)[0], ClassCounts((8,)), seeded(), 0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_labels_may_be_on_any_device(name: str) -> None:
    labels, counts = labels_of(30, 5, 1)
    positions = SAMPLERS[name](labels.as_subclass(Elsewhere), counts, seeded(), 0.5)
    assert type(positions) is Tensor
    assert torch.equal(positions, SAMPLERS[name](labels, counts, seeded(), 0.5))


@pytest.mark.parametrize("progress", [-1, 1.2, 5, float("nan")])
def test_progress_is_a_share(progress: float) -> None:
    with pytest.raises(ConfigError, match=rf"^progress is a share of training in \[0, 1\] and is {progress}: divide"):
        progressive(*labels_of(30, 5), seeded(), progress)


def test_repeats_are_spread_evenly() -> None:
    labels, counts = labels_of(60, 7)
    positions = class_balanced(labels, counts, seeded(), 0)
    repeats = positions[labels[positions] == 1].bincount(minlength=67)[labels == 1]
    assert sorted(set(repeats.tolist())) in ([4, 5], [5], [4])
    heads = positions[labels[positions] == 0]
    assert heads.bincount().max() == 1


def test_other_images_of_a_class_are_left_out_in_every_epoch() -> None:
    """190 of the 500 are drawn in an epoch: that one of them is never drawn in 50 has a probability of 2e-8."""
    labels, counts = labels_of(500, 60, 10)
    generator = seeded()
    met = torch.cat([class_balanced(labels, counts, generator, 0) for _ in range(50)]).bincount(minlength=570)
    assert int(met[labels == 0].sum()) == 50 * 190
    assert met.min() > 0


def test_rounding_is_fair() -> None:
    # 4.2 draws are 4 in four of five epochs.
    labels, counts = labels_of(6, 4)
    generator = seeded()
    tails = [int(labels[progressive(labels, counts, generator, 0.2)].sum()) for _ in range(200)]
    assert set(tails) == {4, 5}
    assert sum(tails) / 200 == pytest.approx(4.2, abs=0.12)  # about four standard deviations


def test_order_is_mixed() -> None:
    labels, counts = labels_of(500, 500)
    half = labels[class_balanced(labels, counts, seeded(), 0)][:500].float().mean()
    assert 0.4 < half < 0.6


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(sorted(SAMPLERS)),
    st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any),
    st.floats(0, 1),
    st.integers(0, 100),
)
def test_every_sampler_keeps_length_and_quota(name: str, sizes: list[int], progress: float, seed: int) -> None:
    labels, counts = labels_of(*sizes)
    positions = SAMPLERS[name](labels, counts, seeded(seed), progress)
    assert (positions.dtype, positions.shape) == (torch.int64, labels.shape)
    assert torch.equal(positions, SAMPLERS[name](labels, counts, seeded(seed), progress))
    present = sum(size > 0 for size in sizes)
    roots, inverses = sum(size**0.5 for size in sizes), sum(1 / size for size in sizes if size)
    drawn = labels[positions].bincount(minlength=len(sizes)).tolist()
    for size, count in zip(sizes, drawn, strict=True):
        even = counts.total / present if size else 0
        expected = {
            "instance": size,
            "class_balanced": even,
            "square_root": counts.total * size**0.5 / roots,
            "progressive": (1 - progress) * size + progress * even,
            "reversed": counts.total / size / inverses if size else 0,
        }[name]
        assert abs(count - expected) <= 1.001
    for label, size in enumerate(sizes):
        if size:
            times = positions[labels[positions] == label].bincount(minlength=len(labels))[labels == label]
            assert times.max() - times.min() <= 1


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 50), st.integers(1, 6))
def test_shards_are_equal_and_cover_all(length: int, world_size: int) -> None:
    positions = torch.randperm(length, generator=seeded())
    shards = [shard(positions, rank, world_size) for rank in range(world_size)]
    assert {len(part) for part in shards} == {-(-length // world_size)}
    together = torch.stack(shards, 1).flatten().tolist()
    assert together[:length] == positions.tolist()
    assert together[length:] == (positions.tolist() * world_size)[: len(together) - length]


def test_one_process_has_everything() -> None:
    assert shard(torch.tensor([2, 0, 1]), 0, 1).tolist() == [2, 0, 1]
    assert shard(torch.arange(0), 1, 2).tolist() == []


def test_reversed_draws_a_class_by_the_inverse_of_its_size() -> None:
    # 1/20, 1/5 and 1/4 are 1/10, 4/10 and 5/10 of their sum: of 29 images 2.9, 11.6 and 14.5.
    drawn = drawn_counts("reversed", 20, 5, 4)
    assert sum(drawn) == 29
    assert drawn == pytest.approx([2.9, 11.6, 14.5], abs=1)
    # 1/16, 1/8 and 1/8 are a fifth, two fifths and two fifths: of 32 images 6.4, 12.8 and 12.8.
    assert drawn_counts("reversed", 16, 8, 8) == pytest.approx([6.4, 12.8, 12.8], abs=1)
    assert drawn_counts("reversed", 60, 30) == [30, 60]


def test_reversed_is_fair_and_the_same_all_through_training() -> None:
    labels, counts = labels_of(20, 5, 4)
    generator = seeded()
    drawn = torch.stack([labels[reversed_(labels, counts, generator, 0.5)].bincount() for _ in range(300)]).float()
    assert drawn.mean(0).tolist() == pytest.approx([2.9, 11.6, 14.5], abs=0.12)
    assert torch.equal(reversed_(labels, counts, seeded(), 0.0), reversed_(labels, counts, seeded(), 1.0))


def test_reversed_draws_each_image_of_a_rare_class_equally_often() -> None:
    labels, counts = labels_of(90, 9, 1)
    positions = reversed_(labels, counts, seeded(), 0)
    times = positions.bincount(minlength=100)
    assert (times[labels == 1] <= 1 + times[labels == 1].min()).all()
    assert int(times[labels == 2]) == pytest.approx(100 / (1 + 1 / 9 + 1 / 90), abs=1)
