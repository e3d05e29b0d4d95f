"""CIFAR residual networks: published sizes, shapes, the choice of a depth."""

import pytest
import torch
from torch import nn

from tailornas.errors import ConfigError
from tailornas.spaces.cost import Cost, count
from tailornas.spaces.resnet import BasicBlock, CifarResNet, cifar_resnet, nearest_depth


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("depth", "params", "macs"), [(20, 0.27e6, 41e6), (32, 0.46e6, 69e6), (56, 0.85e6, 126e6), (110, 1.7e6, 253e6)]
)
def test_published_sizes(depth: int, params: float, macs: float) -> None:
    cost = count(CifarResNet(depth, 10, 16), 32)
    assert cost.params == pytest.approx(params, rel=0.02)
    assert cost.macs == pytest.approx(macs, rel=0.015)


def test_depth_is_the_number_of_layers_with_weights() -> None:
    network = cifar_resnet(14, 7, generator=generator(), channels=4)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == 14


@pytest.mark.parametrize("size", [1, 7, 8])
def test_features_and_head(size: int) -> None:
    network = cifar_resnet(8, 7, generator=generator(), channels=4).eval()
    images = torch.randn(3, 3, size, size)
    assert network.feature_dim == 16
    assert network.features(images).shape == (3, 16)
    assert torch.equal(network(images), network.head(network.features(images)))
    network.head = nn.Linear(16, 2)
    assert network(images).shape == (3, 2)


def test_shortcut_is_the_strided_input_padded_with_zeros() -> None:
    block = BasicBlock(2, 4, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(1, 2, 5, 5)
    output = block(x)
    assert torch.equal(output[:, :2], x[:, :, ::2, ::2])
    assert (output[:, 2:] == 0).all()


def test_gradients_are_right_in_spite_of_in_place_operations() -> None:
    block = BasicBlock(2, 2, stride=1).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,))


@pytest.mark.parametrize("depth", [2, 9, 33])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ConfigError, match=f"depth {depth}: expected 6n \\+ 2"):
        cifar_resnet(depth, 10, generator=generator())


def test_nearest_within_limits_is_the_largest_that_fits() -> None:
    tiny = Cost(1, 1)
    assert nearest_depth(tiny, 32, 10, max_params=300_000) == 20
    assert nearest_depth(tiny, 32, 10, max_params=300_000, max_macs=30_000_000) == 14
    assert nearest_depth(tiny, 32, 10, max_macs=1) == 8


def test_nearest_costs_what_the_limit_was_compared_with() -> None:
    limit = count(CifarResNet(44, 3, 16), 9)
    assert nearest_depth(limit, 9, 3, max_params=limit.params, max_macs=limit.macs) == 44
    assert nearest_depth(limit, 9, 3, max_params=limit.params - 1) == 32


def test_a_further_limit_is_asked_of_the_largest_first() -> None:
    asked: list[int] = []

    def fits(network: CifarResNet) -> bool:
        asked.append(network.depth)
        return network.depth < 32

    assert nearest_depth(Cost(1, 1), 8, 3, max_params=900_000, fits=fits) == 20
    assert asked == [56, 44, 32, 20]
    assert nearest_depth(Cost(1, 1), 8, 3, fits=lambda network: False) == 8


def test_building_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    cifar_resnet(8, 3, generator=generator())
    nearest_depth(Cost(1, 1), 8, 3)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_nearest_without_limits_is_nearest_to_the_reference() -> None:
    assert nearest_depth(Cost(440_000, 72_000_000), 32, 10) == 32
    assert nearest_depth(Cost(10, 10), 32, 10) == 8
    assert nearest_depth(Cost(4_000_000, 72_000_000), 32, 10) == 32
