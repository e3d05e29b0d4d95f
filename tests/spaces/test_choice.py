"""Choice: the two modes, and what is refused."""

import pytest
import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Choice, walk


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x * self.factor


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> None:
        return None


def test_path_runs_only_the_active_option() -> None:
    double, triple = Times(2.0), Times(3.0)
    choice = Choice("scale", {"twice": double, "thrice": triple})
    choice.active = "thrice"
    choice(torch.ones(2)).sum().backward()
    assert (double.runs, triple.runs) == (0, 1)
    assert double.factor.grad is None
    assert triple.factor.grad is not None


def test_mixture_is_the_weighted_sum_and_gradients_reach_weights_and_options() -> None:
    choice = Choice("scale", {"twice": Times(2.0), "none": Nothing(), "thrice": Times(3.0)})
    weights = torch.tensor([0.5, 0.3, 2.0], requires_grad=True)
    choice.active = weights.unbind()
    output = choice(torch.tensor([1.0, 10.0]))
    assert output.tolist() == [7.0, 70.0]
    output.sum().backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [22.0, 0.0, 33.0]
    assert choice.options["thrice"].get_parameter("factor").grad == 22.0


def test_mixture_refuses_outputs_that_addition_would_broadcast() -> None:
    choice = Choice("size", {"full": nn.Identity(), "none": Nothing(), "one": nn.AdaptiveAvgPool2d(1)})
    choice.active = torch.ones(3).unbind()
    message = r"choice 'size' .*: its options return full \(1, 2, 4, 4\), one \(1, 2, 1, 1\); expected"
    with pytest.raises(ArchitectureError, match=message):
        choice(torch.ones(1, 2, 4, 4))
    choice.active = "one"
    assert choice(torch.ones(1, 2, 4, 4)).shape == (1, 2, 1, 1)


def test_mixture_refuses_outputs_that_are_no_tensors() -> None:
    choice = Choice("size", {"pair": nn.MaxPool2d(2, return_indices=True)})
    choice.active = torch.ones(1).unbind()
    with pytest.raises(ArchitectureError, match=r"its options return pair no tensor; expected tensors of one shape"):
        choice(torch.ones(1, 2, 4, 4))


def test_mixture_refuses_an_option_that_changes_what_the_others_read() -> None:
    choice = Choice("activation", {"relu": nn.ReLU(inplace=True), "tanh": nn.Tanh()})
    choice.active = torch.ones(2).unbind()
    with pytest.raises(ArchitectureError, match="option 'relu' of choice 'activation' changes its input in place"):
        choice(torch.ones(2))
    with torch.inference_mode():
        assert choice(torch.ones(2)).shape == (2,)  # of such tensors torch does not tell
    choice.active = "relu"
    assert choice(-torch.ones(2)).tolist() == [0, 0]


def test_mixture_of_zeros_is_zero() -> None:
    choice = Choice("scale", {"none": Nothing()})
    choice.active = torch.ones(1).unbind()
    assert choice(torch.ones(1)) is None


def test_mixture_weights_do_not_become_parameters_of_the_network() -> None:
    choice = Choice("scale", {"twice": Times(2.0)})
    choice.active = nn.Parameter(torch.ones(1)).unbind()
    assert [name for name, _ in choice.named_parameters()] == ["options.twice.factor"]


def test_running_without_a_mode_says_what_to_do() -> None:
    with pytest.raises(ArchitectureError, match=r"'scale' has nothing active.*space\.activate"):
        Choice("scale", {"twice": Times(2.0)})(torch.ones(1))


def test_no_options_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="'scale' has no options"):
        Choice("scale", {})


@pytest.mark.parametrize("name", ["a.b", "", "pop", "double"])
def test_unusable_option_names_are_refused(name: str) -> None:
    with pytest.raises(ArchitectureError, match="unusable option name"):
        Choice("scale", {name: nn.Identity()})


def test_walk_names_modules_as_torch_does_and_tells_their_conditions() -> None:
    inner = Choice("inner", {"x": nn.Identity(), "y": nn.Linear(1, 1)})
    network = nn.Sequential(nn.ReLU(), Choice("outer", {"a": nn.Sequential(inner), "b": nn.Identity()}))
    conditions = {name: held for name, _, held in walk(network)}
    assert conditions["0"] == ()
    assert conditions["1"] == ()
    assert conditions["1.options.b"] == (("outer", frozenset("b")),)
    assert conditions["1.options.a.0.options.y"] == (("outer", frozenset("a")), ("inner", frozenset("y")))
    assert dict(network.named_modules()).keys() - conditions.keys() == {"1.options", "1.options.a.0.options"}
