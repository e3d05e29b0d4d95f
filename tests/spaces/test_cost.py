"""Counting by hand, and timing."""

import pytest
import torch
from torch import Tensor, nn

from tailornas.spaces.cost import Cost, count, count_outputs, latency


def test_counts_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    # 8 × 8 in, 4 × 4 after the stride: a bias is one addition for each output.
    assert count_outputs(network, 8) == {"0": 16 * 4, "2": 16 * 4, "5": 5}
    params = 4 * 27 + 8 + (4 * 2 * 9 + 4) + 25
    assert count(network, 8) == Cost(params, 16 * 4 * 27 + 16 * 4 * (2 * 9 + 1) + 5 * (4 + 1), 64 + 64 + 5)


def test_a_layer_that_runs_twice_counts_twice_but_owns_its_parameters_once() -> None:
    conv = nn.Conv2d(3, 3, 1, bias=False)
    assert count(nn.Sequential(conv, conv), 2) == Cost(9, 2 * 4 * 9, 2 * 4 * 3)


def test_counting_leaves_no_trace() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count(network, 4)
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network[0]._forward_hooks


def test_hooks_are_removed_where_the_network_fails() -> None:
    network = nn.Sequential(nn.Conv2d(5, 4, 1))
    with pytest.raises(RuntimeError):
        count(network, 4)
    assert network.training
    assert not network[0]._forward_hooks


def test_costs_add() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)


def test_latency_times_evaluation_mode_after_the_warm_up() -> None:
    class Recorder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 1, 1)
            self.seen: list[tuple[torch.Size, bool]] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append((x.shape, self.training))
            return torch.as_tensor(self.layer(x))

    network = Recorder()
    result = latency(network, 6, repeats=4, warmup=2)
    assert network.seen == [((1, 3, 6, 6), False)] * 6
    assert network.training
    assert result.repeats == 4
    assert result.median > 0
    assert result.spread >= 0
