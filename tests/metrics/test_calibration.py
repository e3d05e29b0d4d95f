from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.errors import ConfigError
from tailornas.metrics import expected_calibration_error


def binary(*confidences: float) -> torch.Tensor:
    """Probabilities of two classes that predict class 0 with the given confidences."""
    return torch.tensor([[c, 1 - c] for c in confidences], dtype=torch.float64)


def test_by_hand() -> None:
    # Two bins: confidence 0.5 (closed above) in the first, none of 1 right; 0.6, 0.8 and 1 in the second, 2 of 3.
    probabilities = binary(0.5, 0.6, 0.8, 1.0)
    targets = torch.tensor([1, 0, 1, 0])
    expected = (1 * 0.5 + 3 * (0.8 - 2 / 3)) / 4
    assert expected_calibration_error(probabilities, targets, bins=2) == pytest.approx(expected)


def test_fifteen_bins_and_empty_ones() -> None:
    assert expected_calibration_error(binary(0.9, 0.9), torch.tensor([0, 1])) == pytest.approx(0.4)


def test_a_certain_classifier() -> None:
    certain = torch.eye(3)
    assert expected_calibration_error(certain, torch.arange(3)) == 0
    assert expected_calibration_error(certain, torch.tensor([1, 2, 0])) == 1


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 20),
)
def test_agrees_with_a_loop_over_bins(cases: list[tuple[float, bool]], bins: int) -> None:
    probabilities = binary(*(confidence for confidence, _ in cases))
    targets = torch.tensor([0 if right else 1 for _, right in cases])
    confidences, predictions = probabilities.max(dim=1)
    expected = 0.0
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    for low, high in pairwise(edges):
        inside = (confidences > low) & (confidences <= high)
        if inside.any():
            right = (predictions == targets)[inside].double().mean()
            gap = (right - confidences[inside].mean()).abs()
            expected += float(gap * inside.double().mean())
    assert expected_calibration_error(probabilities, targets, bins) == pytest.approx(expected, abs=1e-9)


def test_no_bins() -> None:
    with pytest.raises(ConfigError, match="at least 1 bin of confidence, got 0"):
        expected_calibration_error(binary(0.9), torch.tensor([0]), bins=0)
