import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.seeding import derive_seed, generator

PARTS = st.lists(st.one_of(st.integers(-(2**40), 2**40), st.text(max_size=12)), max_size=4)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**63 - 1), position=PARTS)
def test_seeds_are_63_bit_numbers_that_torch_takes(seed: int, position: list[str | int]) -> None:
    derived = derive_seed(seed, *position)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, *position)
    assert generator(seed, *position).initial_seed() == derived


def test_seeds_of_neighbouring_positions_are_all_different() -> None:
    positions = [
        (stage, purpose, index)
        for stage in ("pretrain", "adapt", "train")
        for purpose in ("order", "augment", "path")
        for index in range(200)
    ]
    assert len({derive_seed(seed, *position) for seed in range(5) for position in positions}) == 5 * len(positions)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, "a", "b"), (0, "b", "a")),
        ((0, "ab"), (0, "a", "b")),
        ((0, "1"), (0, 1)),
        ((1,), (1, 1)),
        ((11, 2), (1, 12)),
        ((0, ""), (0,)),
        ((0, "a", 1), (0, "a1")),
    ],
)
def test_every_part_of_a_position_counts(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert derive_seed(*one) != derive_seed(*other)


def test_a_seed_is_the_same_in_every_process_and_version() -> None:
    """Runs of earlier versions are resumed by it."""
    assert derive_seed(7, "pretrain", "path", 3) == 7971806731682728659


def test_a_generator_is_fresh_and_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first = torch.rand(100, generator=generator(3, "train", 1))
    again = torch.rand(100, generator=generator(3, "train", 1))
    other = torch.rand(100, generator=generator(3, "train", 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert generator(3, device="cpu").device == torch.device("cpu")


def test_neighbouring_generators_are_not_correlated() -> None:
    draws = torch.stack([torch.rand(1000, generator=generator(0, "pretrain", "path", step)) for step in range(20)])
    correlation = torch.corrcoef(draws).fill_diagonal_(0).abs().max()
    assert correlation < 0.15  # four standard deviations of the largest of 190 are 0.13
