"""What is said of a trained network is what was done."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tailornas.losses import LOSSES, build_loss
from tailornas.pipeline.networks import _probabilities
from tailornas.seeding import generator
from tailornas.training import SecondStageConfig, TrainConfig
from tailornas.types import ClassCounts

SAID: dict[str, Callable[[Tensor], Tensor]] = {
    "the softmax of the outputs": lambda outputs: outputs.softmax(dim=1),
    "the softmax of 30 times the outputs": lambda outputs: (30 * outputs).softmax(dim=1),
    "the sigmoids of the outputs, divided by their sum": lambda outputs: (
        outputs.sigmoid() / outputs.sigmoid().sum(dim=1, keepdim=True)
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_outputs_become_probabilities_as_the_page_says(name: str) -> None:
    outputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    said = SAID[_probabilities(TrainConfig(loss=name))](outputs)
    assert torch.allclose(said, build_loss(name, ClassCounts((90, 9, 1)), generator(0, "loss")).probabilities(outputs))


def test_the_last_loss_says_so_with_its_own_settings() -> None:
    settings: dict[str, Any] = {"loss": "ldam", "loss_settings": {"scale": 12.5}}
    assert _probabilities(TrainConfig(**settings)) == "the softmax of 12.5 times the outputs"
    second = SecondStageConfig(name="crt")
    assert _probabilities(TrainConfig(**settings, second_stage=second)) == "the softmax of the outputs"
