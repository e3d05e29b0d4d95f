"""The one primitive: a place in a network where an architecture decides what runs."""

from collections.abc import Iterator, Mapping
from typing import Any, final

from torch import Tensor, nn

from tailornas.errors import ArchitectureError

__all__ = ["Choice", "Conditions", "walk"]

Conditions = tuple[tuple[str, str], ...]
"""The ``(decision, option)`` pairs that must all be chosen for a part of a network to exist."""


@final
class Choice(nn.Module):
    """Named candidate operations of which an architecture selects one.

    Choices that share a ``key`` share the decision, as the cells of a network do. :attr:`active` says what runs:

    * an option's name (*path*): that option alone; the others cost neither time nor gradient;
    * a tuple of scalar tensors, one an option (*mixture*, DARTS, arXiv 1806.09055, eq. 2): the options' sum under
      those weights. Softmax or sigmoid of the architecture parameters is the caller's;
    * None: nothing, running it is an error.

    :class:`~tailornas.spaces.space.SearchSpace` sets it. An option may contain further choices, and may return
    None for an output that is exactly zero: a mixture leaves it out, and so has whoever sums such outputs.

    Args:
        key: the decision's name.
        options: the candidates by name, in the order of mixture weights. They take the same inputs.

    Raises:
        ArchitectureError: no options, or a name that a module cannot have.
    """

    def __init__(self, key: str, options: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not options:
            raise ArchitectureError(f"choice {key!r} has no options: expected at least one named module")
        self.key = key
        self.active: str | tuple[Tensor, ...] | None = None
        try:
            self.options = nn.ModuleDict(options)
        except KeyError as error:
            raise ArchitectureError(f"choice {key!r} has an unusable option name: {error.args[0]}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The options' names in the order of mixture weights."""
        return tuple(self.options)

    def forward(self, *inputs: Any) -> Any:
        """Runs the active option, or the weighted sum of all.

        Raises:
            ArchitectureError: no mode is active.
        """
        if isinstance(self.active, str):
            return self.options[self.active](*inputs)
        if self.active is None:
            raise ArchitectureError(
                f"choice {self.key!r} has nothing active: run the network inside `with space.activate(arch):` "
                "or `with space.mix(weights):`, or run `space.derive(arch)`"
            )
        total: Tensor | None = None
        for weight, option in zip(self.active, self.options.values(), strict=True):
            output: Tensor | None = option(*inputs)
            if output is not None:
                total = output * weight if total is None else total + output * weight
        return total

    def extra_repr(self) -> str:
        """The key, for the printed network."""
        return repr(self.key)


def walk(module: nn.Module, name: str = "", conditions: Conditions = ()) -> Iterator[tuple[str, nn.Module, Conditions]]:
    """Yields every module inside a network, outer before inner, with its qualified name and conditions."""
    yield name, module, conditions
    if isinstance(module, Choice):
        children = [
            (f"options.{option}", child, (*conditions, (module.key, option)))
            for option, child in module.options.items()
        ]
    else:
        children = [(child_name, child, conditions) for child_name, child in module.named_children()]
    for child_name, child, held in children:
        yield from walk(child, f"{name}.{child_name}" if name else child_name, held)
