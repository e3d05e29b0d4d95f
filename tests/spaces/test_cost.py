"""Counting by hand, and timing."""

import pytest
import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.cost import Cost, check_countable, count, count_flow, latencies, latency


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
    assert count_flow(network, 8) == {"0": (64 * 3, 16 * 4), "2": (16 * 4, 16 * 4), "5": (4, 5)}
    params = 4 * 27 + 8 + (4 * 2 * 9 + 4) + 25
    assert count(network, 8) == Cost(params, 16 * 4 * 27 + 16 * 4 * (2 * 9 + 1) + 5 * (4 + 1), 64 + 64 + 5)


def test_transposed_convolutions_count_by_their_inputs() -> None:
    network = nn.ConvTranspose2d(3, 4, 2, stride=2)
    assert count(network, 8) == Cost(3 * 4 * 4 + 4, 64 * 3 * 4 * 4 + 256 * 4, 256 * 4)
    # Windows of stride 2 do not overlap: each of the 256 pixels is one product of 3 channels with 4.
    assert count(network, 8).macs == 256 * 4 * (3 + 1)


@pytest.mark.parametrize(("flatten", "conv", "macs"), [(2, nn.Conv1d(3, 5, 3), 14 * 5 * (3 * 3 + 1))])
def test_convolutions_of_other_dimensions_count(flatten: int, conv: nn.Module, macs: int) -> None:
    assert count(nn.Sequential(nn.Flatten(flatten), conv), 4).macs == macs


def test_layers_called_by_keyword_count() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.conv(input=x))

    assert count(Named(), 2).macs == 4 * 6


def test_weights_whose_work_would_go_uncounted_are_refused() -> None:
    message = r"the work of '1' \(MultiheadAttention\) cannot be counted, its in_proj_weight has shape \(24, 8\)"
    with pytest.raises(ArchitectureError, match=message):
        check_countable(nn.Sequential(nn.Conv2d(3, 8, 1), nn.MultiheadAttention(8, 2)))
    norm = nn.Sequential(nn.Conv2d(3, 8, 1), nn.LayerNorm((8, 4, 4)))
    check_countable(norm)
    assert count(norm, 4).params == 32 + 256


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


def test_latencies_of_several_networks_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0, 9, 0, 9, 0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6])  # a first pass each that is not timed
    monkeypatch.setattr("tailornas.spaces.cost.time.perf_counter", lambda: next(clock) / 1000)
    first, second = latencies([nn.Conv2d(3, 1, 1), nn.Conv2d(3, 2, 1)], 6, repeats=3, warmup=1)
    assert (first.median, second.median) == pytest.approx((2, 5))
    assert first.spread == second.spread == pytest.approx(2)
