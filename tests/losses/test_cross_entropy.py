import math

import pytest
import torch

from tailornas.losses import build_loss
from tailornas.types import ClassCounts


def test_cross_entropy() -> None:
    loss = build_loss("cross_entropy", ClassCounts((1, 1)))
    value = loss(torch.tensor([[3.0, 1.0]]).log(), torch.tensor([0]))
    assert float(value) == pytest.approx(math.log(4 / 3))
