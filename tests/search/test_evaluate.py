import pytest
import torch
from torch import nn

from tailornas.data import DataConfig, Dataset, ordered, prepare
from tailornas.search import Score, score
from tailornas.seeding import generator
from tailornas.spaces import Backbone, NASBench201Config, SearchSpace, build_space
from tailornas.training import DeviceConfig, make_fabric

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))
CELLS = (
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|nor_conv_3x3~1|skip_connect~2|",
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=10), seed=0)


@pytest.fixture(scope="module")
def space(digits: Dataset) -> SearchSpace[Backbone]:
    """Weights drawn at random tell cells apart as well as trained ones, and batch norms have seen other images."""
    space = build_space(NASBench201Config(channels=4, cells_per_stage=1), 10, generator(0, "space"))
    for text in CELLS:
        with space.activate(space.from_text(text)):
            space.network(torch.rand(16, 3, 8, 8, generator=generator(0, "images")) * 50)
    return space


def scored(space: SearchSpace[Backbone], digits: Dataset, text: str) -> Score:
    calibration = digits.train.subset(torch.arange(200))
    return score(
        FABRIC,
        space,
        space.from_text(text),
        ordered(calibration, 100, digits.normalization, FABRIC.device),
        ordered(digits.selection, 64, digits.normalization, FABRIC.device),
        10,
    )


@pytest.mark.parametrize("text", CELLS)
def test_a_score_by_hand(space: SearchSpace[Backbone], digits: Dataset, text: str) -> None:
    """Batch norm by hand: statistics of two batches, averaged, then accuracy class by class."""
    network = space.derive(space.from_text(text))
    halves = [
        images
        for images, _ in ordered(digits.train.subset(torch.arange(200)), 100, digits.normalization, FABRIC.device)
    ]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    seen = []
    for half in halves:
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            network.train()(half)
        seen.append([(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms])  # type: ignore[union-attr]
    for norm, *statistics in zip(norms, *seen, strict=True):
        norm.running_mean = sum(mean for mean, _ in statistics) / 2
        norm.running_var = sum(var for _, var in statistics) / 2
    images, labels = next(ordered(digits.selection, 10_000, digits.normalization, FABRIC.device))
    with torch.no_grad():
        right = network.eval()(images).argmax(1) == labels
    expected = sum(float(right[labels == label].float().mean()) for label in range(10)) / 10

    result = scored(space, digits, text)
    assert result.balanced_accuracy == pytest.approx(expected, abs=1e-3)
    assert 0 < result.standard_error < 0.1


def test_the_supernet_stays_as_it_is(space: SearchSpace[Backbone], digits: Dataset) -> None:
    before = {name: tensor.clone() for name, tensor in space.network.state_dict().items()}
    modes = [module.training for module in space.network.modules()]
    flags = [parameter.requires_grad for parameter in space.network.parameters()]
    scores = [scored(space, digits, text) for text in CELLS]
    after = space.network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert [module.training for module in space.network.modules()] == modes
    assert [parameter.requires_grad for parameter in space.network.parameters()] == flags
    assert scores[0] != scores[1]


def test_a_score_does_not_depend_on_what_was_scored_before(space: SearchSpace[Backbone], digits: Dataset) -> None:
    first = [scored(space, digits, text) for text in CELLS]
    second = [scored(space, digits, text) for text in reversed(CELLS)]
    assert first == second[::-1]
