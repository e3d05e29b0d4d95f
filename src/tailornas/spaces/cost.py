"""What a network costs: parameters, multiply-accumulates, activations, measured latency."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Self, final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from tailornas.errors import ArchitectureError

__all__ = [
    "Cost",
    "Flow",
    "Latency",
    "check_countable",
    "count",
    "count_flow",
    "count_layer",
    "evaluating",
    "image_for",
    "latencies",
    "latency",
]

COUNTED = (_ConvNd, nn.Linear)
"""Layers whose work is counted: torch's common base of convolutions, plain and transposed, and linear layers."""

UNCOUNTED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)
"""Layers whose weights have several dimensions though they multiply no matrices."""

Flow = tuple[int, int]
"""Numbers that a layer takes and gives for one image."""


@final
@dataclass(frozen=True)
class Cost:
    """Size and work of a network, or of a part of one.

    Args:
        params: number of parameters.
        macs: multiply-accumulates for one image: convolutions and linear layers, an addition of a bias counted as
            one each; batch norm, activations, pooling, additions of feature maps and products of two of them are not
            counted. This is the convention of the NAS-Bench-201 tables (there named FLOPs).
        activations: activation memory in elements, for one image: the sizes of the outputs of all convolutions and
            linear layers, summed (Radosavovic et al. 2020, arXiv 2003.13678, sec. 3.3). Training keeps about these
            for the backward pass, at 4 bytes each in float32 and 2 in bfloat16; inference needs a fraction of them.
    """

    params: int
    macs: int
    activations: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.params + other.params, self.macs + other.macs, self.activations + other.activations)


@final
@dataclass(frozen=True)
class Latency:
    """Wall time of one forward pass.

    Args:
        median: milliseconds.
        spread: interquartile range in milliseconds.
        repeats: number of timed passes.
    """

    median: float
    spread: float
    repeats: int


def count(network: nn.Module, image_size: int) -> Cost:
    """Counts the parameters of a plain network, and the work and activations of a forward pass of one RGB image.

    Args:
        network: takes float32 ``(batch, 3, image_size, image_size)``.
        image_size: height and width in pixels.
    """
    total = Cost(sum(parameter.numel() for parameter in network.parameters()), 0)
    layers = dict(network.named_modules())
    for name, flow in count_flow(network, image_size).items():
        total += replace(count_layer(layers[name], flow), params=0)
    return total


def check_countable(network: nn.Module) -> None:
    """Refuses a network with work that :func:`count` does not see: a search would be led to it.

    Raises:
        ArchitectureError: a layer that is neither a convolution nor a linear layer owns a matrix of weights.
    """
    for name, layer in network.named_modules():
        if not isinstance(layer, COUNTED + UNCOUNTED):
            for key, weight in layer.named_parameters(recurse=False):
                if "weight" in key and weight.ndim > 1:
                    raise ArchitectureError(
                        f"the work of {name!r} ({type(layer).__name__}) cannot be counted, its {key} has shape "
                        f"{tuple(weight.shape)}: expected layers made of torch's convolutions and nn.Linear"
                    )


def count_layer(layer: nn.Module, flow: Flow) -> Cost:
    """The cost of one plain layer through which ``flow`` goes for an image."""
    params = sum(parameter.numel() for parameter in layer.parameters(recurse=False))
    if not isinstance(layer, COUNTED):
        return Cost(params, 0)
    inputs, outputs = flow
    # A transposed convolution multiplies each of its inputs by the weights, not the weights for each of its outputs.
    positions = inputs if isinstance(layer, _ConvNd) and layer.transposed else outputs
    return Cost(params, positions * layer.weight[0].numel() + outputs * (layer.bias is not None), outputs)


def count_flow(network: nn.Module, image_size: int) -> dict[str, Flow]:
    """What one RGB image makes flow, by the qualified name of each convolution and linear layer that ran."""
    flows: dict[str, Flow] = {}

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor], Tensor], None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Tensor) -> None:
            inputs, outputs = flows.get(name, (0, 0))
            taken = args[0] if args else kwargs["input"]
            flows[name] = inputs + taken.numel(), outputs + output.numel()

        return hook

    handles = [
        module.register_forward_hook(hook_of(name), with_kwargs=True)
        for name, module in network.named_modules()
        if isinstance(module, COUNTED)
    ]
    try:
        with evaluating(network), torch.no_grad():
            network(image_for(network, image_size))
    finally:
        for handle in handles:
            handle.remove()
    return flows


def latency(network: nn.Module, image_size: int, *, repeats: int = 30, warmup: int = 5) -> Latency:
    """Times forward passes of one RGB image in evaluation mode, on the device that holds the network.

    Args:
        network: takes float32 ``(1, 3, image_size, image_size)``.
        image_size: height and width in pixels.
        repeats: timed passes.
        warmup: passes before them that are not timed.
    """
    return latencies([network], image_size, repeats=repeats, warmup=warmup)[0]


def latencies(networks: Sequence[nn.Module], image_size: int, *, repeats: int = 30, warmup: int = 5) -> list[Latency]:
    """The :func:`latency` of several networks, timed in turn: a change of the machine's pace meets them alike."""
    times: list[list[float]] = [[] for _ in networks]
    with ExitStack() as modes, torch.inference_mode():
        for network in networks:
            modes.enter_context(evaluating(network))
        for _ in range(warmup + repeats):
            for network, taken in zip(networks, times, strict=True):
                taken.append(_pass_ms(network, image_for(network, image_size)))
    quarters = [statistics.quantiles(taken[warmup:], n=4) for taken in times]
    return [Latency(median=middle, spread=upper - lower, repeats=repeats) for lower, middle, upper in quarters]


def _pass_ms(network: nn.Module, image: Tensor) -> float:
    start = time.perf_counter()
    network(image)
    if image.device.type != "cpu":
        torch.accelerator.synchronize(image.device)
    return 1e3 * (time.perf_counter() - start)


def image_for(network: nn.Module, size: int) -> Tensor:
    """A black RGB image on the device that holds the network."""
    return torch.zeros(1, 3, size, size, device=next(network.parameters()).device)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, so that a pass leaves no trace in running statistics; each module's mode is restored."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
