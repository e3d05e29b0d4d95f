import math

import pytest
import torch

from tailornas.errors import DataError
from tailornas.losses import adjust_logits, build_loss, class_priors
from tailornas.seeding import generator
from tailornas.types import ClassCounts

TARGET_1 = torch.tensor([1])


def test_logit_adjustment() -> None:
    counts = ClassCounts((16, 1))
    loss = build_loss("logit_adjustment", counts, tau=0.5)
    assert float(loss(torch.tensor([[1.0, 1.0]]).log(), TARGET_1)) == pytest.approx(math.log(5))
    logits = torch.randn(5, 2, generator=generator(0))
    targets = torch.tensor([0, 1, 1, 0, 1])
    torch.testing.assert_close(
        build_loss("logit_adjustment", counts)(logits, targets),
        build_loss("balanced_softmax", counts)(logits, targets),
    )


def test_adjusting_logits_afterwards_undoes_the_priors() -> None:
    priors = class_priors(ClassCounts((3, 1)))
    logits = torch.tensor([[3.0, 1.0]]).log()
    torch.testing.assert_close(priors, torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(adjust_logits(logits, priors).softmax(1), torch.tensor([[0.5, 0.5]]))
    torch.testing.assert_close(adjust_logits(logits, priors, tau=0.0), logits)
    with pytest.raises(DataError, match=r"each of 2 classes, got priors of shape \(3,\)"):
        adjust_logits(logits, torch.ones(3))
