import math

import pytest
import torch
from torch import nn

from tailornas.data import Batches, DataConfig, prepare
from tailornas.losses import ScheduleConfig
from tailornas.seeding import generator
from tailornas.spaces import cifar_resnet
from tailornas.training import SecondStageConfig, TrainConfig, epoch_sampler, replace_head
from tailornas.types import ClassCounts


def test_a_new_head_starts_as_its_loss_has_it() -> None:
    network = cifar_resnet(8, 3, generator=generator(0), channels=4)
    settings = SecondStageConfig(name="crt", loss="class_balanced_focal")
    replace_head(network, ClassCounts((9, 5, 4, 3, 2)), settings, seed=0)
    assert isinstance(network.head, nn.Linear)
    assert network.head.bias.tolist() == pytest.approx([-math.log(4)] * 5)


@pytest.mark.parametrize(("epochs", "balanced"), [(6, [5]), (5, [4]), (10, [8, 9]), (4, [])])
def test_balanced_batches_come_in_when_their_share_of_training_is_done(epochs: int, balanced: list[int]) -> None:
    """Those of the epochs that begin after 80%; four of six epochs are 67%."""
    digits = prepare(DataConfig(data="digits", imbalance_factor=50), seed=0)
    sampler = epoch_sampler(TrainConfig(loss="ce", schedule=ScheduleConfig(name="drs")))
    batches = Batches(digits.train, 512, digits.normalization, None, sampler, 0, "train", torch.device("cpu"))
    drawn = [
        torch.cat([labels for _, labels in batches.epoch(index, epochs)]).bincount(minlength=10)
        for index in range(epochs)
    ]
    assert [index for index, counts in enumerate(drawn) if counts.max() - counts.min() <= 1] == balanced
