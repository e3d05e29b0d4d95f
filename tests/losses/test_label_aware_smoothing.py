import math

import pytest
import torch

from tailornas.losses import LabelAwareSmoothingSettings, build_loss, smoothing_factors
from tailornas.types import ClassCounts

TARGET_0 = torch.tensor([0])


@pytest.mark.parametrize(
    ("shape", "middle"),
    [
        ("linear", 0.25),
        ("concave", 0.1 + 0.3 * math.sin(math.pi / 4)),
        ("convex", 0.4 + 0.3 * math.sin(1.75 * math.pi)),
    ],
)
def test_smoothing_factors(shape: str, middle: float) -> None:
    settings = LabelAwareSmoothingSettings.model_validate({"shape": shape})
    expected = torch.tensor([0.4, middle, 0.1])
    torch.testing.assert_close(smoothing_factors(ClassCounts((101, 51, 1)), settings), expected)


def test_smoothing_of_equal_classes_is_that_of_the_biggest() -> None:
    factors = smoothing_factors(ClassCounts((7, 7)), LabelAwareSmoothingSettings())
    torch.testing.assert_close(factors, torch.tensor([0.4, 0.4]))


def test_label_aware_smoothing() -> None:
    # p = 1/2, 1/4, 1/4. Class 0 is the biggest: 0.6 log 2 + 0.2 log 4 + 0.2 log 4 = 1.4 log 2.
    loss = build_loss("label_aware_smoothing", ClassCounts((9, 5, 1)))
    assert float(loss(torch.tensor([[2.0, 1.0, 1.0]]).log(), TARGET_0)) == pytest.approx(1.4 * math.log(2))
    # Class 2 is the smallest: 0.9 log 4 + 0.05 log 2 + 0.05 log 4 = 1.95 log 2.
    assert float(loss(torch.tensor([[2.0, 1.0, 1.0]]).log(), torch.tensor([2]))) == pytest.approx(1.95 * math.log(2))
