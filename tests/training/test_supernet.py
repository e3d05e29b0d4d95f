import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from tailornas.data import SAMPLERS, Batches, Dataset, ordered
from tailornas.heads import ETFHead, simplex_etf
from tailornas.metrics import accuracy, confusion
from tailornas.seeding import generator
from tailornas.spaces import Backbone, NASBench201Config, SearchSpace, build_space
from tailornas.stages import Detached
from tailornas.training import (
    DeviceConfig,
    OptimizerConfig,
    PretrainConfig,
    give_source_head,
    make_fabric,
    predict,
    pretrain,
    recalibrate,
)
from tailornas.types import Architecture

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))


def batches_of(digits: Dataset, images: int) -> Batches:
    split = digits.train.subset(torch.arange(images))
    return Batches(split, 64, digits.normalization, None, SAMPLERS["instance"], 0, "pretrain", FABRIC.device)


def new_space(channels: int = 4) -> SearchSpace[Backbone]:
    return build_space(NASBench201Config(channels=channels, cells_per_stage=1), 10, generator(0, "space"))


def pretrained(space: SearchSpace[Backbone], batches: Batches, epochs: int = 1, seed: int = 0, **settings: Any) -> None:
    config = PretrainConfig.model_validate(settings)
    pretrain(FABRIC, space, batches, config, epochs=epochs, seed=seed, stage=Detached())


def sampled(space: SearchSpace[Backbone], steps: int, seed: int) -> list[Architecture]:
    """The paths that the steps of a training take, from the documented position of their randomness."""
    return [space.simplify(space.sample(generator(seed, "pretrain", "path", step))) for step in range(steps)]


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_only_weights_and_statistics_on_the_sampled_paths_change(digits: Dataset, seed: int) -> None:
    space, batches = new_space(), batches_of(digits, 128)
    before = {name: tensor.clone() for name, tensor in space.network.state_dict().items()}
    paths = sampled(space, len(batches), seed)
    pretrained(space, batches, seed=seed)

    edges = list(space.decisions)

    def on_a_path(name: str) -> bool:
        match = re.search(r"edges\.(\d+)\.options\.(\w+)\.", name)
        return match is None or any(path[edges[int(match[1])]] == match[2] for path in paths)

    expected = {name for name in before if on_a_path(name)}
    assert changed(before, space.network.state_dict()) == expected
    assert 10 < len(expected) < len(before)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(digits: Dataset) -> None:
    batches = batches_of(digits, 256)
    states = []
    for seed in (0, 0, 1):
        space = new_space()
        pretrained(space, batches, seed=seed)
        states.append(space.network.state_dict())
    assert not changed(states[0], states[1])
    assert {"stem.0.weight", "head.weight"} <= changed(states[0], states[2])


def test_the_supernet_learns_and_its_paths_share_what_it_learnt(digits: Dataset) -> None:
    space, batches = new_space(channels=12), batches_of(digits, len(digits.train))
    pretrained(space, batches, epochs=6)
    accuracies = []
    for path in sampled(space, 3, seed=7):
        network = space.derive(path)
        recalibrate(FABRIC, network, ordered(digits.train, 256, digits.normalization, FABRIC.device))
        logits, targets = predict(FABRIC, network, ordered(digits.test, 256, digits.normalization, FABRIC.device))
        accuracies.append(accuracy(confusion(logits.argmax(1), targets, 10)))
    assert min(accuracies) > 0.2, accuracies  # chance is 0.1
    assert max(accuracies) > 0.45, accuracies


def test_a_fixed_simplex_as_the_head_of_a_supernet(digits: Dataset) -> None:
    """As LT-DARTS searches: the backbone learns, and the head's directions stay what they are."""
    space = new_space()
    stem = space.network.get_parameter("stem.0.weight").detach().clone()
    pretrained(space, batches_of(digits, 128), head="etf", mix={"name": "mixup"})
    assert isinstance(space.network.head, ETFHead)
    assert torch.equal(space.network.head.frame, simplex_etf(16, 10, generator(0, "pretrain", "head")))
    assert not torch.equal(space.network.get_parameter("stem.0.weight"), stem)


def test_the_head_starts_as_its_loss_has_it_and_keeps_its_weights() -> None:
    space = new_space()
    weight = space.network.head.get_parameter("weight").detach().clone()
    give_source_head(space, PretrainConfig(loss="class_balanced_focal"), 10, seed=0)
    assert space.network.head.get_parameter("bias").tolist() == pytest.approx([-math.log(9)] * 10)
    assert torch.equal(space.network.head.get_parameter("weight"), weight)


def test_no_path_is_left_active(digits: Dataset) -> None:
    space = new_space()
    pretrained(space, batches_of(digits, 64))
    with pytest.raises(Exception, match="has nothing active"):
        space.network(torch.zeros(1, 3, 8, 8))


def test_the_settings_have_bounds_and_defaults() -> None:
    assert PretrainConfig() == PretrainConfig(epochs=None, batch_size=128, optimizer=OptimizerConfig())
    for wrong in ({"epochs": 0}, {"batch_size": 1}, {"epoch": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PretrainConfig.model_validate(wrong)
