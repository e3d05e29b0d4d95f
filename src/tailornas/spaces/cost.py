"""What a network costs: parameters, multiply-accumulates, measured latency."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor, nn

__all__ = ["Cost", "Latency", "count", "count_modules", "latency"]


@final
@dataclass(frozen=True)
class Cost:
    """Size and work of a network, or of a part of one.

    Args:
        params: number of parameters.
        macs: multiply-accumulates for one image: convolutions and linear layers, an addition of a bias counted as
            one each; batch norm, activations, pooling and additions of feature maps are not counted. This is the
            convention of the NAS-Bench-201 tables (there named FLOPs).
    """

    params: int
    macs: int

    def __add__(self, other: Self) -> Self:
        return type(self)(self.params + other.params, self.macs + other.macs)


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
    """Counts the parameters of a network and the multiply-accumulates of a forward pass of one RGB image.

    Args:
        network: takes float32 ``(batch, 3, image_size, image_size)``.
        image_size: height and width in pixels.
    """
    params = sum(parameter.numel() for parameter in network.parameters())
    return Cost(params, sum(count_modules(network, image_size).values()))


def count_modules(network: nn.Module, image_size: int) -> dict[str, int]:
    """Multiply-accumulates of one RGB image by the qualified name of each convolution and linear layer that ran."""
    macs: dict[str, int] = {}

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
            weight = module.get_parameter("weight")
            per_output = weight[0].numel() + (getattr(module, "bias", None) is not None)
            macs[name] = macs.get(name, 0) + output.numel() * per_output

        return hook

    handles = [
        module.register_forward_hook(hook_of(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with _evaluating(network), torch.no_grad():
            network(_image(network, image_size))
    finally:
        for handle in handles:
            handle.remove()
    return macs


def latency(network: nn.Module, image_size: int, *, repeats: int = 30, warmup: int = 5) -> Latency:
    """Times forward passes of one RGB image in evaluation mode, on the device that holds the network.

    Args:
        network: takes float32 ``(1, 3, image_size, image_size)``.
        image_size: height and width in pixels.
        repeats: timed passes.
        warmup: passes before them that are not timed.
    """
    image = _image(network, image_size)
    times = []
    with _evaluating(network), torch.inference_mode():
        for _ in range(warmup + repeats):
            start = time.perf_counter()
            network(image)
            if image.device.type != "cpu":
                torch.accelerator.synchronize(image.device)
            times.append(1e3 * (time.perf_counter() - start))
    quarters = statistics.quantiles(times[warmup:], n=4)
    return Latency(median=quarters[1], spread=quarters[2] - quarters[0], repeats=repeats)


def _image(network: nn.Module, size: int) -> Tensor:
    return torch.zeros(1, 3, size, size, device=next(network.parameters()).device)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, so that a pass leaves no trace in running statistics; each module's mode is restored."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
