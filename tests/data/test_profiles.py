import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.profiles import Profile, class_counts, exponential_shares, step_shares
from tailornas.errors import ConfigError, DataError
from tailornas.types import ClassCounts

CIFAR10 = ClassCounts((5000,) * 10)
CIFAR100 = ClassCounts((500,) * 100)


def test_exponential_profile_gives_the_published_cifar10_counts() -> None:
    counts = class_counts("exp", CIFAR10, 100)
    assert counts.counts == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)


@pytest.mark.parametrize(("factor", "total"), [(10, 20_431), (50, 13_996), (100, 12_406), (200, 11_203)])
def test_exponential_profile_gives_the_published_cifar10_totals(factor: int, total: int) -> None:
    assert class_counts("exp", CIFAR10, factor).total == total


@pytest.mark.parametrize(("factor", "total"), [(10, 19_573), (50, 12_608), (100, 10_847)])
def test_exponential_profile_gives_the_published_cifar100_totals(factor: int, total: int) -> None:
    assert class_counts("exp", CIFAR100, factor).total == total


@pytest.mark.parametrize("factor", [10, 20, 50, 100, 200])
@pytest.mark.parametrize("available", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def test_exponential_profile_is_the_published_formula(available: ClassCounts, factor: int) -> None:
    last = len(available) - 1
    expected = tuple(int(available[0] * (1 / factor) ** (label / last)) for label in range(last + 1))
    assert class_counts("exp", available, factor).counts == expected


def test_step_profile_halves_the_classes() -> None:
    assert class_counts("step", CIFAR10, 100).counts == (5000,) * 5 + (50,) * 5


def test_step_profile_of_odd_classes_makes_the_middle_one_small() -> None:
    assert step_shares(5, 10) == (1, 1, 0.1, 0.1, 0.1)


def test_exponential_shares_end_at_the_factor() -> None:
    assert exponential_shares(3, 100) == pytest.approx((1, 0.1, 0.01))


def test_as_is_keeps_everything_even_a_single_class() -> None:
    assert class_counts("as-is", ClassCounts((7,)), None).counts == (7,)


def test_a_factor_of_one_is_balanced() -> None:
    assert class_counts("exp", ClassCounts((30, 40, 50)), 1).counts == (30, 30, 30)


def test_unequal_classes_give_as_much_as_the_scarcest_share_allows() -> None:
    # Shares 1, 1/2, 1/4: the second class, 30 images, allows a head of 60, although the head has 100.
    assert class_counts("exp", ClassCounts((100, 30, 40)), 4).counts == (60, 30, 15)


@pytest.mark.parametrize("largest", [49, 98, 103, 107])
def test_a_whole_number_of_images_is_not_lost_to_rounding(largest: int) -> None:
    assert int(largest * (1 / largest)) == 0 or largest == 107  # what the plain formula would do
    assert class_counts("exp", ClassCounts((largest, largest)), largest).counts == (largest, 1)


@pytest.mark.parametrize("factor", [0.99, 0, -1, float("nan"), float("inf"), None])
def test_factor_has_to_be_a_finite_number_from_one(factor: float | None) -> None:
    with pytest.raises(ConfigError, match=r"finite imbalance_factor of at least 1 .* got "):
        class_counts("exp", CIFAR10, factor)


def test_one_class_cannot_have_a_profile() -> None:
    with pytest.raises(DataError, match="'step' expects at least 2 classes, got 1"):
        class_counts("step", ClassCounts((9,)), 2)


def test_an_emptied_class_is_an_error_that_shows_both_sides() -> None:
    with pytest.raises(
        DataError,
        match=r"imbalance_factor 40 leaves class 2 with 0 of its 30 images, because class 0 .*at most 30: "
        r".*--imbalance-factor \(imbalance_factor\) of at most 30",
    ):
        class_counts("exp", ClassCounts((30, 30, 30)), 40)


def test_a_class_without_images_asks_for_images() -> None:
    with pytest.raises(DataError, match="expected at least 1, add images to every class"):
        class_counts("exp", ClassCounts((30, 0, 30)), 2)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(("exp", "step")),
    st.lists(st.integers(1, 10_000), min_size=2, max_size=30),
    st.floats(1, 1e6),
)
def test_counts_fall_and_never_exceed_what_there_is(profile: str, available: list[int], factor: float) -> None:
    try:
        counts = class_counts(profile, ClassCounts(tuple(available)), factor)  # type: ignore[arg-type]
    except DataError:
        assert factor > 1
        return
    assert all(1 <= n <= there for n, there in zip(counts, available, strict=True))
    assert list(counts) == sorted(counts, reverse=True)
    assert counts.imbalance_factor >= factor * 0.999 or counts[0] < 2 * factor


@pytest.mark.parametrize("profile", ["exp", "step"])
@pytest.mark.parametrize("factor", [1, 2, 500])
@pytest.mark.parametrize("available", [CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def test_class_0_is_the_head_at_every_factor_up_to_500(profile: Profile, factor: int, available: ClassCounts) -> None:
    counts = class_counts(profile, available, factor)
    assert (counts[0], counts[len(counts) - 1]) == (available[0], available[0] // factor)
    assert list(counts) == sorted(counts, reverse=True)
    assert counts.imbalance_factor == factor
