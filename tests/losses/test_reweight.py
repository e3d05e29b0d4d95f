import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.errors import ConfigError, DataError, UnknownNameError
from tailornas.losses import (
    WEIGHTINGS,
    check_weighting,
    class_weights,
    effective_number,
    inverse_frequency,
    smoothed_power,
)
from tailornas.types import ClassCounts

COUNTS = st.lists(st.integers(1, 10**7), min_size=2, max_size=30).map(lambda counts: ClassCounts(tuple(counts)))


def test_inverse_frequency_by_hand() -> None:
    # 1/4, 1/2, 1 sum to 7/4; times 3 / (7/4) = 12/7.
    expected = torch.tensor([3.0, 6.0, 12.0]) / 7
    torch.testing.assert_close(inverse_frequency(ClassCounts((4, 2, 1))), expected)


def test_smoothed_power_is_left_as_published() -> None:
    torch.testing.assert_close(smoothed_power(ClassCounts((16, 4, 1))), torch.tensor([0.25, 0.5, 1.0]))
    torch.testing.assert_close(smoothed_power(ClassCounts((16, 4, 1)), 0.25), torch.tensor([0.5, 0.5**0.5, 1.0]))


def test_effective_number_by_hand() -> None:
    # beta 1/2: E_1 = 1, E_2 = 3/2, so weights 1 and 2/3, times 2 / (5/3).
    torch.testing.assert_close(effective_number(ClassCounts((1, 2)), 0.5), torch.tensor([1.2, 0.8]))


@pytest.mark.parametrize("beta", [0.9999, 1 - 1e-9, 1 - 1e-15])
def test_effective_number_keeps_its_digits_near_one(beta: float) -> None:
    counts = (1, 10, 1000)
    exact_beta = Fraction(beta)
    inverse = [(1 - exact_beta) / (1 - exact_beta**n) for n in counts]
    expected = [float(3 * weight / sum(inverse)) for weight in inverse]
    torch.testing.assert_close(effective_number(ClassCounts(counts), beta), torch.tensor(expected), rtol=1e-6, atol=0)


def test_effective_number_of_huge_counts_is_level() -> None:
    weights = effective_number(ClassCounts((10**12, 10**9, 10**8)))
    torch.testing.assert_close(weights, torch.ones(3))


def test_effective_number_ends() -> None:
    counts = ClassCounts((100, 10))
    torch.testing.assert_close(effective_number(counts, 0.0), torch.ones(2))
    torch.testing.assert_close(effective_number(counts, 1 - 1e-12), inverse_frequency(counts))


@settings(deadline=None, max_examples=40)
@given(counts=COUNTS, name=st.sampled_from(sorted(WEIGHTINGS)))
def test_weights_are_positive_and_never_favour_a_bigger_class(counts: ClassCounts, name: str) -> None:
    weights = class_weights(name, counts)
    assert weights.dtype == torch.float32
    assert weights.shape == (len(counts),)
    assert bool((weights > 0).all())
    order = sorted(range(len(counts)), key=lambda label: counts[label])
    ordered = weights[order]
    assert bool((ordered[:-1] >= ordered[1:]).all())
    if name != "smoothed":
        assert math.isclose(float(weights.sum()), len(counts), rel_tol=1e-5)


def test_auto_is_the_effective_number_of_ldam_drw() -> None:
    counts = ClassCounts((5000, 50))
    torch.testing.assert_close(class_weights("auto", counts), effective_number(counts, 0.9999))


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_an_empty_class_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"class 1 has no training image: expected at least 1 in each of 3"):
        class_weights(name, ClassCounts((3, 0, 1)))


def test_custom_weights() -> None:
    torch.testing.assert_close(class_weights([1, 2.5], ClassCounts((2, 1))), torch.tensor([1.0, 2.5]))
    with pytest.raises(DataError, match="each of 2 classes, got 3 weights"):
        class_weights([1.0, 2.0, 3.0], ClassCounts((2, 1)))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_custom_weights_must_be_positive(bad: float) -> None:
    with pytest.raises(DataError, match="positive numbers: class 1 has"):
        class_weights([1.0, bad], ClassCounts((2, 1)))


def test_a_parameter_behind_a_colon() -> None:
    counts = ClassCounts((16, 4, 1))
    assert torch.equal(class_weights("smoothed:0.25", counts), smoothed_power(counts, 0.25))
    assert torch.equal(class_weights("effective:0.9", counts), effective_number(counts, 0.9))


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        ("inverse:0.5", "the weighting 'inverse' has no parameter and got '0.5'"),
        ("auto:0.5", "the weighting 'auto' has no parameter"),
        ("effective:", "expected a number as beta of the weighting 'effective', such as effective:0.9, got ''"),
        ("smoothed:much", "expected a number as gamma of the weighting 'smoothed'"),
        ("effective:1", r"beta of the effective number must be in \[0, 1\) and is 1.0"),
        ("smoothed:nan", r"gamma of the smoothed weights must be in \[0, 1\] and is nan"),
    ],
)
def test_parameters_that_a_weighting_cannot_have(weighting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_weighting(weighting)


def test_unknown_weighting() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown weighting 'cui': expected one of .*auto, effective"):
        class_weights("cui", ClassCounts((2, 1)))


def test_parameters_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"beta .* \[0, 1\) and is 1.0"):
        effective_number(ClassCounts((2, 1)), 1.0)
    with pytest.raises(ConfigError, match=r"gamma .* \[0, 1\] and is 2"):
        smoothed_power(ClassCounts((2, 1)), 2)
