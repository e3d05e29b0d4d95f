"""copy_module against copy.deepcopy."""

import copy
from typing import Any

import torch
from torch import nn

from tailornas.spaces.copying import copy_module


class Odd(nn.Module):
    """Everything that a module may carry: tied parameters, buffers of one storage, lists, an own way to be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)
        self.two.weight = self.one.weight
        self.norm = nn.BatchNorm1d(2).requires_grad_(False).eval()
        self.twin = self.norm
        self.register_buffer("shift", torch.ones(2), persistent=False)
        self.register_buffer("absent", None)
        self.absent_module: nn.Module | None = None
        self.values = [1, [2]]
        self.own = OwnCopy()


class OwnCopy(nn.Module):
    def __deepcopy__(self, memo: dict[int, Any]) -> "OwnCopy":
        clone = OwnCopy()
        memo[id(self)] = clone
        vars(clone)["copied"] = True
        return clone


def test_copies_what_deepcopy_copies_and_shares_nothing() -> None:
    module = Odd()
    fast: Any = copy_module(module, {})
    slow = copy.deepcopy(module)
    assert vars(fast).keys() == vars(slow).keys()
    assert repr(fast) == repr(slow)
    assert fast.state_dict().keys() == slow.state_dict().keys()
    for name, value in slow.state_dict().items():
        assert torch.equal(fast.state_dict()[name], value)
        assert fast.state_dict()[name].data_ptr() != module.state_dict()[name].data_ptr()
    assert fast.two.weight is fast.one.weight
    assert fast.twin is fast.norm
    assert not fast.norm.training
    assert not fast.norm.weight.requires_grad
    assert fast.values == [1, [2]]
    assert fast.values[1] is not module.values[1]
    assert fast.own.copied
    fast.shift += 1
    assert module.get_buffer("shift").tolist() == [1, 1]


def test_keeps_the_memory_format_and_drops_gradients() -> None:
    conv = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    conv(torch.ones(1, 4, 3, 3)).sum().backward()
    clone: Any = copy_module(conv, {})
    assert clone.weight.is_contiguous(memory_format=torch.channels_last)
    assert clone.weight.grad is None


def test_an_entry_made_beforehand_takes_the_place_of_a_module() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    other = nn.Tanh()
    clone: Any = copy_module(network, {id(network[0]): other})
    assert clone[0] is other
