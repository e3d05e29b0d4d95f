import math

import pytest
import torch
from torch import nn

from tailornas.errors import ConfigError
from tailornas.losses import LOSSES, build_loss, effective_number, sigmoid_focal_loss
from tailornas.types import ClassCounts

TARGET_0 = torch.tensor([0])


def test_class_balanced_focal() -> None:
    # sigmoid(log 3) = 3/4 for the target; 1 - sigmoid(log 1) = 1/2 for the other class; gamma 2.
    logits = torch.tensor([[3.0, 1.0]]).log()
    expected = math.log(4 / 3) / 16 + math.log(2) / 4
    assert float(sigmoid_focal_loss(logits, TARGET_0, 2.0)) == pytest.approx(expected)
    # beta 1/2, counts 1 and 2: weights 1.2 and 0.8 (see test_reweight).
    loss = build_loss("class_balanced_focal", ClassCounts((1, 2)), beta=0.5, gamma=2)
    assert float(loss(logits, TARGET_0)) == pytest.approx(1.2 * expected)


def test_a_new_head_begins_with_the_probability_of_an_even_share() -> None:
    head = nn.Linear(3, 5)
    weight = head.weight.detach().clone()
    LOSSES["class_balanced_focal"].begin(head)
    assert torch.equal(head.weight, weight)
    torch.testing.assert_close(head.bias.sigmoid(), torch.full((5,), 0.2))
    LOSSES["class_balanced_focal"].begin(nn.Linear(3, 5, bias=False))  # which has nothing to set
    LOSSES["cross_entropy"].begin(head)
    torch.testing.assert_close(head.bias.sigmoid(), torch.full((5,), 0.2))


def test_probabilities_are_the_sigmoids_divided_by_their_sum() -> None:
    loss = build_loss("class_balanced_focal", ClassCounts((1, 2)))
    # 3/4 and 1/2.
    torch.testing.assert_close(loss.probabilities(torch.tensor([[3.0, 1.0]]).log()), torch.tensor([[0.6, 0.4]]))


def test_class_balanced_focal_averages_by_the_batch_and_takes_no_second_weights() -> None:
    counts = ClassCounts((1000, 10))
    loss = build_loss("class_balanced_focal", counts, gamma=0)
    # gamma 0 at logits 0: two binary cross-entropies of log 2 each.
    weights = effective_number(counts)
    value = loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert float(value) == pytest.approx(2 * math.log(2) * float(weights.mean()))
    with pytest.raises(ConfigError, match="has class weights of its own"):
        loss(torch.zeros(2, 2), torch.tensor([0, 1]), weights)
