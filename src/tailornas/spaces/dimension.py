"""A number of a network as a decision: a width, a kernel size, a depth."""

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Decision, Mode, nothing_active

__all__ = [
    "Dimension",
    "Number",
    "check_positive",
    "chosen",
    "copied",
    "current",
    "decisions_of",
    "largest",
    "mask",
]


@final
class Dimension:
    """A number that an architecture decides: a width in channels, a kernel size, a number of blocks.

    Elastic layers take it in the place of an ``int``. Dimensions that share a ``key`` share the decision: one
    expansion ratio can be different numbers of channels in different blocks. Any module may keep one as an attribute:
    in a derived network the attribute is the decided ``int``. But what a module computes with the number knows nothing
    of mixture weights, so a dimension that no elastic layer reads can only be searched by paths.

    :attr:`active` says what runs, as for a :class:`~tailornas.spaces.choice.Choice`: an option's name, weights of a
    mixture, or None. In a mixture, kernels are summed under the weights, zero-padded; widths run in full and each
    channel is scaled by the total weight of the options that have it (FBNetV2, arXiv 2004.05565, sec. 3.1); depths sum
    the outputs after each number of blocks. With weights one and zero it computes what the path does.

    Args:
        key: the decision's name.
        values: the numbers by option name, in the order of mixture weights.

    Raises:
        ArchitectureError: no options, or a negative number.
    """

    def __init__(self, key: str, values: Mapping[str, int]) -> None:
        if not values:
            raise ArchitectureError(f"dimension {key!r} has no options: expected at least one named number")
        if min(values.values()) < 0:
            raise ArchitectureError(f"dimension {key!r} has the option {min(values.values())}: expected none below 0")
        self.key = key
        self.values = dict(values)
        self.names = tuple(values)
        self.active: Mode = None

    @property
    def largest(self) -> int:
        """The largest number: that of the weights, and what a mixture runs."""
        return max(self.values.values())

    @property
    def current(self) -> int:
        """The number of the active path; the largest in a mixture.

        Raises:
            ArchitectureError: no mode is active.
        """
        if isinstance(self.active, str):
            return self.values[self.active]
        if self.active is None:
            raise nothing_active("dimension", self.key)
        return self.largest

    def __repr__(self) -> str:
        return f"Dimension({self.key!r}, {self.values})"


Number = int | Dimension
"""What elastic layers take for each of their numbers."""


def largest(number: Number) -> int:
    """The number, or the largest that it can be decided to be."""
    return number.largest if isinstance(number, Dimension) else number


def smallest(number: Number) -> int:
    """The number, or the smallest that it can be decided to be."""
    return min(number.values.values()) if isinstance(number, Dimension) else number


def current(number: Number) -> int:
    """The number, or what the active mode makes of it: see :attr:`Dimension.current`."""
    return number.current if isinstance(number, Dimension) else number


def chosen(number: Number, choices: Mapping[str, str]) -> int:
    """The number of an architecture, given by its option of every decision."""
    return number.values[choices[number.key]] if isinstance(number, Dimension) else number


def decisions_of(*numbers: Number) -> tuple[Decision, ...]:
    """Those numbers that are decisions."""
    return tuple(number for number in numbers if isinstance(number, Dimension))


def mask(y: Tensor, width: Number) -> Tensor:
    """Scales each channel of ``y``, ``(batch, channels, ...)``, by the total weight of the widths that have it.

    Outside of a mixture there is nothing to scale.
    """
    if not isinstance(width, Dimension) or not isinstance(width.active, tuple):
        return y
    weights = torch.stack(width.active)
    values = torch.tensor(list(width.values.values()), device=weights.device)
    present = torch.arange(width.largest, device=weights.device) < values[:, None]
    scale = (weights @ present.to(weights.dtype)).to(y.dtype)
    return y * scale.view(-1, *[1] * (y.ndim - 2))


def copied(part: Tensor, whole: Tensor) -> nn.Parameter:
    """A slice of a parameter as a parameter of its own."""
    return nn.Parameter(part.detach().clone(), requires_grad=whole.requires_grad)


def check_positive(layer: str, **numbers: Number) -> None:
    """Refuses numbers that can be 0 or less.

    Raises:
        ArchitectureError: names the layer and the number.
    """
    for name, number in numbers.items():
        smallest = min(number.values.values()) if isinstance(number, Dimension) else number
        if smallest < 1:
            raise ArchitectureError(f"{layer}: {name} can be {smallest}: expected at least 1")
