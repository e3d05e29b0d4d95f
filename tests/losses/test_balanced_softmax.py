import math

import pytest
import torch

from tailornas.losses import build_loss
from tailornas.types import ClassCounts

TARGET_1 = torch.tensor([1])


def test_balanced_softmax() -> None:
    # Softmax of odds 1 : 1 under counts 9 : 1 gives the rare class 1/10.
    loss = build_loss("balanced_softmax", ClassCounts((9, 1)))
    assert float(loss(torch.tensor([[1.0, 1.0]]).log(), TARGET_1)) == pytest.approx(math.log(10))
    torch.testing.assert_close(loss.probabilities(torch.tensor([[1.0, 1.0]]).log()), torch.tensor([[0.5, 0.5]]))
