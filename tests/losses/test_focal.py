import math

import pytest
import torch

from tailornas.losses import build_loss, focal_loss
from tailornas.types import ClassCounts

TARGET_0 = torch.tensor([0])


def test_focal() -> None:
    # p = 3/4: (1/4)^2 log(4/3)
    loss = build_loss("focal", ClassCounts((1, 1, 1)), gamma=2)
    assert float(loss(torch.tensor([[6.0, 1.0, 1.0]]).log(), TARGET_0)) == pytest.approx(math.log(4 / 3) / 16)


def test_focal_takes_p_before_weighting() -> None:
    # Two images with p = 1/2 and p = 3/4 under weights 2 and 6.
    loss = build_loss("focal", ClassCounts((1, 1)), gamma=1)
    logits = torch.tensor([[1.0, 1.0], [1.0, 3.0]]).log()
    value = loss(logits, torch.tensor([0, 1]), torch.tensor([2.0, 6.0]))
    assert float(value) == pytest.approx((2 * 0.5 * math.log(2) + 6 * 0.25 * math.log(4 / 3)) / 8)


def test_focal_gradient_is_finite_where_p_rounds_to_one() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    torch.autograd.backward(focal_loss(logits, TARGET_0, 0.5).sum())
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
