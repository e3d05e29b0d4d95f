import math

import pytest
import torch

from tailornas.losses import build_loss, ldam_margins
from tailornas.types import ClassCounts

TARGET_0 = torch.tensor([0])
TARGET_1 = torch.tensor([1])


def test_ldam_margins() -> None:
    # n^(-1/4) of 1, 16, 81 is 1, 1/2, 1/3; the largest becomes 0.5.
    torch.testing.assert_close(ldam_margins(ClassCounts((81, 16, 1))), torch.tensor([1 / 6, 1 / 4, 1 / 2]))


def test_ldam() -> None:
    # Class 1 has 16 images, margin 1/4; scale 4: logits 4 * 0.5 and 4 * (0.5 - 0.25).
    loss = build_loss("ldam", ClassCounts((1, 16)), scale=4)
    value = loss(torch.tensor([[0.5, 0.5]]), TARGET_1)
    assert float(value) == pytest.approx(math.log(1 + math.e))


def test_ldam_defaults_are_the_papers() -> None:
    # Largest margin 0.5 and scale 30 at equal cosines: log(1 + e^15).
    loss = build_loss("ldam", ClassCounts((1, 16)))
    assert float(loss(torch.zeros(1, 2), TARGET_0)) == pytest.approx(math.log1p(math.exp(15)))
    probabilities = loss.probabilities(torch.tensor([[0.1, 0.0]]))
    assert float(probabilities[0, 0] / probabilities[0, 1]) == pytest.approx(math.exp(3), rel=1e-5)
